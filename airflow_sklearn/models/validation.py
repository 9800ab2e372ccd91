"""Validation: scores of a model on rows that it was not fitted on."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from joblib import Parallel, delayed
from sklearn import metrics
from sklearn.base import clone, is_classifier

from airflow_sklearn.contract.progress_lines import StepProgress, remaining
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.fitting import FitParams, asking, fit
from airflow_sklearn.models.permutation import Importances, permuted_importances

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_sklearn.contract.schema import Method
    from airflow_sklearn.models.splits import Split

log = logging.getLogger(__name__)

Metrics = dict[str, float | None]


@dataclass(frozen=True)
class Validation:
    """The result of a validation.

    :param metrics: means over the folds, by metric. None: the estimator does not provide it (no probabilities), or it
        was not finite in some fold.
    :param deviations: standard deviations over the folds, by metric; None: there is one fold only.
    :param rows: the numbers of the scored rows, ascending, of shape (scored,).
    :param folds: shape (scored,) of int32: the fold, counted from 1, that scored the row.
    :param method: the method of the stored answers: ``predict_proba`` if the models have it, else ``predict``.
    :param answers: for each scored row the prediction of a model that was not fitted on it: shape (scored, classes) of
        float64 for ``predict_proba``, else (scored,).
    :param labels: a classifier's predicted classes, of shape (scored,); of a regressor the same as ``answers``.
    :param decisions: the values of ``decision_function`` where there are no probabilities, of shape (scored,) or
        (scored, classes). None: there are none, or their columns are no classes.
    :param importances: how much each feature counts, if the model does not say so itself; None: it does.
    :param classes: a classifier's classes, in the order of the answers' columns; empty for a regressor.
    """

    metrics: Metrics
    deviations: Metrics
    rows: np.ndarray
    folds: np.ndarray
    method: Method
    answers: np.ndarray
    labels: np.ndarray
    decisions: np.ndarray | None = None
    importances: Importances | None = None
    classes: tuple[Any, ...] = ()


def cross_validate(
    estimator: Any,
    X: Any,
    y: np.ndarray,
    splits: Sequence[Split],
    params: FitParams | None = None,
    *,
    parallel: bool = False,
) -> Validation:
    """Fit on the rows of each split and score the others. The estimator itself stays unfitted.

    - Two classes: ``roc_auc``, ``log_loss``, ``accuracy``, ``brier``; the last class is the positive one.
    - More classes: ``accuracy``, ``log_loss``, ``roc_auc_macro`` (one against the rest).
    - Regression: ``r2``, ``rmse``, ``mae``.

    :param X: the result of ``estimator_input``: a DataFrame or an Arrow table of shape (rows, features).
    :param y: shape (rows,).
    :param splits: the folds. A row is scored once at most.
    :param params: further parameters of ``fit``; sample weights are used in fitting and in scoring.
    :param parallel: whether the folds run side by side, where joblib's active backend does so. Else the estimator's own
        work may, fold by fold.
    :raises UserError: the estimator raises, or the folds know different classes.
    """
    params = params or FitParams()
    collected = _Collected(y, is_classifier(estimator))
    calls = (delayed(_fold)(estimator, X, y, split, params, number) for number, split in enumerate(splits, start=1))
    started = time.monotonic()
    folds: Iterable[_Fold] = Parallel()(calls) if parallel else (call(*args, **more) for call, args, more in calls)
    for number, (split, fold) in enumerate(zip(splits, folds, strict=True), start=1):
        collected.add(fold, split.test, number)
        shown = ", ".join(f"{name} {value:.4f}" for name, value in fold.metrics.items() if value is not None)
        rest = remaining(number, len(splits), time.monotonic() - started)
        log.info(StepProgress("Fold", number, len(splits), f"{shown} ({fold.seconds:.1f} s)", rest).line())
    return collected.result()


def validate_fitted(fitted: Any, X: Any, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Validation:
    """Score a fitted estimator on rows that it was not fitted on. They count as one fold.

    :param X: the result of ``estimator_input``, of shape (rows, features).
    :param y: shape (rows,).
    :param sample_weight: shape (rows,); None: no weights.
    :raises UserError: the estimator raises, or does not know a class.
    """
    collected = _Collected(y, is_classifier(fitted))
    collected.add(_asked(fitted, X, y, sample_weight, permute=True), np.arange(len(y)), 1)
    return collected.result()


@dataclass(frozen=True)
class _Fold:
    """What a model says of the rows of a fold.

    :param arrays: ``answers``, ``labels`` and perhaps ``decisions``, as in ``Validation``.
    """

    metrics: Metrics
    method: Method
    arrays: dict[str, np.ndarray]
    classes: tuple[Any, ...]
    importances: Importances | None
    seconds: float = 0.0


def _fold(estimator: Any, X: Any, y: np.ndarray, split: Split, params: FitParams, number: int) -> _Fold:
    started = time.perf_counter()
    fitted = fit(clone(estimator, safe=False), rows_of(X, split.train), y[split.train], params.of(split.train))
    weight = params.of(split.test).sample_weight
    found = _asked(fitted, rows_of(X, split.test), y[split.test], weight, permute=number == 1)
    return replace(found, seconds=time.perf_counter() - started)


def _asked(fitted: Any, X: Any, y: np.ndarray, weight: np.ndarray | None, *, permute: bool) -> _Fold:
    """Predict some rows, and score the predictions.

    :param permute: whether to measure the importances of the features too.
    """
    classifier = is_classifier(fitted)
    with asking(fitted, "predict"):
        said = _Answers(fitted, X, classifier)
        scores = (_score_classifier if classifier else _score_regressor)(said, y, weight)
        method: Method = "predict_proba" if classifier and said.has("predict_proba") else "predict"
        found = {"answers": said.to(method), "labels": said.to("predict")}
        if classifier and method == "predict" and (decisions := said.decisions()) is not None:
            found["decisions"] = decisions
    return _Fold(scores, method, found, said.classes, permuted_importances(fitted, X, y) if permute else None)


class _Collected:
    """Collects the answers of the folds' models.

    :param y: the target of all rows.
    """

    def __init__(self, y: np.ndarray, classifier: bool) -> None:
        self._y, self._classifier = y, classifier
        self._scores: list[Metrics] = []
        self._folds = np.zeros(len(y), np.int32)
        self._arrays: dict[str, np.ndarray] = {}
        self._classes: tuple[Any, ...] = ()
        self._method: Method = "predict"
        self._importances: Importances | None = None

    def add(self, fold: _Fold, rows: np.ndarray, number: int) -> None:
        """Add the answers of a fold.

        :param rows: the numbers of its rows.
        :param number: its number.
        :raises UserError: its model knows other classes than the first one.
        """
        if not self._arrays:
            self._classes, self._method, self._importances = fold.classes, fold.method, fold.importances
        if fold.classes != self._classes:
            raise UserError(
                f"Fold {number} knows the classes {list(fold.classes)}, the first one {list(self._classes)}: their "
                "answers are no one column. Use an estimator that keeps all classes of its target, or "
                "cross_validation=0."
            )
        for name, values in fold.arrays.items():
            # Labels get the target's width: one fold's text array may be too narrow for another's.
            is_label = self._classifier and (name == "labels" or (name == "answers" and fold.method == "predict"))
            kind = self._y.dtype if is_label else np.float64
            self._arrays.setdefault(name, np.empty((len(self._y), *values.shape[1:]), kind))[rows] = values
        self._folds[rows] = number
        self._scores.append(fold.metrics)

    def result(self) -> Validation:
        """The validation of all folds."""
        means, deviations = _over_folds(self._scores)
        rows = np.flatnonzero(self._folds)
        found = {name: values[rows] for name, values in self._arrays.items()}
        return Validation(
            means,
            deviations,
            rows,
            self._folds[rows],
            self._method,
            classes=self._classes,
            importances=self._importances,
            **found,
        )


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

    def decisions(self) -> np.ndarray | None:
        """The decision values: one column for two classes, else one for each class. None: there are none, or their
        columns are pairs of classes.
        """
        if not self.has("decision_function"):
            return None
        found = self.to("decision_function").astype(np.float64, copy=False)
        if len(self.classes) == 2:
            return found.reshape(len(found)) if found.size == len(found) else None
        if found.shape != (len(found), len(self.classes)):
            return None
        highest = np.asarray(self.classes, dtype=object)[found.argmax(axis=1)]
        return found if np.mean(highest == self.to("predict")) > _SAME_CLASS else None


#: The least share of rows whose class has the highest decision value. With three classes there are three pairs too.
_SAME_CLASS = 0.75


def _over_folds(scores: Sequence[Metrics]) -> tuple[Metrics, Metrics]:
    means: Metrics = {}
    deviations: Metrics = {}
    for name in scores[0]:
        values = [score[name] for score in scores]
        known = [value for value in values if value is not None and math.isfinite(value)]
        complete = len(known) == len(values)
        means[name] = float(np.mean(known)) if complete else None
        deviations[name] = float(np.std(known)) if complete and len(values) > 1 else None
    return means, deviations


def _score_classifier(said: _Answers, y: np.ndarray, weight: np.ndarray | None) -> Metrics:
    labels = list(said.classes)
    binary = len(labels) == 2
    scores: Metrics = dict.fromkeys(
        ("roc_auc", "log_loss", "accuracy", "brier") if binary else ("accuracy", "log_loss", "roc_auc_macro")
    )
    scores["accuracy"] = float(metrics.accuracy_score(y, said.to("predict"), sample_weight=weight))
    every_class = len(np.unique(y)) == len(labels)  # else no ROC curve of some class
    if said.has("predict_proba"):
        probabilities = said.to("predict_proba")
        scores["log_loss"] = float(metrics.log_loss(y, probabilities, labels=labels, sample_weight=weight))
        if binary:
            positive = y == labels[1]
            scores["brier"] = float(metrics.brier_score_loss(positive, probabilities[:, 1], sample_weight=weight))
        ranked: np.ndarray | None = probabilities[:, 1] if binary else probabilities
    else:
        ranked = said.decisions()
    if ranked is not None and every_class:
        if binary:
            scores["roc_auc"] = float(metrics.roc_auc_score(y == labels[1], ranked, sample_weight=weight))
        else:
            each = [metrics.roc_auc_score(y == c, ranked[:, i], sample_weight=weight) for i, c in enumerate(labels)]
            scores["roc_auc_macro"] = float(np.mean(each))
    return scores


def _score_regressor(said: _Answers, y: np.ndarray, weight: np.ndarray | None) -> Metrics:
    predicted = said.to("predict")
    return {
        "r2": float(metrics.r2_score(y, predicted, sample_weight=weight)),
        "rmse": float(metrics.root_mean_squared_error(y, predicted, sample_weight=weight)),
        "mae": float(metrics.mean_absolute_error(y, predicted, sample_weight=weight)),
    }


def rows_of(X: Any, indices: np.ndarray) -> Any:
    """Some rows of a DataFrame, an Arrow table or an array.

    :param indices: the rows' numbers, of shape (rows,).
    """
    if isinstance(X, pa.Table | pa.RecordBatch):
        return X.take(pa.array(indices))
    return X.iloc[indices] if hasattr(X, "iloc") else X[indices]
