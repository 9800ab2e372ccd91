"""Looking into a fitted estimator: its last step, the columns that it gets, and the features that these are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import StackingClassifier, StackingRegressor
from sklearn.feature_selection import SelectorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC, LinearSVR

from airflow_sklearn.models.preprocessing import TablePreprocessor
from airflow_sklearn.models.tree_models import HISTOGRAMS

if TYPE_CHECKING:
    from collections.abc import Sequence

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

    def last_input(self, X: Any) -> Any:
        """What the last step gets, of shape (rows, kept columns)."""
        columns = self.columns(X)
        if self.kept is None:
            return columns
        return columns.iloc[:, self.kept] if isinstance(columns, pd.DataFrame) else columns[:, self.kept]

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
    """The one fitted estimator by whose scores a threshold decides, or which a calibration takes. Other wrappers have
    several, or change the scores in their order.
    """
    if type(estimator).__name__ in ("FixedThresholdClassifier", "TunedThresholdClassifierCV"):
        return estimator.estimator_
    inner = members_of(estimator) if isinstance(estimator, CalibratedClassifierCV) else []
    return inner[0] if len(inner) == 1 else None


def members_of(last: Any) -> list[Any]:
    """The fitted estimators of which a calibration takes the mean, or that a stack weighs; empty: it is neither."""
    if isinstance(last, CalibratedClassifierCV):
        return [one.estimator for one in last.calibrated_classifiers_]
    return list(last.estimators_) if is_stack(last) else []


def is_stack(last: Any) -> bool:
    """Whether an estimator weighs the answers of others by a last one."""
    return isinstance(last, StackingClassifier | StackingRegressor)


def linear_weights(final: Any) -> tuple[np.ndarray, np.ndarray]:
    """The weights by which a fitted linear model, perhaps behind scalers, adds up its input, and the intercepts.

    :param final: an estimator that ``is_sum``.
    :return: shapes (scores, columns) and (scores,).
    """
    inside = take_apart(final)
    weights, start = np.atleast_2d(inside.last.coef_), np.atleast_1d(inside.last.intercept_)
    for scaler in reversed(_steps(inside)):
        weights = weights / (1.0 if scaler.scale_ is None else scaler.scale_)
        start = start - (0.0 if scaler.mean_ is None else (weights * scaler.mean_).sum(axis=1))
    return weights, start


def is_sum(final: Any) -> bool:
    """Whether ``linear_weights`` knows a fitted estimator."""
    inside = take_apart(final)
    steps = _steps(inside)
    return is_linear(inside.last) and inside.kept is None and all(isinstance(one, StandardScaler) for one in steps)


def _steps(inside: Inside) -> list[Any]:
    return [] if inside.before is None else [step for _, step in inside.before.steps]


def is_linear(last: Any) -> bool:
    """Whether an estimator's score is a sum of coefficients times columns, and the intercept."""
    in_module = type(last).__module__.startswith("sklearn.linear_model")
    return (in_module or isinstance(last, LinearSVC | LinearSVR)) and hasattr(last, "coef_")


def is_trees(last: Any) -> bool:
    """Whether an estimator consists of decision trees."""
    return hasattr(last, "feature_importances_") or isinstance(last, HISTOGRAMS)


def has_own_importances(estimator: Any) -> bool:
    """Whether a fitted estimator says itself how much features count."""
    last = take_apart(estimator).last
    return is_linear(last) or hasattr(last, "feature_importances_")


def made_of(inside: Inside, X: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """The feature that each column is made of; empty: of several, or unknown.

    The package's own preprocessing knows. Of other steps, a feature's values are permuted among some rows, and the
    columns that change are made of it. Columns that never change in these rows, such as those of rare levels, belong to
    the feature with which their name begins; in wide tables all do.

    :param X: some rows as the estimator takes them, of shape (rows, features): a DataFrame, or an array, the features
        of which are then numbers from 0.
    :param names: the result of ``Inside.names``.
    """
    framed = isinstance(X, pd.DataFrame)
    X = X if framed else pd.DataFrame(_dense(X)).rename(columns=str)
    features = [str(name) for name in X.columns]
    if inside.before is None:
        return features
    if len(inside.before.steps) == 1 and isinstance(inside.before.steps[0][1], TablePreprocessor):
        return [feature for feature, _ in inside.before.steps[0][1].column_origins()]
    if len(features) > _MOST_PERMUTED and names:
        return [_by_name(name, features) for name in names]

    def columns_of(frame: pd.DataFrame) -> np.ndarray:
        return _dense(inside.columns(frame if framed else frame.to_numpy()))

    before = columns_of(X)
    touched: list[list[str]] = [[] for _ in range(before.shape[1])]
    order = np.roll(np.arange(len(X)), 1)
    for feature in features:
        other = X.copy(deep=False)
        other[feature] = X[feature].iloc[order].set_axis(X.index)
        for number in np.flatnonzero(~_same(before, columns_of(other))):
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
