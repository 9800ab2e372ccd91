"""Whether further containers would have anything to do."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runs.search import check_spreads, checked_containers


@pytest.mark.parametrize("containers", [0, 1, -3, 2.5, "20", True])
def test_what_is_no_number_of_containers_is_refused(containers: Any) -> None:
    with pytest.raises(UserError, match=r"search_containers=.*2 or more"):
        checked_containers(containers)


def test_a_number_or_none() -> None:
    assert checked_containers(20) == 20
    assert checked_containers(None) is None


@pytest.mark.parametrize(
    "estimator",
    [
        "my_models:search",
        GridSearchCV(Ridge(), {"alpha": [1, 2]}),
        GridSearchCV(Ridge(), {"alpha": [1, 2]}, n_jobs=-1),
        make_pipeline(RandomForestClassifier()),
        GridSearchCV(RandomForestClassifier(n_jobs=1), {"max_depth": [2, 3]}),
    ],
)
def test_what_has_work_for_others(estimator: Any) -> None:
    check_spreads(estimator, 20)


@pytest.mark.parametrize(
    ("estimator", "said"),
    [
        ("sparse_logistic", "the preset 'sparse_logistic' is fitted in one piece"),
        (Ridge(), "nothing in Ridge has joblib do anything in parallel"),
        (GridSearchCV(Ridge(), {"alpha": [1, 2]}, n_jobs=1), "GridSearchCV is told to use one process (n_jobs=1)"),
    ],
)
def test_what_has_none_is_refused(estimator: Any, said: str) -> None:
    with pytest.raises(UserError) as caught:
        check_spreads(estimator, 20)
    assert said in str(caught.value)
    assert "leave search_containers out" in str(caught.value)


def test_any_estimator_has_work_when_it_is_validated_in_folds() -> None:
    check_spreads("sparse_logistic", 20, folds=4)
    check_spreads(Ridge(), 20, folds=2)


def test_any_preset_has_work_when_its_parameters_are_searched() -> None:
    check_spreads("sparse_logistic", 20, searched=True)


def test_a_search_that_has_one_process_is_not_saved_by_what_it_searches() -> None:
    search = GridSearchCV(make_pipeline(LogisticRegression()), {"logisticregression__C": [1]}, n_jobs=1)
    with pytest.raises(UserError, match="n_jobs=1"):
        check_spreads(search, 2)
