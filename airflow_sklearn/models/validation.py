"""Cross-validation: how good a model is on rows that it was not fitted on."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from sklearn import metrics
from sklearn.base import clone, is_classifier
from sklearn.model_selection import KFold, StratifiedKFold

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.fitting import asking, fit

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

RANDOM_STATE = 42

Metrics = dict[str, float | None]


def cross_validate(
    estimator: Any, X: Any, y: np.ndarray, *, folds: int, sample_weight: np.ndarray | None = None
) -> tuple[Metrics, Metrics]:
    """Fit and score on shuffled folds, stratified for classifiers; the estimator itself stays unfitted.

    - Two classes: ``roc_auc``, ``log_loss``, ``accuracy``, ``brier``; the last label is the positive one.
    - More classes: ``accuracy``, ``log_loss``, ``roc_auc_macro`` (one against the rest).
    - Regression: ``r2``, ``rmse``, ``mae``.

    :param X: what ``estimator_input`` gives: a DataFrame or an Arrow table of shape (rows, features).
    :param y: shape (rows,).
    :param folds: at least 2.
    :param sample_weight: shape (rows,); weighs fitting and scoring.
    :returns: mean and standard deviation over folds, by metric. A metric that the estimator can not give (no
        probabilities), or that is no finite number in some fold, is None.
    :raises UserError: too few rows, in all or of a class, for so many folds; or the estimator raises.
    """
    classifier = is_classifier(estimator)
    scores: list[Metrics] = []
    for number, (train, test) in enumerate(_splits(y, folds, classifier), start=1):
        started = time.perf_counter()
        fitted = fit(clone(estimator, safe=False), _rows(X, train), y[train], _rows(sample_weight, train))
        score = _score_classifier if classifier else _score_regressor
        with asking(fitted, "predict"):
            scores.append(score(fitted, _rows(X, test), y[test], _rows(sample_weight, test)))
        shown = ", ".join(f"{name} {value:.4f}" for name, value in scores[-1].items() if value is not None)
        log.info("Fold %d of %d: %s (%.1f s)", number, folds, shown, time.perf_counter() - started)
    means, deviations = {}, {}
    for name in scores[0]:
        values = [score[name] for score in scores]
        known = [value for value in values if value is not None and math.isfinite(value)]
        complete = len(known) == len(values)
        means[name] = float(np.mean(known)) if complete else None
        deviations[name] = float(np.std(known)) if complete else None
    return means, deviations


def _splits(y: np.ndarray, folds: int, classifier: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if folds < 2:
        raise UserError(f"cross_validation={folds} is too few folds: use 2 or more, or 0 to skip validation.")
    if not classifier:
        # R² needs two rows in every fold.
        if len(y) < 2 * folds:
            raise UserError(
                f"{len(y)} rows are too few for {folds} folds: lower cross_validation, or use 0 to skip it."
            )
        return KFold(folds, shuffle=True, random_state=RANDOM_STATE).split(np.zeros(len(y)))
    if rare := {label: count for label, count in Counter(y.tolist()).items() if count < folds}:
        raise UserError(
            f"Classes of the target have fewer rows than the {folds} folds (class: rows): {rare}. "
            "Lower cross_validation (0 skips it), or merge or drop these classes."
        )
    return StratifiedKFold(folds, shuffle=True, random_state=RANDOM_STATE).split(np.zeros(len(y)), y)


def _score_classifier(fitted: Any, X: Any, y: np.ndarray, weight: np.ndarray | None) -> Metrics:
    labels = list(fitted.classes_)
    binary = len(labels) == 2
    scores: Metrics = dict.fromkeys(
        ("roc_auc", "log_loss", "accuracy", "brier") if binary else ("accuracy", "log_loss", "roc_auc_macro")
    )
    scores["accuracy"] = float(metrics.accuracy_score(y, fitted.predict(X), sample_weight=weight))
    if hasattr(fitted, "predict_proba"):
        probabilities = fitted.predict_proba(X)
        scores["log_loss"] = float(metrics.log_loss(y, probabilities, labels=labels, sample_weight=weight))
        if binary:
            positive = y == labels[1]
            scores["roc_auc"] = float(metrics.roc_auc_score(positive, probabilities[:, 1], sample_weight=weight))
            scores["brier"] = float(metrics.brier_score_loss(positive, probabilities[:, 1], sample_weight=weight))
        else:
            scores["roc_auc_macro"] = float(
                metrics.roc_auc_score(y, probabilities, multi_class="ovr", labels=labels, sample_weight=weight)
            )
    elif binary and hasattr(fitted, "decision_function"):
        scores["roc_auc"] = float(
            metrics.roc_auc_score(y == labels[1], fitted.decision_function(X), sample_weight=weight)
        )
    return scores


def _score_regressor(fitted: Any, X: Any, y: np.ndarray, weight: np.ndarray | None) -> Metrics:
    predicted = fitted.predict(X)
    return {
        "r2": float(metrics.r2_score(y, predicted, sample_weight=weight)),
        "rmse": float(metrics.root_mean_squared_error(y, predicted, sample_weight=weight)),
        "mae": float(metrics.mean_absolute_error(y, predicted, sample_weight=weight)),
    }


def _rows(X: Any, indices: np.ndarray) -> Any:
    if X is None:
        return None
    if isinstance(X, pa.Table | pa.RecordBatch):
        return X.take(pa.array(indices))
    return X.iloc[indices] if hasattr(X, "iloc") else X[indices]
