"""``python -m airflow_sklearn.runtimes.software [MODULE]``: prints which software this interpreter has."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import sys
from typing import Any

_DISTRIBUTIONS = ("airflow-sklearn", "joblib", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy")


def describe(module: str = "") -> str:
    """The versions of Python and of the packages that models depend on, and the digest of a module's source.

    :param module: the module's name; empty: none.
    """
    words = [f"python {platform.python_version()}"]
    for name in _DISTRIBUTIONS:
        for found in importlib.metadata.distributions(name=name):
            words.append(f"{name} {found.version}")
            break  # the first one found is the one that Python imports
    if module and (digest := source_digest(module)):
        words.append(f"{module} {digest}")
    return ", ".join(words)


def source_digest(module: str) -> str:
    """The digest of a module's source; empty if it has none, or only code of its package could find it.

    Nothing is imported, unlike in ``importlib.util.find_spec``: packages with estimators import slow libraries.
    """
    path: Any = None
    spec: Any = None
    parts = module.split(".")
    try:
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            spec = next(found for finder in sys.meta_path if (found := finder.find_spec(name, path)))
            path = spec.submodule_search_locations
        source = spec.loader.get_source(module)
    except Exception:  # any error of finders and loaders: the worker will report the module's fault
        return ""
    return hashlib.sha256(source.encode()).hexdigest()[:16] if source else ""


if __name__ == "__main__":
    print(describe(*sys.argv[1:]))
