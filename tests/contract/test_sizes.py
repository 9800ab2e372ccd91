"""Sizes as people read them; how they write them is tested with the plan operator."""

from __future__ import annotations

import pytest

from airflow_sklearn.contract.sizes import shown_bytes


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.00 KB"), (16_100, "16.1 KB"), (812_300_000, "812 MB"), (5e15, "5000 TB")],
)
def test_a_size_has_three_digits_and_a_unit(size: float, shown: str) -> None:
    assert shown_bytes(size) == shown
