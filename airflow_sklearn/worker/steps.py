"""Naming the part of an estimator whose results differ for the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

_FITTED = ("best_estimator_", "regressor_", "estimator_")  # wrappers' attributes for the fitted estimator


def name_of_differing_step(estimator: Any, one: Any, other: Any, rows: Sequence[int]) -> str:
    """The first step whose results differ, such as ``The step 'center' (FunctionTransformer)``; else the estimator's
    class.

    :param estimator: a fitted estimator.
    :param one: its input.
    :param other: another input, or the same.
    :param rows: the numbers of rows that are the same in both.
    """
    try:
        steps = _differing(estimator, one, other, list(rows))
    except Exception:  # an estimator that cannot be taken apart is named as a whole
        steps = []
    if not steps:
        return type(estimator).__name__
    names = " in ".join(f"{name!r} ({type(step).__name__})" for name, step in reversed(steps))
    return f"The step {names}"


def _differing(estimator: Any, one: Any, other: Any, rows: list[int]) -> list[tuple[str, Any]]:
    """The names on the way to the first part that differs, each with its estimator."""
    for name in _FITTED:
        if hasattr(estimator, name):
            return _differing(getattr(estimator, name), one, other, rows)
    if isinstance(estimator, Pipeline):
        for name, step in estimator.steps[:-1]:
            if step in (None, "passthrough"):
                continue
            before, (one, other) = (one, other), (step.transform(one), step.transform(other))
            if not _equal(one, other, rows):
                return [(name, step), *_differing(step, *before, rows)]
        name, last = estimator.steps[-1]
        if hasattr(last, "predict"):
            return [(name, last)]
    if isinstance(estimator, ColumnTransformer):
        for name, step, columns in estimator.transformers_:
            if isinstance(step, str):
                continue
            parts = (one[columns], other[columns])
            if not _equal(step.transform(parts[0]), step.transform(parts[1]), rows):
                return [(name, step), *_differing(step, *parts, rows)]
    return []


def _equal(one: Any, other: Any, rows: list[int]) -> bool:
    arrays = []
    for found in (one, other):
        found = found.toarray() if sparse.issparse(found) else np.asarray(found)
        arrays.append(found[rows])
    if arrays[0].dtype == object:
        return bool(np.all([str(x) == str(y) for x, y in zip(arrays[0].ravel(), arrays[1].ravel(), strict=True)]))
    return bool(np.allclose(arrays[0], arrays[1], rtol=1e-9, atol=0, equal_nan=True))
