"""The features that moved each row's score most, exactly.

Of a linear model, a feature's effect is the sum over its columns of coefficient times the column's difference from its
mean in training: how far it moves the score from that of an average row (the Shapley value of a linear model with
independent columns). The unit is that of the score: log odds of a logistic regression.

Of trees it is the Shapley value that the trees' own covers give (Lundberg and others, "From local explanations to
global understanding with explainable AI for trees", 2020), as the package shap computes it. The unit is that of the
trees: log odds of boosting, probabilities of forests.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.inspection import take_apart

if TYPE_CHECKING:
    from airflow_sklearn.contract.explanation import TargetExplanation


class LinearReasons:
    """Explains the rows of one target's linear model.

    :param estimator: the fitted estimator.
    :param explanation: its explanation, of the kind ``linear``, with a feature for each column that has a weight.
    """

    def __init__(self, estimator: Any, explanation: TargetExplanation) -> None:
        self.inside = take_apart(estimator)
        columns = explanation.columns
        self.features = list(dict.fromkeys(column.feature for column in columns if any(column.coefficients)))
        number = {feature: place for place, feature in enumerate(self.features)}
        self._weighted = [
            (place, number[column.feature], column.mean, np.asarray(column.coefficients))
            for place, column in enumerate(columns)
            if any(column.coefficients)
        ]
        self._intercepts = np.asarray(explanation.intercepts)

    def __call__(self, X: Any) -> np.ndarray:
        """The effect of each feature on each row's score; of several classes, on that of the row's highest class.

        :param X: the input of the estimator, of shape (rows, features).
        :return: shape (rows, ``features``).
        """
        columns = self.inside.columns(X)
        columns = columns.tocsc() if sparse.issparse(columns) else np.asarray(columns)
        each = [self._effects(columns, output) for output in range(len(self._intercepts))]
        if len(each) == 1:
            return each[0]
        means = np.sum([mean * weights for _, _, mean, weights in self._weighted], axis=0) + self._intercepts
        scores = np.column_stack([_summed(effects) + mean for effects, mean in zip(each, means, strict=True)])
        return np.stack(each)[scores.argmax(axis=1), np.arange(columns.shape[0])]

    def _effects(self, columns: Any, output: int) -> np.ndarray:
        found = np.zeros((columns.shape[0], len(self.features)))
        for place, feature, mean, weights in self._weighted:
            weight = weights[output]
            if isinstance(columns, np.ndarray):
                found[:, feature] += weight * (columns[:, place] - mean)
                continue
            found[:, feature] -= weight * mean
            part = slice(columns.indptr[place], columns.indptr[place + 1])
            found[columns.indices[part], feature] += weight * columns.data[part]
        return found


class TreeReasons:
    """Explains the rows of one target's trees.

    :param estimator: the fitted estimator.
    :param explanation: its explanation, of the kind ``trees``, with a feature for each column.
    :raises UserError: shap is not installed here.
    """

    def __init__(self, estimator: Any, explanation: TargetExplanation) -> None:
        if importlib.util.find_spec("shap") is None:
            raise UserError(
                "explain needs shap for trees, which is not installed where this job runs. Fix: pip install "
                "'airflow-sklearn[explain]' in the worker's image or environment, or leave explain out."
            )
        import shap

        self.inside = take_apart(estimator)
        self._explainer = shap.TreeExplainer(self.inside.last)
        origins = [column.feature for column in explanation.columns]
        kept = range(len(origins)) if self.inside.kept is None else self.inside.kept
        self.features = list(dict.fromkeys(origins[place] for place in kept))
        self._places = [self.features.index(origins[place]) for place in kept]

    def __call__(self, X: Any) -> np.ndarray:
        """The effect of each feature on each row's score; of several classes, on that of the row's highest class.

        :param X: the input of the estimator, of shape (rows, features).
        :return: shape (rows, ``features``).
        """
        columns = self.inside.columns(X)
        columns = columns.toarray() if sparse.issparse(columns) else np.asarray(columns, dtype=np.float64)
        columns = columns if self.inside.kept is None else columns[:, self.inside.kept]
        values = np.asarray(self._explainer.shap_values(columns, check_additivity=False))
        if values.ndim == 3:
            means = np.asarray(self._explainer.expected_value)
            scores = [_summed(values[:, :, output]) + mean for output, mean in enumerate(means)]
            highest = np.ones(len(values), int) if len(means) == 2 else np.column_stack(scores).argmax(axis=1)
            values = values[np.arange(len(values)), :, highest]
        found = np.zeros((len(values), len(self.features)))
        for place, column in zip(self._places, values.T, strict=True):
            found[:, place] += column
        return found


#: What explains the rows of each kind of estimator.
REASONS: dict[str, type[LinearReasons | TreeReasons]] = {"linear": LinearReasons, "trees": TreeReasons}


def _summed(effects: np.ndarray) -> np.ndarray:
    """The sum of each row, added column by column: the same bits whatever the number of rows."""
    total = np.zeros(len(effects))
    for column in effects.T:
        total += column
    return total


def strongest(effects: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the features with the largest absolute effects, and these effects. Of equal ones the first.

    :param effects: shape (rows, features).
    :param count: at most the number of features.
    :return: two arrays of shape (rows, count).
    """
    order = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(effects, order, axis=1)
