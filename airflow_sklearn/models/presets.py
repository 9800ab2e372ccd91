"""Estimators by name. A new preset is an entry in ``PRESETS`` and one in ``PresetName``."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.preprocessing import TablePreprocessor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sklearn.base import BaseEstimator

RANDOM_STATE = 42


def _linear(estimator: BaseEstimator) -> Pipeline:
    # Sparse products add up in the order of the columns: the same bits for any batch, on any processor.
    return _pipeline(TablePreprocessor(dates="cyclic", sparse=True), estimator)


def _trees(estimator: BaseEstimator) -> Pipeline:
    return _pipeline(TablePreprocessor(categories="ordinal", impute=None, scale=False), estimator)


def _pipeline(preprocessing: TablePreprocessor, estimator: BaseEstimator) -> Pipeline:
    return Pipeline([("preprocessing", preprocessing), ("estimator", estimator)])


#: Functions that build an unfitted Pipeline, by name. The final step takes the user's parameters.
PRESETS: dict[str, Callable[[], Pipeline]] = {
    "sparse_logistic": lambda: _linear(LogisticRegression(max_iter=1000, random_state=RANDOM_STATE)),
    "sparse_ridge_regressor": lambda: _linear(Ridge(tol=1e-6, random_state=RANDOM_STATE)),
    "hist_gradient_boosting_classifier": lambda: _trees(HistGradientBoostingClassifier(random_state=RANDOM_STATE)),
    "hist_gradient_boosting_regressor": lambda: _trees(HistGradientBoostingRegressor(random_state=RANDOM_STATE)),
}


def build_preset(name: str, params: Mapping[str, Any] | None = None) -> Pipeline:
    """The unfitted Pipeline of a preset.

    :param name: a key of ``PRESETS``.
    :param params: parameters of the final step, such as ``{"C": 0.1}``; None: its defaults.
    :raises UserError: there is no such preset or parameter; the message lists those that exist.
    """
    if name not in PRESETS:
        raise UserError(f"There is no preset {name!r}{_did_you_mean(name, PRESETS)} The presets are {sorted(PRESETS)}.")
    pipeline = PRESETS[name]()
    final = pipeline.steps[-1][1]
    valid = final.get_params()
    if unknown := [param for param in params or {} if param not in valid]:
        hints = "".join(_did_you_mean(param, valid) for param in unknown)
        raise UserError(
            f"The preset {name!r} ({type(final).__name__}) has no parameter {', '.join(map(repr, unknown))}{hints} "
            f"Its parameters are {sorted(valid)}."
        )
    final.set_params(**(params or {}))
    return pipeline


def _did_you_mean(word: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f". Did you mean {close[0]!r}?" if close else "."
