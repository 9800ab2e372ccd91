"""Recognising estimators whose libraries give last bits that depend on the number of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline

from airflow_sklearn.models.several_targets import SeveralTargets

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Modules whose estimators multiply matrices when they predict.
_BLAS = (
    "sklearn.cluster",
    "sklearn.covariance",
    "sklearn.cross_decomposition",
    "sklearn.decomposition",
    "sklearn.discriminant_analysis",
    "sklearn.gaussian_process",
    "sklearn.impute._knn",
    "sklearn.kernel_approximation",
    "sklearn.kernel_ridge",
    "sklearn.linear_model",
    "sklearn.manifold",
    "sklearn.mixture",
    "sklearn.naive_bayes",
    "sklearn.neighbors",
    "sklearn.neural_network",
    "sklearn.random_projection",
    "sklearn.semi_supervised",
    "jax",
    "keras",
    "skorch",
    "tensorflow",
    "torch",
)
#: Those among them that add up row by row if the matrix is sparse.
_PLAIN_ON_SPARSE = ("sklearn.linear_model", "sklearn.naive_bayes")


def may_use_blas(estimator: Any, X: Any) -> bool:
    """Whether a part of a fitted estimator may multiply dense matrices.

    :param estimator: a fitted estimator.
    :param X: a few rows, in the form in which the estimator takes them.
    """
    if isinstance(estimator, SeveralTargets):
        return any(may_use_blas(one, X) for one in estimator.estimators.values())
    before: list[Any] = []
    while isinstance(estimator, FixedThresholdClassifier | FrozenEstimator):
        estimator = estimator.estimator
    while isinstance(estimator, Pipeline):
        *steps, (_, last) = estimator.steps
        before += [step for _, step in steps]
        X = estimator[:-1].transform(X) if steps else X
        estimator = last
    allowed = _PLAIN_ON_SPARSE if sparse.issparse(X) else ()
    parts = [part for step in before for part in _parts(step)]
    parts += [part for part in _parts(estimator) if not _is_of(part, allowed)]
    return any(_is_of(part, _BLAS) or type(part).__name__ in ("LinearSVC", "LinearSVR") for part in parts)


def _is_of(part: Any, modules: tuple[str, ...]) -> bool:
    return any(f"{cls.__module__}.".startswith(f"{module}.") for cls in type(part).__mro__ for module in modules)


def _parts(item: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """An object and all that it holds."""
    seen = set() if seen is None else seen
    if id(item) in seen or item is None or isinstance(item, str | bytes | int | float | type):
        return
    seen.add(id(item))
    if isinstance(item, dict):
        item = list(item.values())
    if isinstance(item, np.ndarray):
        item = item.ravel().tolist() if item.dtype == object else []
    if isinstance(item, list | tuple | set):
        for inner in item:
            yield from _parts(inner, seen)
        return
    yield item
    for inner in getattr(item, "__dict__", {}).values():
        yield from _parts(inner, seen)
