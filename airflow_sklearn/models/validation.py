"""Cross-validation: scores of a model on rows that it was not fitted on."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from sklearn import metrics
from sklearn.base import clone, is_classifier
from sklearn.model_selection import KFold, StratifiedKFold

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.fitting import asking, fit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_sklearn.contract.schema import Method

log = logging.getLogger(__name__)

RANDOM_STATE = 42

Metrics = dict[str, float | None]


@dataclass(frozen=True)
class Validation:
    """The result of a cross-validation.

    :param metrics: means over the folds, by metric. None: the estimator does not provide it (no probabilities), or it
        was not finite in some fold.
    :param deviations: standard deviations over the folds, by metric.
    :param folds: shape (rows,) of int32: the fold, counted from 1, that each row was left out of.
    :param method: the method of the stored answers: ``predict_proba`` if the models have it, else ``predict``.
    :param answers: for each row the prediction of the model that was not fitted on it: shape (rows, classes) of float64
        for ``predict_proba``, else (rows,).
    :param classes: a classifier's classes, in the order of the answers' columns; empty for a regressor.
    """

    metrics: Metrics
    deviations: Metrics
    folds: np.ndarray
    method: Method
    answers: np.ndarray
    classes: tuple[Any, ...] = ()


def cross_validate(
    estimator: Any, X: Any, y: np.ndarray, *, folds: int, sample_weight: np.ndarray | None = None
) -> Validation:
    """Fit and score on shuffled folds, stratified for classifiers. The estimator itself stays unfitted.

    - Two classes: ``roc_auc``, ``log_loss``, ``accuracy``, ``brier``; the last class is the positive one.
    - More classes: ``accuracy``, ``log_loss``, ``roc_auc_macro`` (one against the rest).
    - Regression: ``r2``, ``rmse``, ``mae``.

    :param X: the result of ``estimator_input``: a DataFrame or an Arrow table of shape (rows, features).
    :param y: shape (rows,).
    :param folds: the number of folds, at least 2.
    :param sample_weight: shape (rows,), used in fitting and in scoring; None: no weights.
    :raises UserError: there are too few rows, in all or of a class, or the estimator raises.
    """
    classifier = is_classifier(estimator)
    scores: list[Metrics] = []
    fold_of = np.zeros(len(y), np.int32)
    answers: np.ndarray | None = None
    classes: tuple[Any, ...] = ()
    method: Method = "predict"
    for number, (train, test) in enumerate(_splits(y, folds, classifier), start=1):
        started = time.perf_counter()
        fitted = fit(clone(estimator, safe=False), _rows(X, train), y[train], _rows(sample_weight, train))
        with asking(fitted, "predict"):
            said = _Answers(fitted, _rows(X, test), classifier)
            score = _score_classifier if classifier else _score_regressor
            scores.append(score(said, y[test], _rows(sample_weight, test)))
            method = "predict_proba" if classifier and said.has("predict_proba") else "predict"
            answer = said.to(method)
        if answers is None:
            classes, answers = (
                said.classes,
                np.empty((len(y), *answer.shape[1:]), _answers_dtype(y, classifier, method)),
            )
        if said.classes != classes:
            raise UserError(
                f"Fold {number} knows the classes {list(said.classes)}, the first one {list(classes)}: their answers "
                "are no one column. Use an estimator that keeps all classes of its target, or cross_validation=0."
            )
        answers[test], fold_of[test] = answer, number
        shown = ", ".join(f"{name} {value:.4f}" for name, value in scores[-1].items() if value is not None)
        log.info("Fold %d of %d: %s (%.1f s)", number, folds, shown, time.perf_counter() - started)
        del fitted, said  # free their memory before the next fold is fitted
    assert answers is not None
    means, deviations = _over_folds(scores)
    return Validation(means, deviations, fold_of, method, answers, classes)


class _Answers:
    """Predictions of a fitted estimator for some rows. Each method is called at most once."""

    def __init__(self, fitted: Any, X: Any, classifier: bool) -> None:
        self._fitted, self._X, self._found = fitted, X, dict[str, np.ndarray]()
        self.classes: tuple[Any, ...] = tuple(np.asarray(fitted.classes_).tolist()) if classifier else ()

    def has(self, method: str) -> bool:
        return hasattr(self._fitted, method)

    def to(self, method: str) -> np.ndarray:
        if method not in self._found:
            answer = np.asarray(getattr(self._fitted, method)(self._X))
            if method == "predict":
                answer = answer.reshape(len(self._X))
            elif method == "predict_proba":
                # Float64, as prediction writes them: log_loss would clip values of single precision differently.
                answer = answer.astype(np.float64, copy=False)
            self._found[method] = answer
        return self._found[method]


def _answers_dtype(y: np.ndarray, classifier: bool, method: Method) -> np.dtype[Any]:
    """The dtype of all folds' answers. Labels get the target's width: one fold's text array may be too narrow for
    another's.
    """
    return y.dtype if classifier and method == "predict" else np.dtype(np.float64)


def _over_folds(scores: Sequence[Metrics]) -> tuple[Metrics, Metrics]:
    means: Metrics = {}
    deviations: Metrics = {}
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


def _score_classifier(said: _Answers, y: np.ndarray, weight: np.ndarray | None) -> Metrics:
    labels = list(said.classes)
    binary = len(labels) == 2
    scores: Metrics = dict.fromkeys(
        ("roc_auc", "log_loss", "accuracy", "brier") if binary else ("accuracy", "log_loss", "roc_auc_macro")
    )
    scores["accuracy"] = float(metrics.accuracy_score(y, said.to("predict"), sample_weight=weight))
    if said.has("predict_proba"):
        probabilities = said.to("predict_proba")
        scores["log_loss"] = float(metrics.log_loss(y, probabilities, labels=labels, sample_weight=weight))
        if binary:
            positive = y == labels[1]
            scores["roc_auc"] = float(metrics.roc_auc_score(positive, probabilities[:, 1], sample_weight=weight))
            scores["brier"] = float(metrics.brier_score_loss(positive, probabilities[:, 1], sample_weight=weight))
        else:
            scores["roc_auc_macro"] = float(
                metrics.roc_auc_score(y, probabilities, multi_class="ovr", labels=labels, sample_weight=weight)
            )
    elif binary and said.has("decision_function"):
        decision = said.to("decision_function")
        scores["roc_auc"] = float(metrics.roc_auc_score(y == labels[1], decision, sample_weight=weight))
    return scores


def _score_regressor(said: _Answers, y: np.ndarray, weight: np.ndarray | None) -> Metrics:
    predicted = said.to("predict")
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
