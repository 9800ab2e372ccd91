"""Estimators by name. A new preset is an entry in ``PRESETS``, and its name in ``contract/presets.py``."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, LogisticRegressionCV, Ridge, RidgeCV
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from airflow_sklearn.contract.faults import suggestion
from airflow_sklearn.contract.misplaced import belongs
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.dates import DAYS, PERIODS
from airflow_sklearn.models.preprocessing import TablePreprocessor
from airflow_sklearn.models.selection import LassoSelector

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sklearn.base import BaseEstimator

RANDOM_STATE = 42

_PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)

#: Trees find seasons in the parts of dates, and trends in the days.
_DATES = [*PERIODS, DAYS]

#: Values to search, by parameter: a list, or a distribution as ``contract/search.py`` writes them.
Distributions = dict[str, Any]


@dataclass(frozen=True)
class Preset:
    """One preset.

    :param build: makes the unfitted Pipeline. Its first step is named ``preprocessing``, its last one ``estimator``.
    :param distributions: what a search tries, by names of parameters of the last step.
    :param cost: the parameter of the last step that makes fitting long, and the values between which Hyperband and
        halving searches spend; None: there is none.
    """

    build: Callable[[], Pipeline]
    distributions: Distributions = field(default_factory=dict)
    cost: tuple[str, int, int] | None = None


def _folds(task: str) -> Any:
    kind = StratifiedKFold if task == "classes" else KFold
    return kind(4, shuffle=True, random_state=RANDOM_STATE)


def _linear(estimator: BaseEstimator, task: Any, *, select: bool = True) -> Pipeline:
    # Sparse products add up in the order of the columns: the same bits for any batch, on any processor.
    table = TablePreprocessor(dates="cyclic", sparse=True, max_levels=1000, target=task)
    selection = [("selection", LassoSelector(target=task))] if select else []
    return Pipeline([("preprocessing", table), *selection, ("estimator", estimator)])


def _expanded(estimator: BaseEstimator, task: Any, *, scale: bool = False) -> Pipeline:
    table = TablePreprocessor(sparse=False, scale=scale, max_levels=500, date_parts=_DATES, target=task)
    return Pipeline([("preprocessing", table), ("estimator", estimator)])


def _native(estimator: BaseEstimator, task: Any) -> Pipeline:
    table = TablePreprocessor(categories="native", impute=None, scale=False, date_parts=_DATES, target=task)
    return Pipeline([("preprocessing", table), ("estimator", estimator)])


def _boosting(task: str) -> Any:
    kind = GradientBoostingClassifier if task == "classes" else GradientBoostingRegressor
    return kind(n_estimators=500, max_depth=2, random_state=RANDOM_STATE)


def _forest(task: str) -> Any:
    kind = RandomForestClassifier if task == "classes" else RandomForestRegressor
    return kind(n_estimators=500, max_depth=7, random_state=RANDOM_STATE)


def _extra_trees(task: str) -> Any:
    kind = ExtraTreesClassifier if task == "classes" else ExtraTreesRegressor
    return kind(n_estimators=500, max_depth=7, random_state=RANDOM_STATE)


def _logistic_cv(tol: float = 1e-4) -> LogisticRegressionCV:
    """The logistic regression with the L2 penalty whose log loss is least in 4 folds."""
    # Later versions of scikit-learn warn unless these say what they mean; earlier ones warn if they do.
    options = {"l1_ratios": (0.0,), "use_legacy_attributes": False}
    known = inspect.signature(LogisticRegressionCV).parameters
    return LogisticRegressionCV(
        cv=_folds("classes"),
        scoring="neg_log_loss",
        tol=tol,
        max_iter=1000,
        random_state=RANDOM_STATE,
        **(options if "use_legacy_attributes" in known else {}),
    )


def _stacking_classifier() -> Pipeline:
    meta = Pipeline([("scaler", StandardScaler()), ("meta-estimator", _logistic_cv(1e-8))])
    steps = [
        ("sparse_logistic", _logistic_cv()),
        ("gradient_boosting_classifier", _boosting("classes")),
        ("random_forest_classifier", _forest("classes")),
    ]
    return _expanded(StackingClassifier(steps, meta, cv=_folds("classes")), "classes", scale=True)


def _stacking_regressor() -> Pipeline:
    meta = Pipeline([("meta-estimator", LinearRegression(positive=True))])
    steps = [
        ("sparse_ridge_regressor", RidgeCV(alphas=_PENALTIES)),
        ("gradient_boosting_regressor", _boosting("numbers")),
        ("random_forest_regressor", _forest("numbers")),
    ]
    return _expanded(StackingRegressor(steps, meta, cv=_folds("numbers")), "numbers", scale=True)


def _best(task: str) -> Pipeline:
    """Boosted histograms, extremely random trees and a linear model, weighted by how well they predict in
    cross-validation.
    """
    classes = task == "classes"
    boosting = (HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor)(
        learning_rate=0.05,
        max_iter=150,
        max_leaf_nodes=15,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=RANDOM_STATE,
    )
    # Trees of classes try a part of the columns at each split, as is their default; those of numbers all.
    trees = (ExtraTreesClassifier if classes else ExtraTreesRegressor)(
        n_estimators=100, min_samples_leaf=3, random_state=RANDOM_STATE
    )
    linear = LogisticRegression(max_iter=1000) if classes else RidgeCV(alphas=_PENALTIES)
    steps = [
        ("hist_gradient_boosting", boosting),
        ("extra_trees", _expanded(trees, task)),
        ("linear", _expanded(linear, task, scale=True)),
    ]
    meta = LogisticRegression() if classes else LinearRegression(positive=True)
    stack = StackingClassifier if classes else StackingRegressor
    return _native(stack(steps, meta, cv=_folds(task)), task)


def _perceptron_regressor() -> TransformedTargetRegressor:
    return TransformedTargetRegressor(MLPRegressor(random_state=RANDOM_STATE), transformer=StandardScaler())


_BOOSTING: Distributions = {
    "max_depth": [1, 2, 3, 4],
    "max_features": [None, "sqrt", "log2", 0.5, 0.3, 0.1, 0.05, 0.01],
    "learning_rate": {"truncated_exponential": [0.0003, 0.03, 0.006]},
}
_TREES: Distributions = {
    "max_features": {"truncated_exponential": [0.01, 1.0, 0.1]},
    "max_depth": [1, 2, 3, 4, 6, 10],
}
_TREES_OF_CLASSES = {"criterion": ["gini", "entropy"], **_TREES}
_SHAPES = [
    [], [16], [32], [64], [128], [256], [512],
    [64, 32], [128, 64], [256, 256], [512, 256],
    [256, 128, 64], [512, 256, 128], [1024, 512, 256, 128],
]  # fmt: skip
_PERCEPTRON: Distributions = {
    "hidden_layer_sizes": _SHAPES,
    "alpha": {"loguniform": [1e-6, 1e-1]},
    "learning_rate_init": {"loguniform": [1e-4, 8e-2]},
}
_HISTOGRAMS: Distributions = {
    "learning_rate": {"loguniform": [0.01, 0.3]},
    "max_leaf_nodes": [4, 8, 15, 31, 63],
    "min_samples_leaf": [5, 10, 20, 50, 100],
    "l2_regularization": {"loguniform": [1e-3, 1e2]},
    "max_features": [0.3, 0.5, 0.8, 1.0],
}


def _within(distributions: Mapping[str, Any], step: str) -> Distributions:
    return {f"{step}__{name}": values for name, values in distributions.items()}


def _stacked(kind: str, trees: Distributions) -> Distributions:
    return {
        **_within({"n_estimators": {"integers": [100, 1000]}, **_BOOSTING}, f"gradient_boosting_{kind}"),
        **_within({"n_estimators": {"integers": [100, 1000]}, **trees}, f"random_forest_{kind}"),
    }


_MANY_TREES = ("n_estimators", 100, 1000)
_EPOCHS = ("max_iter", 5, 50)
_ROUNDS = ("max_iter", 20, 500)

PRESETS: dict[str, Preset] = {
    "sparse_logistic": Preset(
        # CivisML's C: nearly no penalty, because the selection has chosen the columns.
        lambda: _linear(LogisticRegression(C=499999950, tol=1e-8, max_iter=1000, random_state=RANDOM_STATE), "classes"),
        {"C": {"loguniform": [1e-3, 1e6]}},
    ),
    "sparse_linear_regressor": Preset(lambda: _linear(LinearRegression(), "numbers")),
    "sparse_ridge_regressor": Preset(
        lambda: _linear(Ridge(tol=1e-6, random_state=RANDOM_STATE), "numbers"), {"alpha": {"loguniform": [1e-3, 1e4]}}
    ),
    "gradient_boosting_classifier": Preset(lambda: _expanded(_boosting("classes"), "classes"), _BOOSTING, _MANY_TREES),
    "gradient_boosting_regressor": Preset(lambda: _expanded(_boosting("numbers"), "numbers"), _BOOSTING, _MANY_TREES),
    "random_forest_classifier": Preset(
        lambda: _expanded(_forest("classes"), "classes"), _TREES_OF_CLASSES, _MANY_TREES
    ),
    "random_forest_regressor": Preset(lambda: _expanded(_forest("numbers"), "numbers"), _TREES, _MANY_TREES),
    "extra_trees_classifier": Preset(
        lambda: _expanded(_extra_trees("classes"), "classes"), _TREES_OF_CLASSES, _MANY_TREES
    ),
    "extra_trees_regressor": Preset(lambda: _expanded(_extra_trees("numbers"), "numbers"), _TREES, _MANY_TREES),
    "multilayer_perceptron_classifier": Preset(
        lambda: _expanded(MLPClassifier(random_state=RANDOM_STATE), "classes", scale=True), _PERCEPTRON, _EPOCHS
    ),
    "multilayer_perceptron_regressor": Preset(
        lambda: _expanded(_perceptron_regressor(), "numbers", scale=True),
        _within(_PERCEPTRON, "regressor"),
        ("regressor__max_iter", 5, 50),
    ),
    "stacking_classifier": Preset(_stacking_classifier, _stacked("classifier", _TREES_OF_CLASSES)),
    "stacking_regressor": Preset(_stacking_regressor, _stacked("regressor", _TREES)),
    "hist_gradient_boosting_classifier": Preset(
        lambda: _native(HistGradientBoostingClassifier(random_state=RANDOM_STATE), "classes"), _HISTOGRAMS, _ROUNDS
    ),
    "hist_gradient_boosting_regressor": Preset(
        lambda: _native(HistGradientBoostingRegressor(random_state=RANDOM_STATE), "numbers"), _HISTOGRAMS, _ROUNDS
    ),
    "best_classifier": Preset(lambda: _best("classes"), _within(_HISTOGRAMS, "hist_gradient_boosting")),
    "best_regressor": Preset(lambda: _best("numbers"), _within(_HISTOGRAMS, "hist_gradient_boosting")),
}


def build_preset(name: str, params: Mapping[str, Any] | None = None) -> Pipeline:
    """The unfitted Pipeline of a preset.

    :param name: a key of ``PRESETS``.
    :param params: parameters of the final step, such as ``{"C": 0.1}``; None: its defaults.
    :raises UserError: there is no such preset or parameter; the message lists those that exist.
    """
    if name not in PRESETS:
        raise UserError(f"There is no preset {name!r}.{suggestion(name, PRESETS)} The presets are {sorted(PRESETS)}.")
    pipeline = PRESETS[name].build()
    final = pipeline.steps[-1][1]
    valid = final.get_params()
    inner = "regressor__" if isinstance(final, TransformedTargetRegressor) else ""
    meant = {param: param if param in valid else inner + param for param in params or {}}
    if unknown := [param for param, full in meant.items() if full not in valid]:
        known = [param.removeprefix(inner) for param in valid]
        hints = {param: belongs(param) or suggestion(param, known) for param in unknown}
        told = " ".join(f"There is no parameter {param!r}.{hint}" for param, hint in hints.items())
        raise UserError(
            f"The preset {name!r} ({type(final).__name__}) cannot be made: {told} Its parameters are {sorted(known)}."
        )
    final.set_params(**{meant[param]: value for param, value in (params or {}).items()})
    return pipeline
