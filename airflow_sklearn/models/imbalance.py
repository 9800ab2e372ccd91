"""Classes that are rare: making each class count the same in fitting."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone


def with_balanced_classes(estimator: Any) -> tuple[Any, bool]:
    """A copy of an estimator in which each class counts the same, by ``class_weight="balanced"`` of its final step.

    :return: the copy; and whether the final step has no such parameter, so that the rows must be weighted.
    """
    copy = clone(estimator, safe=False)
    names = [name for name in copy.get_params(deep=True) if name.rpartition("__")[2] == "class_weight"]
    if not names:
        return copy, True
    return copy.set_params(**{min(names, key=len): "balanced"}), False


def balanced_weights(y: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray:
    """Weights of the rows with which each class has the same sum.

    :param y: the classes, of shape (rows,).
    :param sample_weight: the rows' own weights, of shape (rows,), which are multiplied; None: no weights.
    :return: shape (rows,). Their sum is that of the own weights.
    """
    weight = np.ones(len(y)) if sample_weight is None else sample_weight
    classes, numbers = np.unique(y, return_inverse=True)
    sums = np.bincount(numbers, weight)
    return np.asarray(weight * (weight.sum() / len(classes) / sums)[numbers])
