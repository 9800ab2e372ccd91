from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score

from airflow_sklearn.models.splits import shuffled_folds
from airflow_sklearn.models.threshold import best_threshold, fixed_threshold, with_tuned_threshold
from airflow_sklearn.models.validation import cross_validate


def rare(rows: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """A class of one row in ten, which two numbers tell with noise."""
    rng = np.random.default_rng(0)
    y = np.where(rng.random(rows) < 0.1, "yes", "no").astype(object)
    return rng.normal(size=(rows, 2)) + (y == "yes")[:, None], y


@pytest.mark.parametrize(("metric", "score"), [("f1", f1_score), ("balanced_accuracy", balanced_accuracy_score)])
def test_no_other_threshold_has_a_higher_metric(metric: str, score: object) -> None:
    X, y = rare()
    scores, positive = X.sum(axis=1), (y == "yes").astype(float)
    found = best_threshold(positive, scores, np.ones(len(y)), metric)
    best = max(score(positive, scores >= one) for one in scores)
    assert score(positive, scores >= found) == pytest.approx(best)


def test_a_row_has_no_part_in_the_threshold_that_decides_it() -> None:
    X, y = rare()
    found = cross_validate(LogisticRegression(), X, y, shuffled_folds(y, 3, True))
    _, tuned = with_tuned_threshold(found, y, None, "f1")
    changed = y.copy()
    here = found.folds == 2
    changed[here] = np.where(y[here] == "yes", "no", "yes")  # other labels in this fold
    _, again = with_tuned_threshold(found, changed, None, "f1")
    assert (again.labels[here] == tuned.labels[here]).all()
    assert (again.labels[~here] != tuned.labels[~here]).any()


def test_a_tuned_threshold_finds_more_of_a_rare_class() -> None:
    X, y = rare()
    found = cross_validate(LogisticRegression(), X, y, shuffled_folds(y, 3, True))
    threshold, tuned = with_tuned_threshold(found, y, None, "f1")
    assert threshold < 0.5
    assert f1_score(y, tuned.labels, pos_label="yes") > f1_score(y, found.labels, pos_label="yes") + 0.05
    assert tuned.metrics["roc_auc"] == found.metrics["roc_auc"]
    fitted = fixed_threshold(LogisticRegression().fit(X, y), threshold, X, y)
    assert (fitted.predict(X) == np.where(fitted.predict_proba(X)[:, 1] >= threshold, "yes", "no")).all()
