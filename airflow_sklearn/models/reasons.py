"""The features that moved each row's score most.

An effect says how far a feature moves a row's score from the average one, and all effects of a row add up to this
difference. The unit is that of the score.

- Of a linear model, it is the sum over the feature's columns of coefficient times the column's difference from its mean
  in training (the Shapley value of a linear model with independent columns). Log odds of a logistic regression.
- Of trees it is the Shapley value that the trees' own covers give (``tree_effects``). Log odds of boosting,
  probabilities of forests.
- Of a calibrated classifier it is the mean over the estimators in it, before calibration.
- Of a stack whose last step is linear, effects on the members' answers count with the coefficients of these. Where the
  last step gets probabilities of a member that has log odds, effects on log odds become such on probabilities in
  proportion to how steep the curve is between the average row and this one. See Chen, Lundberg and Lee, "Explaining a
  series of models by propagating Shapley values" (2022); of several classes the mean slope along the way is taken, as
  in Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks" (2017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import sparse
from scipy.special import expit
from sklearn.base import is_classifier

from airflow_sklearn.models.inspection import linear_weights, members_of, take_apart, unwrapped
from airflow_sklearn.models.tree_effects import TreeEffects, blocks
from airflow_sklearn.models.tree_models import tree_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.explanation import TargetExplanation

_POINTS = 32  # of the quadrature between the average row and this one
_TOLERANCE = 1e-6


class Reasons:
    """Explains the rows of one target's estimator.

    :param estimator: the fitted estimator.
    :param explanation: its explanation, of a known kind, with a feature for each column that counts.
    """

    def __init__(self, estimator: Any, explanation: TargetExplanation) -> None:
        self._effects = _effects_of(estimator, explanation)
        #: The names of the features that have effects.
        self.features = self._effects.features

    def __call__(self, X: Any) -> np.ndarray:
        """The effect of each feature on each row's score; of several classes, on that of the row's highest class.

        :param X: the input of the estimator, of shape (rows, features).
        :return: shape (rows, ``features``).
        """
        each = self._effects(X)
        if len(each) == 1:
            return each[0]
        highest = (_summed(each) + self._effects.averages[:, None]).argmax(axis=0)
        return each[highest, np.arange(each.shape[1])]

    def scores(self, X: Any) -> np.ndarray:
        """The scores that the effects add up to, of shape (rows, scores)."""
        return (_summed(self._effects(X)) + self._effects.averages[:, None]).T


def adds_up(estimator: Any, explanation: TargetExplanation, X: Any) -> bool:
    """Whether the effects add up to the estimator's own scores: decision values, or numbers.

    :param estimator: the fitted estimator.
    :param X: some rows, of shape (rows, features).
    """
    inner = unwrapped(estimator)
    own = np.asarray((inner.decision_function if is_classifier(inner) else inner.predict)(X), dtype=np.float64)
    found = Reasons(estimator, explanation).scores(X)
    own = own.reshape(len(found), -1)
    return own.shape == found.shape and np.allclose(found, own, rtol=_TOLERANCE, atol=_TOLERANCE)


class _Effects(Protocol):
    """The effects of features on the scores of an estimator: one score, or one for each of several classes.

    ``features`` are the names of the features, ``averages`` the scores of an average row, of shape (scores,).
    """

    features: list[str]
    averages: np.ndarray

    def __call__(self, X: Any) -> np.ndarray:
        """The effects on rows of the estimator's input: shape (scores, rows, features)."""


def _effects_of(estimator: Any, explanation: TargetExplanation) -> _Effects:
    kinds: dict[str, Any] = {"linear": _Linear, "trees": _Trees, "mean": _Mean, "stack": _Stack}
    made: _Effects = kinds[explanation.kind](estimator, explanation)
    return made


class _Linear:
    def __init__(self, estimator: Any, explanation: TargetExplanation) -> None:
        self._inside = take_apart(estimator)
        columns = explanation.columns
        self.features = list(dict.fromkeys(column.feature for column in columns if any(column.coefficients)))
        number = {feature: place for place, feature in enumerate(self.features)}
        self._weighted = [
            (place, number[column.feature], column.mean, np.asarray(column.coefficients))
            for place, column in enumerate(columns)
            if any(column.coefficients)
        ]
        intercepts = np.asarray(explanation.intercepts)
        self.averages = np.sum([mean * weights for _, _, mean, weights in self._weighted], axis=0) + intercepts

    def __call__(self, X: Any) -> np.ndarray:
        columns = self._inside.columns(X)
        columns = columns.tocsc() if sparse.issparse(columns) else np.asarray(columns)
        return np.stack([self._of_score(columns, score) for score in range(len(self.averages))])

    def _of_score(self, columns: Any, score: int) -> np.ndarray:
        found = np.zeros((columns.shape[0], len(self.features)))
        for place, feature, mean, weights in self._weighted:
            weight = weights[score]
            if isinstance(columns, np.ndarray):
                found[:, feature] += weight * (columns[:, place] - mean)
                continue
            found[:, feature] -= weight * mean
            part = slice(columns.indptr[place], columns.indptr[place + 1])
            found[columns.indices[part], feature] += weight * columns.data[part]
        return found


class _Trees:
    def __init__(self, estimator: Any, explanation: TargetExplanation) -> None:
        self._inside = take_apart(estimator)
        self._model = tree_model(self._inside.last)
        self.are_probabilities = self._model.probabilities
        origins = [column.feature for column in explanation.columns]
        kept = range(len(origins)) if self._inside.kept is None else self._inside.kept
        self.features = list(dict.fromkeys(origins[place] for place in kept))
        numbers = np.array([self.features.index(origins[place]) for place in kept])[self._model.columns]
        self._trees = [(TreeEffects(tree, numbers), scores) for tree, scores in self._model.trees]
        self.averages = self._model.intercepts.copy()
        for tree, scores in self._trees:
            self.averages[list(scores)] += tree.averages

    def __call__(self, X: Any) -> np.ndarray:
        matrix = self._model.matrix(self._inside.last_input(X))
        found = np.zeros((len(self.averages), len(matrix), len(self.features)))
        for start, size in blocks(len(matrix)):
            rows = matrix[start : start + size]
            block = np.zeros((len(self.averages), len(self.features), size))
            full = np.concatenate([rows, np.repeat(rows[-1:], size - len(rows), axis=0)])
            for tree, scores in self._trees:
                tree.add_to(block, full, scores)
            found[:, start : start + len(rows)] = block.transpose(0, 2, 1)[:, : len(rows)]
        return found


class _Mean:
    """The mean over the calibrated estimators, each before its calibration."""

    def __init__(self, estimator: Any, explanation: TargetExplanation) -> None:
        self._inside = take_apart(estimator)
        members = members_of(self._inside.last)
        self._members = [_effects_of(one, its) for one, its in zip(members, explanation.members, strict=True)]
        self.features = _union(self._members)
        self.averages = np.sum([one.averages for one in self._members], axis=0) / len(members)

    def __call__(self, X: Any) -> np.ndarray:
        taken = self._inside.last_input(X)
        found: Any = 0.0
        for one in self._members:
            found = found + _among(self.features, one.features, one(taken))
        return np.asarray(found / len(self._members))


class _Stack:
    def __init__(self, estimator: Any, explanation: TargetExplanation) -> None:
        self._inside = take_apart(estimator)
        last = self._inside.last
        methods = [method for method in last.stack_method_ if method is not None]
        self._members: list[_Effects] = []
        for one, method, its in zip(members_of(last), methods, explanation.members, strict=True):
            effects = _effects_of(one, its)
            in_odds = method == "predict_proba" and not (isinstance(effects, _Trees) and effects.are_probabilities)
            self._members.append(_Probabilities(effects) if in_odds else effects)
        self.features = _union(self._members)
        self._weights, self.averages = linear_weights(last.final_estimator_)
        self.averages = self.averages.copy()
        for one, weights in self._each():
            self.averages += _summed(weights * one.averages)

    def __call__(self, X: Any) -> np.ndarray:
        taken = self._inside.last_input(X)
        found: Any = 0.0
        for one, weights in self._each():
            for effects, weight in zip(_among(self.features, one.features, one(taken)), weights.T, strict=True):
                found = found + weight[:, None, None] * effects
        return np.asarray(found)

    def _each(self) -> list[tuple[_Effects, np.ndarray]]:
        """The members, each with its part of the last step's weights, of shape (scores, scores of the member)."""
        ends = np.cumsum([len(one.averages) for one in self._members])
        return list(zip(self._members, np.split(self._weights, ends[:-1], axis=1), strict=True))


class _Probabilities:
    """Effects on log odds as such on probabilities.

    :param odds: the effects on log odds.
    """

    def __init__(self, odds: _Effects) -> None:
        self._odds, self.features = odds, odds.features
        self.averages = _probabilities(odds.averages[:, None])[:, 0]
        points, weights = np.polynomial.legendre.leggauss(_POINTS)
        self._points = list(zip((points + 1) / 2, weights / 2, strict=True))

    def __call__(self, X: Any) -> np.ndarray:
        effects = self._odds(X)
        average = self._odds.averages[:, None]
        way = _summed(effects)
        if len(effects) == 1:
            here, there = expit(average), expit(average + way)
            steep = np.divide(there - here, way, out=here * (1 - here) + 0 * way, where=way != 0)
            return np.asarray(effects * steep[:, :, None])
        slopes = np.zeros((len(effects), *way.shape))
        for point, weight in self._points:
            shares = _probabilities(average + point * way)
            for place, share in enumerate(shares):
                slopes[place] -= weight * share * shares
                slopes[place, place] += weight * share
        return np.stack([sum(slope[:, None] * its for slope, its in zip(s, effects, strict=True)) for s in slopes])


def _probabilities(odds: np.ndarray) -> np.ndarray:
    """The probabilities of classes: of one row of log odds, that of the second class. Of shape (scores, rows)."""
    if len(odds) == 1:
        return np.asarray(expit(odds))
    powers = np.exp(odds - odds.max(axis=0))
    total = np.zeros(powers.shape[1])
    for one in powers:
        total += one
    return np.asarray(powers / total)


def _union(members: Sequence[_Effects]) -> list[str]:
    return list(dict.fromkeys(feature for one in members for feature in one.features))


def _among(features: Sequence[str], own: Sequence[str], effects: np.ndarray) -> np.ndarray:
    """Effects of some features, as such of more features."""
    found = np.zeros((*effects.shape[:2], len(features)))
    found[:, :, [features.index(feature) for feature in own]] = effects
    return found


def _summed(effects: np.ndarray) -> np.ndarray:
    """The sum over the last axis, added one by one: the same bits whatever the other axes."""
    total = np.zeros(effects.shape[:-1])
    for place in range(effects.shape[-1]):
        total += effects[..., place]
    return total


def strongest(effects: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the features with the largest absolute effects, and these effects. Of equal ones the first.

    :param effects: shape (rows, features).
    :param count: at most the number of features.
    :return: two arrays of shape (rows, count).
    """
    order = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(effects, order, axis=1)
