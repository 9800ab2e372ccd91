"""The software that a driver and its workers must have in common, because pickles depend on it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: How many parts of a version must be equal. scikit-learn supports no pickles of other versions.
_PARTS = {
    "python": 2,
    "airflow-sklearn": 3,
    "cloudpickle": 1,
    "joblib": 2,
    "numpy": 2,
    "pandas": 2,
    "scikit-learn": 3,
    "scipy": 2,
}
_NEEDED = ("python", "airflow-sklearn", "cloudpickle", "joblib")


def installed_software() -> dict[str, str]:
    """The versions of Python and of the packages that pickles of models and arrays depend on. None is imported."""
    found = {"python": platform.python_version()}
    for name in _PARTS:
        if name != "python":
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
    return found


def differences(driver: Mapping[str, str], worker: Mapping[str, str]) -> Iterator[str]:
    """Yield the incompatible versions as text. Packages that the driver lacks are ignored: its pickles cannot contain
    them.
    """
    for name, parts in _PARTS.items():
        here, there = driver.get(name), worker.get(name)
        if here is None:
            continue
        if there is None and name in _NEEDED:
            yield f"{name} {here} here, none in the worker"
        elif there is not None and here.split(".")[:parts] != there.split(".")[:parts]:
            yield f"{name} {here} here, {there} in the worker"
