"""The names of the presets. The worker builds them; operators refuse other names when the DAG is parsed."""

from __future__ import annotations

from typing import Literal, get_args

PresetName = Literal[
    "sparse_logistic",
    "sparse_ridge_regressor",
    "hist_gradient_boosting_classifier",
    "hist_gradient_boosting_regressor",
]

PRESET_NAMES: tuple[str, ...] = get_args(PresetName)
