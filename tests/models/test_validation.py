from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, is_classifier
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.svm import LinearSVC

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.factories import with_preprocessing
from airflow_sklearn.models.fitting import FitParams
from airflow_sklearn.models.frames import to_frame
from airflow_sklearn.models.schema import learn_features
from airflow_sklearn.models.splits import shuffled_folds
from airflow_sklearn.models.validation import Validation
from airflow_sklearn.models.validation import cross_validate as cross_validated


def cross_validate(
    estimator: Any, X: Any, y: np.ndarray, *, folds: int, sample_weight: np.ndarray | None = None
) -> Validation:
    params = FitParams({} if sample_weight is None else {"sample_weight": sample_weight})
    return cross_validated(estimator, X, y, shuffled_folds(y, folds, is_classifier(estimator)), params)


def logistic() -> Any:
    return with_preprocessing(LogisticRegression(max_iter=500))


def test_scores_are_those_of_scikit_learn(table: pa.Table, labels: np.ndarray) -> None:
    found = cross_validate(logistic(), table, labels, folds=4)
    frame = to_frame(table, learn_features(table))
    splitter = StratifiedKFold(4, shuffle=True, random_state=42)
    for ours, theirs in {
        "roc_auc": "roc_auc",
        "accuracy": "accuracy",
        "log_loss": "neg_log_loss",
        "brier": "neg_brier_score",
    }.items():
        expected = abs(cross_val_score(logistic(), frame, labels, cv=splitter, scoring=theirs))
        assert found.metrics[ours] == pytest.approx(expected.mean(), rel=1e-9)
        assert found.deviations[ours] == pytest.approx(expected.std(), rel=1e-9)


def test_string_labels_of_many_classes_are_scored(table: pa.Table) -> None:
    labels = np.array([value or "none" for value in table["city"].to_pylist()], dtype=object)
    means = cross_validate(logistic(), table, labels, folds=3).metrics
    assert means["accuracy"] == 1.0
    assert means["roc_auc_macro"] == pytest.approx(1.0)


def test_string_labels_of_two_classes_are_scored(table: pa.Table, labels: np.ndarray) -> None:
    words = np.where(labels, "yes", "no").astype(object)
    found, expected = (cross_validate(logistic(), table, y, folds=3) for y in (words, labels))
    assert found.metrics == expected.metrics
    assert found.deviations == expected.deviations


def test_a_regression_is_scored(table: pa.Table) -> None:
    target = table["seats"].to_numpy().astype(float)
    means = cross_validate(with_preprocessing(LinearRegression()), table, target, folds=3).metrics
    assert means["r2"] == pytest.approx(1.0)
    assert means["rmse"] == pytest.approx(0.0, abs=1e-6)
    assert means["mae"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("estimator", [LinearSVC(), RidgeClassifier()], ids=str)
def test_without_probabilities_what_needs_them_is_none(estimator: Any, table: pa.Table, labels: np.ndarray) -> None:
    found = cross_validate(with_preprocessing(estimator), table, labels, folds=2)
    means = found.metrics
    assert means["log_loss"] is means["brier"] is found.deviations["log_loss"] is None
    assert means["roc_auc"] is not None
    assert means["roc_auc"] > 0.8


def test_weights_count_in_the_scores(table: pa.Table, labels: np.ndarray) -> None:
    weights = np.where(np.arange(len(labels)) % 2 == 0, 1.0, 0.0)
    weighted = cross_validate(logistic(), table, labels, folds=2, sample_weight=weights).metrics
    splits = StratifiedKFold(2, shuffle=True, random_state=42).split(np.zeros(len(labels)), labels)
    expected = []
    for train, test in splits:
        train, test = train[weights[train] > 0], test[weights[test] > 0]
        # The scaling is learned from all rows of the fold, weighted or not: this is close, not equal.
        fitted = logistic().fit(table.take(train), labels[train])
        expected.append(roc_auc_score(labels[test], fitted.predict_proba(table.take(test))[:, 1]))
    assert weighted["roc_auc"] == pytest.approx(np.mean(expected), abs=0.01)


def test_the_estimator_stays_unfitted(table: pa.Table, labels: np.ndarray) -> None:
    estimator = LogisticRegression(max_iter=500)
    cross_validate(estimator, np.arange(len(labels), dtype=float).reshape(-1, 1), labels, folds=2)
    assert not hasattr(estimator, "coef_")


def test_rare_classes_are_named_with_their_rows(table: pa.Table) -> None:
    labels = np.array(["common"] * (len(table) - 3) + ["rare"] * 3, dtype=object)
    with pytest.raises(UserError, match=r"\{'rare': 3\}.*cross_validation"):
        cross_validate(logistic(), table, labels, folds=4)


def test_too_few_rows_for_a_regression_are_refused(table: pa.Table) -> None:
    with pytest.raises(UserError, match="7 rows are too few for 4 folds"):
        cross_validate(with_preprocessing(LinearRegression()), table.slice(0, 7), np.arange(7.0), folds=4)


def test_one_fold_is_refused(table: pa.Table, labels: np.ndarray) -> None:
    with pytest.raises(UserError, match="cross_validation=1"):
        cross_validate(logistic(), table, labels, folds=1)


class Memory(ClassifierMixin, BaseEstimator):
    """Knows the labels of rows that it was fitted on, by their number, and nothing of others."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Memory:
        self.classes_ = np.unique(y)
        self.known_ = dict(zip(X[:, 0].tolist(), y.tolist(), strict=True))
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.array([self.known_.get(number, "never seen") for number in X[:, 0].tolist()])


def numbered(rows: int) -> np.ndarray:
    return np.arange(rows, dtype=float).reshape(-1, 1)


def test_every_rows_answer_is_of_the_fold_that_left_it_out() -> None:
    y = np.array(["a", "b"] * 20, dtype=object)
    assert (Memory().fit(numbered(40), y).predict(numbered(40)) == y).all()
    found = cross_validate(Memory(), numbered(40), y, folds=4)
    assert found.method == "predict"
    assert found.answers.tolist() == ["never seen"] * 40
    assert np.bincount(found.folds).tolist() == [0, 10, 10, 10, 10]


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_answers_stand_where_their_rows_stand(shape: tuple[int, ...]) -> None:
    class Same(RegressorMixin, BaseEstimator):
        def fit(self, X: Any, y: Any) -> Same:
            return self

        def predict(self, X: np.ndarray) -> np.ndarray:
            return X[:, 0].reshape(shape)

    found = cross_validate(Same(), numbered(20), np.arange(20.0), folds=3)
    assert found.answers.tolist() == list(range(20))
    assert found.answers.dtype == np.float64
    assert found.metrics["r2"] == 1.0


def test_scores_computed_from_the_answers_are_the_scores(table: pa.Table, labels: np.ndarray) -> None:
    found = cross_validate(logistic(), table, labels, folds=3)
    assert found.classes == (0, 1)
    assert found.answers.shape == (len(labels), 2)
    by_fold = [roc_auc_score(labels[found.folds == n], found.answers[found.folds == n, 1]) for n in (1, 2, 3)]
    assert found.metrics["roc_auc"] == np.mean(by_fold)
    assert found.deviations["roc_auc"] == np.std(by_fold)


def test_probabilities_in_single_precision_are_scored_as_they_are_kept() -> None:
    class Single(ClassifierMixin, BaseEstimator):
        def fit(self, X: Any, y: Any) -> Single:
            self.classes_ = np.unique(y)
            return self

        def predict(self, X: Any) -> np.ndarray:
            return np.zeros(len(X), int)

        def predict_proba(self, X: Any) -> np.ndarray:
            return np.tile(np.float32([1, 0]), (len(X), 1))

    y = np.arange(20) % 2
    found = cross_validate(Single(), numbered(20), y, folds=2)
    assert found.answers.dtype == np.float64
    assert found.metrics["log_loss"] == log_loss(y[:10], np.tile([1.0, 0.0], (10, 1)))


def test_folds_that_know_other_classes_are_refused() -> None:
    class Forgetful(Memory):
        def fit(self, X: np.ndarray, y: np.ndarray) -> Forgetful:
            super().fit(X, y)
            self.classes_ = self.classes_ if 0 in X[:, 0] else self.classes_[::-1]
            return self

    with pytest.raises(UserError, match=r"Fold \d knows the classes .*cross_validation=0"):
        cross_validate(Forgetful(), numbered(20), np.array(["a", "b"] * 10, dtype=object), folds=3)
