"""Metrics of predicted classes and of probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_sklearn.models.metrics.registry import metric

if TYPE_CHECKING:
    from airflow_sklearn.models.metrics.scored import Scored

BINS = 20
CALIBRATION_BINS = 10


@metric("binary", "multiclass", interval=True)
def accuracy(scored: Scored) -> np.ndarray:
    """The share of rows whose class is predicted."""
    return scored.mean((scored.y == scored.predicted).astype(float))


@metric("binary", "multiclass", interval=True)
def balanced_accuracy(scored: Scored) -> np.ndarray:
    """The mean over the classes of the share of their rows that is predicted right."""
    return np.asarray(np.mean(p_correct(scored), axis=-1))


@metric("binary", "multiclass")
def confusion_matrix(scored: Scored) -> np.ndarray:
    """The weight of rows by true class (rows of the matrix) and predicted class (columns)."""
    n, weight = scored.n_classes, scored.weight
    cells = scored.y * n + scored.predicted
    if weight.ndim == 1:
        return np.bincount(cells, weight, minlength=n * n).reshape(n, n)
    order = np.argsort(cells, kind="stable")
    there, starts = np.unique(cells[order], return_index=True)
    matrix = np.zeros((*weight.shape[:-1], n * n))
    matrix[..., there] = np.add.reduceat(weight[..., order], starts, axis=-1)
    return matrix.reshape(*weight.shape[:-1], n, n)


@metric("binary", "multiclass", interval=True)
def p_correct(scored: Scored) -> np.ndarray:
    """By true class, the share of rows whose class is predicted (the recall)."""
    matrix = confusion_matrix(scored)
    return np.diagonal(matrix, axis1=-2, axis2=-1) / matrix.sum(axis=-1)


@metric("binary", "multiclass")
def pop_incidence_true(scored: Scored) -> np.ndarray:
    """The share of rows that have each class."""
    return confusion_matrix(scored).sum(axis=1) / scored.weight.sum()


@metric("binary", "multiclass")
def pop_incidence_pred(scored: Scored) -> np.ndarray:
    """The share of rows for which each class is predicted."""
    return confusion_matrix(scored).sum(axis=0) / scored.weight.sum()


@metric("binary", interval=True)
def precision(scored: Scored) -> np.ndarray:
    """Of the rows that are predicted positive, the share that is."""
    matrix = confusion_matrix(scored)
    return np.asarray(matrix[..., 1, 1] / matrix[..., :, 1].sum(axis=-1))


@metric("binary", interval=True)
def recall(scored: Scored) -> np.ndarray:
    """Of the positive rows, the share that is predicted so."""
    return np.asarray(p_correct(scored)[..., 1])


@metric("binary", interval=True)
def f1(scored: Scored) -> np.ndarray:
    """The harmonic mean of precision and recall."""
    matrix = confusion_matrix(scored)
    right = 2 * matrix[..., 1, 1]
    return np.asarray(right / (right + matrix[..., 0, 1] + matrix[..., 1, 0]))


@metric("binary", "multiclass", needs="probabilities", interval=True)
def log_loss(scored: Scored) -> np.ndarray:
    """The mean negative logarithm of the probability of the true class, clipped as in scikit-learn."""
    scores = _scores(scored)
    tiny = np.finfo(float).eps
    if scored.task == "binary":
        truth = np.where(scored.y == 1, scores[:, 0], 1 - scores[:, 0])
    else:
        truth = scores[np.arange(len(scored.y)), scored.y]
    return scored.mean(-np.log(np.clip(truth, tiny, 1 - tiny)))


@metric("binary", needs="probabilities", interval=True)
def brier_score(scored: Scored) -> np.ndarray:
    """The mean squared distance of the probability from what is true."""
    return scored.mean((_scores(scored)[:, 0] - scored.positive(0)) ** 2)


@metric("multiclass", name="brier_score", needs="probabilities", interval=True)
def brier_scores(scored: Scored) -> np.ndarray:
    """By class, the mean squared distance of its probability from what is true."""
    scores = _scores(scored)
    return np.stack([scored.mean((scores[:, i] - scored.positive(i)) ** 2) for i in range(scores.shape[1])], axis=-1)


@metric("binary", needs="probabilities")
def calibration_curve(scored: Scored) -> dict[str, np.ndarray]:
    """In ten bins of equal width: the mean ``predicted`` probability, the ``observed`` share, and the ``weight``. Bins
    without rows are left out.
    """
    return _calibration(scored, 0)


@metric("multiclass", needs="probabilities")
def calibration_curve_by_class(scored: Scored) -> list[dict[str, np.ndarray]]:
    """The calibration curve of each class."""
    return [_calibration(scored, i) for i in range(scored.n_classes)]


@metric("binary", needs="ranking")
def score_histogram(scored: Scored) -> dict[str, np.ndarray]:
    """The weight of rows by score: ``bin_edges`` and ``values``. Probabilities have 20 bins from 0 to 1."""
    return _histogram(scored, 0)


@metric("binary", needs="ranking")
def score_histogram_positive(scored: Scored) -> dict[str, np.ndarray]:
    """The weight of positive rows by score, in the bins of ``score_histogram``."""
    return _histogram(scored, 0, scored.positive(0))


@metric("multiclass", name="score_histogram", needs="ranking")
def score_histograms(scored: Scored) -> list[dict[str, np.ndarray]]:
    """The histogram of the scores of each class."""
    return [_histogram(scored, i) for i in range(scored.n_classes)]


@metric("binary", "multiclass")
def training_histogram(scored: Scored) -> np.ndarray:
    """The weight of rows that have each class."""
    return np.bincount(scored.y, scored.weight, minlength=scored.n_classes)


def _scores(scored: Scored) -> np.ndarray:
    assert scored.scores is not None
    return scored.scores


def _calibration(scored: Scored, column: int) -> dict[str, np.ndarray]:
    scores = _scores(scored)[:, column]
    bins = np.minimum((scores * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    weight, predicted, observed = (
        np.bincount(bins, values * scored.weight, minlength=CALIBRATION_BINS)
        for values in (np.ones(len(scores)), scores, scored.positive(column))
    )
    there = weight > 0
    return {
        "predicted": predicted[there] / weight[there],
        "observed": observed[there] / weight[there],
        "weight": weight[there],
    }


def _histogram(scored: Scored, column: int, counted: np.ndarray | float = 1.0) -> dict[str, Any]:
    scores = _scores(scored)[:, column]
    ends = (0, 1) if scored.is_probability else None
    values, edges = np.histogram(scores, BINS, ends, weights=scored.weight * counted)
    return {"bin_edges": edges, "values": values}
