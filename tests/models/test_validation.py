from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.svm import LinearSVC

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.factories import with_preprocessing
from airflow_sklearn.models.frames import to_frame
from airflow_sklearn.models.schema import learn_features
from airflow_sklearn.models.validation import cross_validate


def logistic() -> Any:
    return with_preprocessing(LogisticRegression(max_iter=500))


def test_scores_are_those_of_scikit_learn(table: pa.Table, labels: np.ndarray) -> None:
    means, deviations = cross_validate(logistic(), table, labels, folds=4)
    frame = to_frame(table, learn_features(table))
    splitter = StratifiedKFold(4, shuffle=True, random_state=42)
    for ours, theirs in {
        "roc_auc": "roc_auc",
        "accuracy": "accuracy",
        "log_loss": "neg_log_loss",
        "brier": "neg_brier_score",
    }.items():
        expected = abs(cross_val_score(logistic(), frame, labels, cv=splitter, scoring=theirs))
        assert means[ours] == pytest.approx(expected.mean(), rel=1e-9)
        assert deviations[ours] == pytest.approx(expected.std(), rel=1e-9)


def test_string_labels_of_many_classes_are_scored(table: pa.Table) -> None:
    labels = np.array([value or "none" for value in table["city"].to_pylist()], dtype=object)
    means, _ = cross_validate(logistic(), table, labels, folds=3)
    assert means["accuracy"] == 1.0
    assert means["roc_auc_macro"] == pytest.approx(1.0)


def test_string_labels_of_two_classes_are_scored(table: pa.Table, labels: np.ndarray) -> None:
    words = np.where(labels, "yes", "no").astype(object)
    assert cross_validate(logistic(), table, words, folds=3) == cross_validate(logistic(), table, labels, folds=3)


def test_a_regression_is_scored(table: pa.Table) -> None:
    target = table["seats"].to_numpy().astype(float)
    means, _ = cross_validate(with_preprocessing(LinearRegression()), table, target, folds=3)
    assert means["r2"] == pytest.approx(1.0)
    assert means["rmse"] == pytest.approx(0.0, abs=1e-6)
    assert means["mae"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("estimator", [LinearSVC(), RidgeClassifier()], ids=str)
def test_without_probabilities_what_needs_them_is_none(estimator: Any, table: pa.Table, labels: np.ndarray) -> None:
    means, deviations = cross_validate(with_preprocessing(estimator), table, labels, folds=2)
    assert means["log_loss"] is means["brier"] is deviations["log_loss"] is None
    assert means["roc_auc"] is not None
    assert means["roc_auc"] > 0.8


def test_weights_count_in_the_scores(table: pa.Table, labels: np.ndarray) -> None:
    weights = np.where(np.arange(len(labels)) % 2 == 0, 1.0, 0.0)
    weighted, _ = cross_validate(logistic(), table, labels, folds=2, sample_weight=weights)
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
