"""The names of the presets. The worker builds them; operators refuse other names when the DAG is parsed."""

from __future__ import annotations

from typing import Literal, get_args

PresetName = Literal[
    "sparse_logistic",
    "sparse_linear_regressor",
    "sparse_ridge_regressor",
    "gradient_boosting_classifier",
    "gradient_boosting_regressor",
    "random_forest_classifier",
    "random_forest_regressor",
    "extra_trees_classifier",
    "extra_trees_regressor",
    "multilayer_perceptron_classifier",
    "multilayer_perceptron_regressor",
    "stacking_classifier",
    "stacking_regressor",
    "hist_gradient_boosting_classifier",
    "hist_gradient_boosting_regressor",
    "best_classifier",
    "best_regressor",
]

PRESET_NAMES: tuple[str, ...] = get_args(PresetName)

#: The presets whose single predictions cannot be explained: their scores are no sums over features or trees.
UNEXPLAINED: tuple[PresetName, ...] = ("multilayer_perceptron_classifier", "multilayer_perceptron_regressor")
