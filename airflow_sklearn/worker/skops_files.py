"""Estimators in the format of skops, which holds no pickle. A file is loaded only if all its types are trusted.

The trusted types come from the configuration of Airflow or of the worker, never from the file: besides those that skops
trusts by itself, the estimators of this package, the types that the job names, and those in an environment variable.
"""

from __future__ import annotations

import importlib.util
import os
import pkgutil
from typing import TYPE_CHECKING, Any

from sklearn.base import BaseEstimator

from airflow_sklearn.exceptions import BrokenEnvironmentError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

TRUSTED_TYPES = "AIRFLOW_SKLEARN_SKOPS_TRUSTED_TYPES"
"""The environment variable of a worker with trusted types, with commas between."""
_OURS = "airflow_sklearn.models."


def dump(estimator: Any, path: str) -> None:
    """Write an estimator to a local file.

    :raises UserError: skops is not installed here, or cannot write the estimator.
    """
    io = _io()
    try:
        io.dump(estimator, path)
    except Exception as error:
        raise UserError(
            f"skops cannot store the fitted {type(estimator).__name__} ({type(error).__name__}: {error}). "
            "Fix: use persistence='joblib', or an estimator without lambdas, local classes and data frames."
        ) from error


def load(path: str, trusted: Iterable[str], where: str) -> Any:
    """Load an estimator from a local file.

    :param path: the file, whose digest has been checked.
    :param trusted: names of types that the job trusts.
    :param where: the file's URI, for messages.
    :raises UserError: the file contains a type that is not trusted, or skops is not installed here.
    :raises BrokenEnvironmentError: the file cannot be read here.
    """
    io = _io()
    try:
        unknown = [name for name in io.get_untrusted_types(file=path) if not _is_estimator_of_ours(name)]
        allowed = {*trusted, *from_environment()}
        if unknown := [name for name in unknown if name not in allowed]:
            raise UserError(
                f"{where} contains types that nobody has declared trusted: {', '.join(unknown)}. It is not loaded. "
                "Fix: if you trust them, add them to Airflow's [airflow_sklearn] skops_trusted_types, or to the "
                f"worker's environment variable {TRUSTED_TYPES}, with commas between."
            )
        return io.load(path, trusted=io.get_untrusted_types(file=path))
    except (MemoryError, UserError):
        raise
    except Exception as error:
        raise BrokenEnvironmentError(
            f"{where} cannot be read by skops here ({type(error).__name__}: {error}). Fix: use the image, or the "
            "package versions, that wrote it."
        ) from error


def from_environment() -> tuple[str, ...]:
    """The trusted types in this process's environment."""
    return tuple(name for part in os.environ.get(TRUSTED_TYPES, "").split(",") if (name := part.strip()))


def _is_estimator_of_ours(name: str) -> bool:
    if not name.startswith(_OURS):
        return False
    try:
        found = pkgutil.resolve_name(name)
    except (AttributeError, ImportError, ValueError):
        return False
    return isinstance(found, type) and issubclass(found, BaseEstimator)


def _io() -> Any:
    if importlib.util.find_spec("skops") is None:
        raise UserError(
            "skops is not installed where this job runs. Fix: pip install 'airflow-sklearn[skops]' in the worker's "
            "image or environment."
        )
    import skops.io

    return skops.io
