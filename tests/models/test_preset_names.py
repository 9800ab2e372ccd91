from __future__ import annotations

from airflow_sklearn.contract.presets import PRESET_NAMES
from airflow_sklearn.models.presets import PRESETS


def test_both_sides_know_the_same_presets() -> None:
    assert tuple(PRESETS) == PRESET_NAMES
