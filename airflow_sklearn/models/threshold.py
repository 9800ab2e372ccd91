"""A decision threshold for two classes, tuned on out-of-sample rows or given as a number."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score
from sklearn.model_selection import FixedThresholdClassifier

from airflow_sklearn.models.metrics.scored import Ranking

if TYPE_CHECKING:
    from airflow_sklearn.contract.fit_settings import ThresholdMetric
    from airflow_sklearn.models.validation import Validation


def best_threshold(positive: np.ndarray, scores: np.ndarray, weight: np.ndarray, metric: ThresholdMetric) -> float:
    """The threshold with the highest metric. Rows whose score reaches it are predicted positive.

    Between two scores it is in the middle. Of equally good ones it is the highest.

    :param positive: 0.0 or 1.0, of shape (rows,).
    :param scores: shape (rows,).
    :param weight: shape (rows,).
    :param metric: the metric to maximise.
    """
    ranking = Ranking(scores)
    tp = np.cumsum(ranking.sums(positive * weight))
    fp = np.cumsum(ranking.sums((1 - positive) * weight))
    if metric == "f1":
        values = 2 * tp / (tp + fp + tp[-1])
    elif metric == "accuracy":
        values = tp - fp
    else:
        values = tp / tp[-1] - fp / fp[-1]
    best = int(np.argmax(values))
    around = ranking.thresholds[best : best + 2]
    return float(np.mean(around)) if len(around) == 2 else float(around[0])


def with_tuned_threshold(
    found: Validation, y: np.ndarray, weight: np.ndarray | None, metric: ThresholdMetric
) -> tuple[float, Validation]:
    """Tune the threshold on all scored rows, and predict each fold's classes by a threshold from the other folds.

    The metrics of the classes are therefore of rows that have no part in their threshold. If there is one fold only,
    they are of the threshold of all its rows.

    :param found: the validation of a classifier of two classes with probabilities or decision values.
    :param y: the classes of the scored rows, of shape (scored,).
    :param weight: shape (scored,); None: no weights.
    :return: the threshold of all rows, and the validation with the classes that thresholds give.
    """
    scores, classes = scores_of(found), np.asarray(found.classes)
    assert scores is not None
    positive = np.asarray(y == classes[1], dtype=float)
    each = np.ones(len(y)) if weight is None else weight
    labels = found.labels.copy()
    for fold in np.unique(found.folds):
        here = found.folds == fold
        learned = ~here if not here.all() else here
        threshold = best_threshold(positive[learned], scores[learned], each[learned], metric)
        labels[here] = classes[(scores[here] >= threshold).astype(int)]
    return best_threshold(positive, scores, each, metric), with_labels(found, labels, y, weight)


def with_threshold(found: Validation, threshold: float, y: np.ndarray, weight: np.ndarray | None) -> Validation:
    """The validation with the classes that a given threshold predicts. The parameters are those of
    ``with_tuned_threshold``.
    """
    scores, labels = scores_of(found), found.labels.copy()
    assert scores is not None
    labels[:] = np.asarray(found.classes)[(scores >= threshold).astype(int)]
    return with_labels(found, labels, y, weight)


def with_labels(found: Validation, labels: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> Validation:
    """The validation with other predicted classes, and the accuracy that they have."""
    each = []
    for fold in np.unique(found.folds):
        here = found.folds == fold
        each.append(accuracy_score(y[here], labels[here], sample_weight=None if weight is None else weight[here]))
    accuracy = {"accuracy": float(np.mean(each))}
    deviation = {"accuracy": float(np.std(each)) if len(each) > 1 else None}
    return replace(
        found,
        labels=labels,
        metrics={**found.metrics, **accuracy},
        deviations={**found.deviations, **deviation},
        answers=labels if found.method == "predict" else found.answers,
    )


def scores_of(found: Validation) -> np.ndarray | None:
    """The scores of the last of two classes, of shape (scored,); None: there are none."""
    if len(found.classes) != 2:
        return None
    return found.answers[:, 1] if found.method == "predict_proba" else found.decisions


def fixed_threshold(fitted: Any, threshold: float, X: Any, y: np.ndarray) -> FixedThresholdClassifier:
    """A fitted classifier of two classes that predicts the last one from a threshold on.

    :param fitted: the fitted classifier, which is not fitted again.
    :param X: some of the rows that it was fitted on.
    :param y: their classes.
    """
    method = "predict_proba" if hasattr(fitted, "predict_proba") else "decision_function"
    positive = fitted.classes_[1]
    made = FixedThresholdClassifier(
        FrozenEstimator(fitted),
        threshold=threshold,
        pos_label=positive.item() if isinstance(positive, np.generic) else positive,
        response_method=method,
    )
    return made.fit(X, y)
