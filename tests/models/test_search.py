from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import ParameterSampler

from airflow_sklearn.contract.search import Search, SearchResults
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.factories import load_factory, with_preprocessing
from airflow_sklearn.models.presets import PRESETS, build_preset
from airflow_sklearn.models.search import grid_search, make_search, randomized_search, results_of


def test_a_grid_is_over_the_presets_final_step_and_brings_its_own_preprocessing() -> None:
    search = load_factory(
        "airflow_sklearn.models.search:grid_search",
        {"preset": "sparse_logistic", "param_grid": {"C": [0.1, 1.0]}, "cv": 3, "scoring": "roc_auc"},
    )
    assert search.param_grid == {"estimator__C": [0.1, 1.0]}
    assert (search.cv.n_splits, search.cv.shuffle, search.scoring, search.n_jobs) == (3, True, "roc_auc", None)
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


def rows(count: int = 240) -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(0)
    X = pd.DataFrame(random.normal(size=(count, 3)), columns=["a", "b", "c"])
    return X, np.where(X["a"] + random.normal(0, 0.5, count) > 0, "yes", "no")


def test_bare_names_reach_the_final_step_also_within_a_calibration() -> None:
    asked = Search("grid", {"C": [0.1, 1.0], "max_levels": [3]})
    pipeline = build_preset("sparse_logistic")
    assert set(make_search(pipeline, asked).param_grid) == {"estimator__C", "preprocessing__max_levels"}
    calibrated = CalibratedClassifierCV(pipeline)
    assert "estimator__estimator__C" in make_search(calibrated, asked).param_grid
    perceptron = build_preset("multilayer_perceptron_regressor")
    assert set(make_search(perceptron, Search("grid", {"alpha": [1]})).param_grid) == {"estimator__regressor__alpha"}


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.distributions])
def test_each_presets_own_distributions_can_be_drawn_from(name: str) -> None:
    pipeline = build_preset(name)
    search = make_search(pipeline, Search("randomized", n_iter=3), name)
    for params in ParameterSampler(search.param_distributions, 3, random_state=0):
        pipeline.set_params(**params)
        for estimator in [pipeline[-1], *(one for _, one in getattr(pipeline[-1], "estimators", []))]:
            if hasattr(estimator, "_validate_params"):
                estimator._validate_params()


@pytest.mark.parametrize(
    ("asked", "tried"),
    [
        (Search("grid", {"max_depth": [1, 2]}, cv=2), 2),
        (Search("randomized", {"learning_rate": {"loguniform": [0.01, 1]}}, n_iter=3, cv=2), 3),
        (Search("randomized", {"max_depth": [1, 2]}, n_iter=9, cv=2), 2),
        (Search("halving", {"learning_rate": {"uniform": [0.01, 1]}}, n_iter=3, cv=2, cost={"max_iter": (1, 3)}), 4),
        (Search("hyperband", {"max_depth": [1, 2, 3]}, cv=2, cost={"max_iter": (1, 3)}), 6),
    ],
    ids=lambda value: value.method if isinstance(value, Search) else str(value),
)
def test_a_search_finds_the_same_again_and_tells_all_that_it_tried(asked: Search, tried: int) -> None:
    X, y = rows()
    preset = "hist_gradient_boosting_classifier"
    found = [results_of(make_search(build_preset(preset), asked, preset).fit(X, y), "y") for _ in range(2)]
    one, again = found
    assert [c.model_copy(update={"seconds": 0}) for c in one.candidates] == [
        c.model_copy(update={"seconds": 0}) for c in again.candidates
    ]
    assert len(one.candidates) == tried
    assert one.scoring == "neg_log_loss"
    assert one.best_score is not None
    assert one.best_params in [candidate.params for candidate in one.candidates]
    assert SearchResults.model_validate_json(one.model_dump_json()) == one


def test_hyperband_compares_those_that_cost_most() -> None:
    X, y = rows()
    asked = Search("hyperband", {"learning_rate": {"uniform": [0.1, 0.9]}}, cv=2, cost={"max_iter": (1, 9)})
    search = make_search(build_preset("hist_gradient_boosting_classifier"), asked).fit(X, y)
    results = results_of(search, "y")
    assert [sum(c.bracket == number for c in results.candidates) for number in range(3)] == [13, 7, 3]
    best = next(c for c in results.candidates if c.params == results.best_params)
    assert best.resources == 9
    assert search.best_estimator_[-1].max_iter == 9
    assert (search.predict(X) == y).mean() > 0.8


def test_halving_spends_rows_where_there_is_no_costly_parameter() -> None:
    X, y = rows()
    asked = Search("halving", {"C": {"loguniform": [0.01, 10]}}, n_iter=4, cv=2)
    results = results_of(make_search(build_preset("sparse_logistic"), asked).fit(X, y), "y")
    assert len({candidate.resources for candidate in results.candidates}) > 1


def test_a_table_that_is_sorted_by_its_target_is_searched_on_shuffled_rows() -> None:
    random = np.random.default_rng(0)
    X = pd.DataFrame(random.normal(size=(200, 2)), columns=["a", "b"])
    y = X["a"].to_numpy() + random.normal(0, 0.5, 200)
    order = np.argsort(y)
    search = grid_search("sparse_ridge_regressor", {"alpha": [0.1, 10.0]}, cv=4)
    assert search.fit(X.iloc[order], y[order]).best_score_ > 0.6


@pytest.mark.parametrize(
    ("asked", "preset", "said"),
    [
        (Search("grid", {"c": [1]}), None, "There is no parameter 'c'. Did you mean 'C'?"),
        (Search("randomized"), None, "an estimator that is no preset has no parameters to search"),
        (Search("randomized"), "sparse_linear_regressor", "'sparse_linear_regressor' has no parameters to search"),
        (Search("grid"), "sparse_logistic", "a grid needs lists of values"),
        (Search("hyperband"), "sparse_logistic", "hyperband spends on a parameter"),
        (Search("grid", {"C": [1]}, scoring="roc_acu"), None, "no scorer 'roc_acu'. Did you mean 'roc_auc'?"),
    ],
)
def test_a_search_that_cannot_be_made_says_why(asked: Search, preset: str | None, said: str) -> None:
    with pytest.raises(UserError) as caught:
        make_search(build_preset("sparse_logistic"), asked, preset)
    assert said in str(caught.value)
