"""Classes that are rare: making each class count the same in fitting."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier


def with_balanced_classes(estimator: Any) -> tuple[Any, bool]:
    """A copy of an estimator in which each class counts the same, by ``class_weight="balanced"`` of all classifiers in
    it.

    :return: the copy; and whether a classifier in it has no such parameter, so that the rows must be weighted instead.
    """
    copy = clone(estimator, safe=False)
    names = [f"{path}class_weight" for path, part in _classifiers(copy) if "class_weight" in part.get_params()]
    if not names or len(names) < len(_classifiers(copy)):
        return copy, True
    return copy.set_params(**dict.fromkeys(names, "balanced")), False


def _classifiers(estimator: Any) -> list[tuple[str, Any]]:
    """The classifiers in an estimator that hold no other one, each with the prefix of its parameters' names."""
    parts = {"": estimator, **{f"{name}__": part for name, part in estimator.get_params(deep=True).items()}}
    found = {path: part for path, part in parts.items() if hasattr(part, "fit") and is_classifier(part)}
    return [(path, part) for path, part in found.items() if not any(o != path and o.startswith(path) for o in found)]


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
