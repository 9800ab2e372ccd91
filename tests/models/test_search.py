from __future__ import annotations

from typing import Any

import pytest

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.factories import load_factory, with_preprocessing
from airflow_sklearn.models.search import grid_search, randomized_search


def test_a_grid_is_over_the_presets_final_step_and_brings_its_own_preprocessing() -> None:
    search = load_factory(
        "airflow_sklearn.models.search:grid_search",
        {"preset": "sparse_logistic", "param_grid": {"C": [0.1, 1.0]}, "cv": 3, "scoring": "roc_auc"},
    )
    assert search.param_grid == {"estimator__C": [0.1, 1.0]}
    assert (search.cv, search.scoring, search.n_jobs) == (3, "roc_auc", None)
    assert with_preprocessing(search, "auto") is search


def test_a_random_search_draws_the_same_again() -> None:
    search = randomized_search("sparse_ridge_regressor", {"alpha": [0.1, 1.0, 10.0]}, n_iter=2)
    assert search.param_distributions == {"estimator__alpha": [0.1, 1.0, 10.0]}
    assert (search.n_iter, search.random_state) == (2, 42)


@pytest.mark.parametrize(
    ("preset", "values", "said"),
    [
        ("sparse_logistik", {"C": [1.0]}, "There is no preset 'sparse_logistik'"),
        ("sparse_logistic", {"c": [1.0]}, "There is no parameter 'c'. Did you mean 'C'?"),
        ("sparse_logistic", {"C": 1.0}, "needs lists of values"),
        ("sparse_logistic", {"C": []}, "needs lists of values"),
        ("sparse_logistic", {}, "needs lists of values"),
    ],
)
def test_what_cannot_be_searched_is_named(preset: str, values: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        grid_search(preset, values)
