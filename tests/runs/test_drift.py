"""The population stability index, and what it means for few rows."""

from __future__ import annotations

import random

import pytest

from airflow_sklearn.runs.drift import drift


def test_the_index_is_the_sum_of_its_definition() -> None:
    found = drift([300_000, 700_000], [500_000, 500_000])
    assert found is not None
    assert found.index == pytest.approx((0.3 - 0.5) * -0.5108256 + (0.7 - 0.5) * 0.3364722, rel=1e-4)
    assert found.level == "some"


@pytest.mark.parametrize(("run", "level"), [([100, 100, 100], "none"), ([180, 100, 60], "some"), ([0, 0, 300], "much")])
def test_levels(run: list[int], level: str) -> None:
    found = drift(run, [10_000, 10_000, 10_000])
    assert found is not None
    assert found.level == level


def test_few_rows_of_the_same_source_are_no_drift() -> None:
    numbers = random.Random(0)
    levels = []
    for _ in range(200):
        drawn = [numbers.randrange(20) for _ in range(60)]
        found = drift([drawn.count(n) for n in range(20)], [5_000] * 20)
        assert found is not None
        levels.append(found.level)
    assert levels.count("none") / len(levels) > 0.85


def test_what_was_not_counted_has_no_distance() -> None:
    assert drift([], [1]) is None
    assert drift([0, 0], [1, 2]) is None
    assert drift([1, 2], [0, 0]) is None
