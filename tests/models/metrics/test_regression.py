from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from airflow_sklearn.models.metrics.registry import compute, plain
from airflow_sklearn.models.metrics.regression import weighted_quantiles
from airflow_sklearn.models.metrics.scored import Scored, scored_numbers

#: What CivisML recorded.
KEYS = "mad rmse r_squared score_histogram training_histogram y_yhat_plot y_yhat_outlier_rows"


def computed(scored: Scored) -> dict[str, Any]:
    return plain(compute(scored))


def case() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.normal(size=500)
    return y, y + rng.normal(scale=0.5, size=500), rng.random(500)


def test_every_key_of_civisml_is_there_and_known() -> None:
    y, predicted, weight = case()
    found = computed(scored_numbers(y, predicted, weight))
    assert not [name for name in KEYS.split() if found.get(name) is None]


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_errors_are_those_of_scikit_learn(weighted: bool) -> None:
    y, predicted, weight = case()
    found = computed(scored_numbers(y, predicted, weight if weighted else None))
    options = {"sample_weight": weight} if weighted else {}
    assert found["r_squared"] == pytest.approx(metrics.r2_score(y, predicted, **options))
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(y, predicted, **options))
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(y, predicted, **options))
    if not weighted:
        assert found["mad"] == pytest.approx(metrics.median_absolute_error(y, predicted))


def test_r_squared_by_decile_is_that_of_the_rows_with_such_predictions() -> None:
    y, predicted, _ = case()
    found = computed(scored_numbers(y, predicted))
    lowest = np.argsort(predicted)[:50]
    assert len(found["r_squared_by_decile"]) == 10
    assert found["r_squared_by_decile"][0] == pytest.approx(metrics.r2_score(y[lowest], predicted[lowest]))


def test_quantiles_of_residuals_and_outliers_find_the_worst_row() -> None:
    y, predicted, _ = case()
    y[123] = 50.0
    found = computed(scored_numbers(y, predicted))
    assert found["y_yhat_outlier_rows"][0] == 123
    assert len(found["y_yhat_outlier_rows"]) == 20
    residuals = dict(zip(found["residual_quantiles"]["quantile"], found["residual_quantiles"]["residual"], strict=True))
    assert residuals[0.5] == pytest.approx(np.median(y - predicted))
    assert residuals[0.05] == pytest.approx(np.quantile(y - predicted, 0.05), abs=0.05)


def test_a_weight_counts_like_repeated_rows_and_none_like_no_row() -> None:
    values, weight = np.array([1.0, 2.0, 3.0, 99.0]), np.array([1.0, 1.0, 1.0, 0.0])
    assert weighted_quantiles(values, (0.5,), weight)[0] == 2.0


def test_a_constant_target_has_no_r_squared() -> None:
    found = computed(scored_numbers(np.ones(20), np.linspace(0, 2, 20)))
    assert found["r_squared"] is None
    assert found["rmse"] > 0


def test_the_plot_counts_every_row_once() -> None:
    y, predicted, _ = case()
    found = computed(scored_numbers(y, predicted))
    assert np.sum(found["y_yhat_plot"]["values"]) == np.sum(found["score_histogram"]["values"]) == 500
    assert np.allclose(np.sum(found["y_yhat_plot"]["values"], axis=1), found["training_histogram"]["values"])


def test_the_histogram_of_residuals_holds_every_row_though_its_bins_end_before_outliers() -> None:
    y, predicted, weight = case()
    y[123] = 50.0
    found = computed(scored_numbers(y, predicted, weight))["residual_histogram"]
    assert sum(found["values"]) == pytest.approx(weight.sum())
    assert found["bin_edges"][-1] < 5
    same = computed(scored_numbers(y, y))["residual_histogram"]
    assert (sum(same["values"]), same["bin_edges"][0]) == (500, -0.5)


def test_residuals_by_decile_are_those_of_the_rows_with_such_predictions() -> None:
    y, predicted, _ = case()
    found = computed(scored_numbers(y, predicted))["residuals_by_decile"]
    highest = np.argsort(predicted)[-50:]
    assert found["predicted"][-1] == pytest.approx(predicted[highest].mean())
    assert found["residual"][-1][1] == pytest.approx(np.median((y - predicted)[highest]))
    assert len(found["residual"]) == 10
