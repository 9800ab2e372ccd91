"""The names of the presets, for both sides: the worker builds them, and a DAG that names another is told at once."""

from __future__ import annotations

from typing import Literal, get_args

PresetName = Literal[
    "sparse_logistic",
    "sparse_ridge_regressor",
    "hist_gradient_boosting_classifier",
    "hist_gradient_boosting_regressor",
]

PRESET_NAMES: tuple[str, ...] = get_args(PresetName)
