from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from airflow_sklearn.models.metrics import classes, ranking, regression  # noqa: F401
from airflow_sklearn.models.metrics import intervals as module
from airflow_sklearn.models.metrics.registry import compute
from airflow_sklearn.models.metrics.scored import Scored, scored_classes, scored_numbers


def intervals(scored: Scored) -> dict[str, Any]:
    return module.intervals(scored, compute(scored))


def accurate(rows: int, seed: int = 0) -> Scored:
    """Predictions of which about 80% are right."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, rows)
    labels = np.where(rng.random(rows) < 0.8, y, 1 - y)
    return scored_classes(y, labels, [0, 1])


def test_an_interval_has_the_width_that_theory_gives() -> None:
    low, high = intervals(accurate(2000))["accuracy"]
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 2000), rel=0.25)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    found = [intervals(accurate(300, seed))["accuracy"] for seed in range(60)]
    assert np.mean([low <= 0.8 <= high for low, high in found]) > 0.85


def test_intervals_are_the_same_in_each_run() -> None:
    assert intervals(accurate(500)) == intervals(accurate(500))


def test_of_many_rows_some_are_drawn_and_the_interval_is_as_narrow_as_all_make_it() -> None:
    low, high = intervals(accurate(90_000))["accuracy"]
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 90_000), rel=0.3)
    assert low < np.mean(accurate(90_000).y == accurate(90_000).predicted) < high


def test_numbers_have_intervals_too() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=1000)
    found = intervals(scored_numbers(y, y + rng.normal(scale=0.5, size=1000)))
    assert set(found) == {"r_squared", "rmse", "mae", "mad"}
    low, high = found["rmse"]
    assert low < 0.5 < high < 0.55


@pytest.mark.parametrize("copies", [9, 100], ids=["few", "more than are drawn"])
def test_rows_of_a_group_count_as_much_as_one_if_they_are_the_same(copies: int) -> None:
    once = accurate(400)
    rows = np.repeat(np.arange(400), copies)
    (low, high), (low_of_groups, high_of_groups), (low_of_rows, high_of_rows) = (
        intervals(one)["accuracy"] for one in (once, replace(once.of(rows), groups=rows), once.of(rows))
    )
    assert high_of_groups - low_of_groups == pytest.approx(high - low, rel=0.25)
    assert high_of_rows - low_of_rows < (high - low) / 2
