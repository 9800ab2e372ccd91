"""What metrics are computed from: the target, the predictions and the weights of some rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.metrics import MetricTask


class Ranking:
    """The order of scores, computed once for all metrics and resamples. Equal scores count as one.

    :param scores: shape (rows,).
    """

    def __init__(self, scores: np.ndarray) -> None:
        self.order = np.argsort(-scores, kind="stable")
        ordered = scores[self.order]
        self.starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(scores) else np.empty(0, int)
        self.thresholds = ordered[self.starts]

    def sums(self, values: np.ndarray) -> np.ndarray:
        """The sums of values over rows of equal score, from the highest score to the lowest.

        :param values: shape (..., rows).
        :return: shape (..., distinct scores).
        """
        return np.add.reduceat(values[..., self.order], self.starts, axis=-1)


@dataclass(frozen=True)
class Scored:
    """Rows with what is true and what was predicted.

    :param task: the kind of the target.
    :param y: shape (rows,): the numbers of the classes, or the target's numbers.
    :param predicted: the same of the predictions.
    :param weight: shape (rows,), or (resamples, rows).
    :param scores: shape (rows, classes): for each class the probability or decision value, None if there are none. For
        two classes there is one column, that of the last class.
    :param is_probability: whether the scores are probabilities.
    :param n_classes: the number of classes; 0: regression.
    :param rankings: the orders of the scores' columns.
    :param groups: shape (rows,): the number of each row's group, whose rows resemble each other; None: each row is for
        itself.
    """

    task: MetricTask
    y: np.ndarray
    predicted: np.ndarray
    weight: np.ndarray
    scores: np.ndarray | None = None
    is_probability: bool = False
    n_classes: int = 0
    rankings: tuple[Ranking, ...] = ()
    groups: np.ndarray | None = None

    def of(self, rows: np.ndarray) -> Scored:
        """Some of the rows.

        :param rows: their numbers, or a mask.
        """
        scores = None if self.scores is None else self.scores[rows]
        return replace(
            self,
            y=self.y[rows],
            predicted=self.predicted[rows],
            weight=self.weight[rows],
            scores=scores,
            rankings=_rankings(scores),
            groups=None if self.groups is None else self.groups[rows],
        )

    def weighted(self, counts: np.ndarray) -> Scored:
        """The rows with their weights multiplied, such as by how often a resample has drawn them.

        :param counts: shape (resamples, rows).
        """
        return replace(self, weight=self.weight * counts)

    def positive(self, column: int) -> np.ndarray:
        """Whether each row has the class of a column of the scores, as 0.0 and 1.0 of shape (rows,)."""
        return np.asarray(self.y == (column if self.n_classes > 2 else 1), dtype=float)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The weighted mean of values of shape (rows,); NaN if there is no weight. Shape (), or (resamples,)."""
        return np.asarray(self.weight @ values / self.weight.sum(axis=-1))


def scored_classes(
    y: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[Any],
    *,
    scores: np.ndarray | None = None,
    is_probability: bool = False,
    weight: np.ndarray | None = None,
) -> Scored:
    """The rows of a classification.

    :param y: the true classes, of shape (rows,).
    :param labels: the predicted classes, of shape (rows,).
    :param classes: all classes; of two, the last one is the positive one.
    :param scores: probabilities of shape (rows, classes), or decision values: (rows,) for two classes.
    :param weight: shape (rows,); None: all rows count the same.
    """
    if scores is not None:
        scores = scores.reshape(len(y), -1)
        scores = scores[:, -1:] if len(classes) == 2 else scores
    numbers = pd.Index(classes)
    return Scored(
        task="binary" if len(classes) == 2 else "multiclass",
        y=numbers.get_indexer(pd.Index(y)),
        predicted=numbers.get_indexer(pd.Index(labels)),
        weight=np.ones(len(y)) if weight is None else weight,
        scores=scores,
        is_probability=is_probability,
        n_classes=len(classes),
        rankings=_rankings(scores),
    )


def scored_numbers(y: np.ndarray, predicted: np.ndarray, weight: np.ndarray | None = None) -> Scored:
    """The rows of a regression. All parameters have the shape (rows,)."""
    return Scored("regression", y, predicted, np.ones(len(y)) if weight is None else weight)


def _rankings(scores: np.ndarray | None) -> tuple[Ranking, ...]:
    return () if scores is None else tuple(Ranking(column) for column in scores.T)
