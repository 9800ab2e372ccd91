"""Selecting columns by L1 penalty."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse as sp
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectorMixin
from sklearn.linear_model import lasso_path
from sklearn.model_selection import KFold
from sklearn.utils.validation import check_is_fitted, validate_data

from airflow_sklearn.models.levels import TargetNumbers

if TYPE_CHECKING:
    from collections.abc import Iterator


_SUMS = ("rows", "x", "y", "xx", "xy", "yy")


class LassoSelector(SelectorMixin, BaseEstimator):
    """Keeps the columns that the lasso keeps, with the penalty that predicts best in cross-validation.

    Of classes, the target is an indicator of the second of two, or of each of several; a column is kept if any of them
    needs it. The path of penalties is that of ``sklearn.linear_model.LassoCV``: from the smallest that keeps nothing
    down to a thousandth of it, compared by the squared error on shuffled folds.

    The lasso depends on a table only through its covariances. They are computed once a fold, so that the paths take
    time and memory by the number of columns, not of rows.

    :param folds: the number of folds.
    :param penalties: the number of penalties in the path.
    :param most: the most columns that go into the path: those with the strongest correlation with the target (sure
        independence screening, Fan and Lv 2008).
    :param target: ``classes``, ``numbers``, or ``auto``: floating-point numbers are numbers, all others classes.
    :param random_state: the seed of the folds.

    Learned attributes: ``support_`` (a mask of shape (columns,)), ``penalties_`` (the chosen one by target),
    ``n_features_in_``.
    """

    def __init__(
        self, *, folds: int = 4, penalties: int = 100, most: int = 1000, target: str = "auto", random_state: int = 42
    ) -> None:
        self.folds = folds
        self.penalties = penalties
        self.most = most
        self.target = target
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Choose the columns.

        :param X: a matrix of shape (rows, columns), dense or sparse, without nulls.
        :param y: the target, shape (rows,).
        :raises ValueError: there is no target.
        """
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float64)
        target = TargetNumbers.of(y, self.target)
        if target is None:
            raise ValueError("LassoSelector requires y to be passed, but the target y is None or not one column.")
        moments = [_Moments.of(X[rows], target.values[rows]) for rows in self._folds(X.shape[0])]
        whole = _Moments.sum(moments)
        chosen = whole.strongest(self.most)
        whole, moments = whole.of_columns(chosen), [part.of_columns(chosen) for part in moments]
        kept = np.zeros(len(chosen), dtype=bool)
        folds = [(part, whole.without(part)) for part in moments]
        self.penalties_: list[float] = []
        for index in range(target.values.shape[1]):
            penalty = _best_penalty(whole, folds, index, self.penalties)
            self.penalties_.append(penalty)
            if penalty > 0:
                kept |= whole.path(index, np.array([penalty]))[:, 0] != 0
        if not kept.any() and len(chosen):
            kept[whole.strongest(1)] = True
        self.support_ = np.zeros(X.shape[1], dtype=bool)
        self.support_[chosen[kept]] = True
        return self

    def _folds(self, rows: int) -> Iterator[np.ndarray]:
        folds = min(self.folds, rows)
        if folds < 2:
            return iter([np.arange(rows)])
        return (fold for _, fold in KFold(folds, shuffle=True, random_state=self.random_state).split(np.zeros(rows)))

    def _get_support_mask(self) -> np.ndarray:
        check_is_fitted(self, "support_")
        return self.support_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = tags.target_tags.required = True
        return tags


class _Moments:
    """The number of rows, and sums of products of columns and targets, of some rows; and what follows from them."""

    def __init__(self, rows: int, x: np.ndarray, y: np.ndarray, xx: np.ndarray, xy: np.ndarray, yy: np.ndarray) -> None:
        self.rows, self.x, self.y, self.xx, self.xy, self.yy = rows, x, y, xx, xy, yy

    @classmethod
    def of(cls, X: Any, Y: np.ndarray) -> _Moments:
        products = X.T @ X
        return cls(
            X.shape[0],
            np.asarray(X.sum(axis=0)).ravel(),
            Y.sum(axis=0),
            products.toarray() if sp.issparse(products) else products,
            np.asarray(X.T @ Y),
            (Y**2).sum(axis=0),
        )

    @classmethod
    def sum(cls, parts: list[_Moments]) -> _Moments:
        total: Any = sum
        return cls(*(total(getattr(part, name) for part in parts) for name in _SUMS))

    def without(self, part: _Moments) -> _Moments:
        return _Moments(*(getattr(self, name) - getattr(part, name) for name in _SUMS))

    def of_columns(self, chosen: np.ndarray) -> _Moments:
        return _Moments(self.rows, self.x[chosen], self.y, self.xx[np.ix_(chosen, chosen)], self.xy[chosen], self.yy)

    @property
    def covariance(self) -> np.ndarray:
        return self.xx - np.outer(self.x, self.x) / self.rows

    def with_target(self, index: int) -> np.ndarray:
        """Centred products of each column with one target."""
        return self.xy[:, index] - self.x * (self.y[index] / self.rows)

    def strongest(self, most: int) -> np.ndarray:
        """The indices of the columns with the strongest correlation with any target, in their order."""
        spread = np.sqrt(np.maximum(np.diag(self.xx) - self.x**2 / self.rows, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            strength = np.nan_to_num(np.abs(np.stack([self.with_target(i) for i in range(len(self.y))])) / spread)
        return np.sort(np.argsort(-strength.max(axis=0), kind="stable")[:most])

    def largest_penalty(self, index: int) -> float:
        found = np.abs(self.with_target(index))
        return float(found.max(initial=0.0)) / self.rows

    def path(self, index: int, penalties: np.ndarray) -> np.ndarray:
        """The lasso's coefficients, of shape (columns, penalties).

        A smaller table with the same covariances stands for the rows: the square root of their matrix.
        """
        roots, vectors = self._root
        if not len(roots):
            return np.zeros((len(self.x), len(penalties)))
        table = np.asfortranarray(roots[:, None] * vectors.T)
        target = (vectors.T @ self.with_target(index)) / roots
        scale = self.rows / len(roots)  # lasso_path divides by its own number of rows
        with warnings.catch_warnings():
            # Which columns are kept needs no exact coefficients.
            warnings.simplefilter("ignore", ConvergenceWarning)
            _, found, _ = lasso_path(table, target, alphas=penalties * scale, max_iter=1000, tol=1e-4)
        return np.asarray(found)

    @cached_property
    def _root(self) -> tuple[np.ndarray, np.ndarray]:
        """The square roots of the covariance's eigenvalues, and its eigenvectors, without those that are zero."""
        values, vectors = np.linalg.eigh(self.covariance)
        large = values > values.max(initial=0.0) * 1e-10
        return np.sqrt(values[large]), vectors[:, large]

    def squared_error(self, coefficients: np.ndarray, means: tuple[np.ndarray, float], index: int) -> np.ndarray:
        """The squared error of predictions for these rows, of shape (penalties,).

        :param coefficients: shape (columns, penalties).
        :param means: of the columns and of the target where the coefficients were learned.
        """
        x_mean, y_mean = means
        intercepts = y_mean - x_mean @ coefficients
        linear = self.xy[:, index] @ coefficients
        quadratic = np.einsum("ip,ij,jp->p", coefficients, self.xx, coefficients, optimize=True)
        sums = self.x @ coefficients
        error = self.yy[index] - 2 * linear - 2 * intercepts * self.y[index] + quadratic
        return np.asarray(error + 2 * intercepts * sums + self.rows * intercepts**2)


def _best_penalty(whole: _Moments, folds: list[tuple[_Moments, _Moments]], index: int, count: int) -> float:
    """The penalty with the smallest squared error on rows that were left out."""
    largest = whole.largest_penalty(index)
    if largest <= 0:
        return 0.0
    penalties = np.geomspace(largest, largest / 1000, count)
    if len(folds) < 2:
        return float(penalties[-1])
    errors = np.zeros(count)
    for fold, others in folds:
        means = (others.x / others.rows, float(others.y[index] / others.rows))
        errors += fold.squared_error(others.path(index, penalties), means, index)
    return float(penalties[int(np.argmin(errors))])
