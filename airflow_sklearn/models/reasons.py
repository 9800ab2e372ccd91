"""The features that moved each row's score most, exactly.

Of a linear model, a feature's effect is the sum over its columns of coefficient times the column's difference from its
mean in training: how far it moves the score from that of an average row (the Shapley value of a linear model with
independent columns). The unit is that of the score: log odds of a logistic regression.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

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
