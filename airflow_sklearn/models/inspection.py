"""Looking into a fitted estimator: its last step, the columns that it gets, and the features that these are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.ensemble._forest import BaseForest
from sklearn.feature_selection import SelectorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC, LinearSVR
from sklearn.tree import BaseDecisionTree

from airflow_sklearn.models.preprocessing import TablePreprocessor

if TYPE_CHECKING:
    from collections.abc import Sequence

_HISTOGRAMS = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
_MOST_PERMUTED = 200  # features


@dataclass(frozen=True)
class Inside:
    """A fitted estimator, taken apart.

    :param before: the steps before the last one and before selections, as one transformer; None: there are none.
    :param kept: the numbers of the columns of ``before`` that selections keep, of shape (kept,); None: all.
    :param last: the last step.
    """

    before: Any
    kept: np.ndarray | None
    last: Any

    def columns(self, X: Any) -> Any:
        """The columns before selections: an array, a sparse matrix or a DataFrame, of shape (rows, columns)."""
        return X if self.before is None else self.before.transform(X)

    def names(self, features: Sequence[str]) -> list[str]:
        """The names of these columns; numbers where a step does not name its columns."""
        if self.before is None:
            return list(features)
        try:
            return [str(name) for name in self.before.get_feature_names_out()]
        except Exception:  # a transformer from elsewhere need not have names
            return []


def take_apart(estimator: Any) -> Inside:
    """Take a fitted estimator apart. Searches, thresholds and frozen estimators are looked into."""
    estimator = unwrapped(estimator)
    if not isinstance(estimator, Pipeline):
        return Inside(None, None, estimator)
    *steps, (_, last) = [(name, step) for name, step in estimator.steps if step not in (None, "passthrough")]
    masks = []
    while steps and isinstance(steps[-1][1], SelectorMixin):
        masks.append(steps.pop()[1].get_support(indices=True))
    kept = None
    for chosen in reversed(masks):
        kept = chosen if kept is None else kept[chosen]
    return Inside(Pipeline(steps) if steps else None, kept, unwrapped(last))


def unwrapped(estimator: Any) -> Any:
    """The estimator inside of searches, thresholds and ``FrozenEstimator``."""
    while True:
        if isinstance(estimator, FrozenEstimator):
            inner = estimator.estimator
        elif isinstance(estimator, Pipeline | TransformedTargetRegressor):
            return estimator
        else:
            inner = vars(estimator).get("best_estimator_") or _only_estimator(estimator)
        if inner is None:
            return estimator
        estimator = inner


def _only_estimator(estimator: Any) -> Any:
    """The fitted estimator whose scores a threshold decides by. Other wrappers change the scores."""
    name = type(estimator).__name__
    return estimator.estimator_ if name in ("FixedThresholdClassifier", "TunedThresholdClassifierCV") else None


def is_linear(last: Any) -> bool:
    """Whether an estimator's score is a sum of coefficients times columns, and the intercept."""
    in_module = type(last).__module__.startswith("sklearn.linear_model")
    return (in_module or isinstance(last, LinearSVC | LinearSVR)) and hasattr(last, "coef_")


def is_trees(last: Any) -> bool:
    """Whether an estimator consists of decision trees."""
    return hasattr(last, "feature_importances_") or isinstance(last, _HISTOGRAMS)


def has_exact_trees(last: Any) -> bool:
    """Whether the contributions to the scores of an estimator's trees can be computed exactly.

    They can not for splits by categories, nor for gradient boosting of several classes.
    """
    if isinstance(last, _HISTOGRAMS):
        return not np.any(last.is_categorical_)
    if isinstance(last, GradientBoostingClassifier):
        return len(last.classes_) == 2
    return isinstance(last, (BaseForest, BaseDecisionTree, GradientBoostingRegressor))


def has_own_importances(estimator: Any) -> bool:
    """Whether a fitted estimator says itself how much features count."""
    last = take_apart(estimator).last
    return is_linear(last) or hasattr(last, "feature_importances_")


def made_of(inside: Inside, X: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """The feature that each column is made of; empty: of several, or unknown.

    The package's own preprocessing knows. Of other steps, a feature's values are permuted among some rows, and the
    columns that change are made of it. Columns that never change in these rows, such as those of rare levels, belong to
    the feature with which their name begins; in wide tables all do.

    :param X: some rows as the estimator takes them, of shape (rows, features).
    :param names: the result of ``Inside.names``.
    """
    features = [str(name) for name in X.columns]
    if inside.before is None:
        return features
    if len(inside.before.steps) == 1 and isinstance(inside.before.steps[0][1], TablePreprocessor):
        return [feature for feature, _ in inside.before.steps[0][1].column_origins()]
    if len(features) > _MOST_PERMUTED and names:
        return [_by_name(name, features) for name in names]
    before = _dense(inside.columns(X))
    touched: list[list[str]] = [[] for _ in range(before.shape[1])]
    order = np.roll(np.arange(len(X)), 1)
    for feature in features:
        other = X.copy(deep=False)
        other[feature] = X[feature].iloc[order].set_axis(X.index)
        for number in np.flatnonzero(~_same(before, _dense(inside.columns(other)))):
            touched[number].append(feature)
    return [
        found[0] if len(found) == 1 else "" if found else _by_name(names[number] if names else "", features)
        for number, found in enumerate(touched)
    ]


def _same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """For each column, whether two matrices have equal values in it. Nulls are equal."""
    return ((one == other) | (np.isnan(one) & np.isnan(other))).all(axis=0)


def _dense(matrix: Any) -> np.ndarray:
    """A matrix as float64. Of categories in a DataFrame, the codes."""
    if sparse.issparse(matrix):
        return np.asarray(matrix.toarray(), dtype=np.float64)
    if isinstance(matrix, pd.DataFrame):
        columns = [matrix[name] for name in matrix.columns]
        plain = [column.cat.codes if isinstance(column.dtype, pd.CategoricalDtype) else column for column in columns]
        return np.column_stack([np.asarray(column, dtype=np.float64) for column in plain])
    return np.asarray(matrix, dtype=np.float64)


def _by_name(name: str, features: Sequence[str]) -> str:
    own = name.rpartition("__")[2]
    begins = [name for name in features if own == name or own.startswith(tuple(f"{name}{mark}" for mark in "=_ :"))]
    return max(begins, key=len, default="")
