"""Prints what software the interpreter that runs this has: ``python -m airflow_sklearn.runtimes.software [MODULE]``."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import sys
from typing import Any

_DISTRIBUTIONS = ("airflow-sklearn", "joblib", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy")


def describe(module: str = "") -> str:
    """The versions of Python and of the packages that models depend on, and a digest of a module's source."""
    words = [f"python {platform.python_version()}"]
    for name in _DISTRIBUTIONS:
        for found in importlib.metadata.distributions(name=name):
            words.append(f"{name} {found.version}")
            break  # the first is what is imported
    if module and (digest := source_digest(module)):
        words.append(f"{module} {digest}")
    return ", ".join(words)


def source_digest(module: str) -> str:
    """A digest of a module's source; empty where it has none, or is found by its package's code only.

    Imports nothing, unlike ``importlib.util.find_spec``: packages with estimators import slow libraries.
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
    except Exception:  # whatever finders and loaders raise: the worker will tell what is wrong with the module
        return ""
    return hashlib.sha256(source.encode()).hexdigest()[:16] if source else ""


if __name__ == "__main__":
    print(describe(*sys.argv[1:]))
