from __future__ import annotations

from airflow_sklearn.contract.preprocessing import PREPROCESSING_PARAMS
from airflow_sklearn.contract.presets import PRESET_NAMES
from airflow_sklearn.models.preprocessing import TablePreprocessor
from airflow_sklearn.models.presets import PRESETS


def test_both_sides_know_the_same_presets() -> None:
    assert tuple(PRESETS) == PRESET_NAMES


def test_both_sides_know_the_same_parameters_of_the_preprocessing() -> None:
    assert set(PREPROCESSING_PARAMS) == set(TablePreprocessor().get_params())
