from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.fitting import FitParams, fit
from airflow_sklearn.models.imbalance import balanced_weights, with_balanced_classes


def rare(rows: int = 600) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = (rng.random(rows) < 0.1).astype(int)
    return rng.normal(size=(rows, 2)) + y[:, None], y


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [1.0]}, cv=2),
        make_pipeline(StandardScaler(), GradientBoostingClassifier(n_estimators=5)),
        VotingClassifier([("a", LogisticRegression()), ("b", LogisticRegression(C=0.1))], voting="soft"),
        VotingClassifier(
            [("a", LogisticRegression()), ("b", GradientBoostingClassifier(n_estimators=5))], voting="soft"
        ),
    ],
    ids=["class_weight", "pipeline", "search", "weights", "vote", "mixed vote"],
)
def test_a_rare_class_is_predicted_more_often(estimator: object) -> None:
    X, y = rare()
    balanced, by_weights = with_balanced_classes(estimator)
    plain = fit(estimator, X, y).predict_proba(X)[:, 1].mean()
    found = fit(balanced, X, y, FitParams(balanced=by_weights)).predict_proba(X)[:, 1].mean()
    assert found > plain + 0.15


def test_weights_of_classes_have_equal_sums_and_keep_the_rows_own() -> None:
    y, own = np.array([0, 0, 0, 1]), np.array([1.0, 2.0, 1.0, 1.0])
    found = balanced_weights(y, own)
    assert found[y == 0].sum() == found[y == 1].sum() == 2.5
    assert found[1] == 2 * found[0]


def test_both_ways_fit_the_same_model() -> None:
    X, y = rare()
    by_parameter = fit(LogisticRegression(class_weight="balanced"), X, y)
    by_weights = fit(LogisticRegression(), X, y, FitParams(balanced=True))
    assert np.allclose(by_parameter.coef_, by_weights.coef_, rtol=1e-3)


def test_an_estimator_that_can_do_neither_is_named() -> None:
    X, y = rare()
    with pytest.raises(UserError, match="KNeighborsClassifier has no class_weight and takes no sample weights"):
        fit(KNeighborsClassifier(), X, y, FitParams(balanced=True))
