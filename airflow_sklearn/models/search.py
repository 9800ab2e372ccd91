"""Factories for searches over a preset's parameters: ``estimator="airflow_sklearn.models.search:grid_search"``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.model_selection import GridSearchCV, RandomizedSearchCV

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.presets import RANDOM_STATE, build_preset

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def grid_search(
    preset: str, param_grid: Mapping[str, Sequence[Any]], cv: int = 5, scoring: str | None = None
) -> GridSearchCV:
    """A grid search over parameters of a preset: tries every combination.

    The preset's preprocessing is inside the search, so that no fold learns from another one.

    :param preset: the preset's name, such as ``hist_gradient_boosting_classifier``.
    :param param_grid: values to try, by names of the final step's parameters, such as ``{"learning_rate": [0.05,
        0.1]}``.
    :param cv: the number of folds.
    :param scoring: the name of a scikit-learn scorer, such as ``roc_auc``; None: the estimator's own score.
    :return: the unfitted search.
    :raises UserError: there is no such preset or parameter, or no value to try.
    """
    return GridSearchCV(build_preset(preset), _of_final_step(preset, param_grid), cv=cv, scoring=scoring)


def randomized_search(
    preset: str,
    param_distributions: Mapping[str, Sequence[Any]],
    n_iter: int = 10,
    cv: int = 5,
    scoring: str | None = None,
    random_state: int = RANDOM_STATE,
) -> RandomizedSearchCV:
    """A randomized search over parameters of a preset: tries some combinations. See ``grid_search``.

    :param preset: the preset's name.
    :param param_distributions: values to draw from, by names of the final step's parameters.
    :param n_iter: the number of combinations to try.
    :param cv: the number of folds.
    :param scoring: the name of a scikit-learn scorer; None: the estimator's own score.
    :param random_state: the seed; the same seed draws the same combinations.
    :return: the unfitted search.
    :raises UserError: there is no such preset or parameter, or no value to draw.
    """
    return RandomizedSearchCV(
        build_preset(preset),
        _of_final_step(preset, param_distributions),
        n_iter=n_iter,
        cv=cv,
        scoring=scoring,
        random_state=random_state,
    )


def _of_final_step(preset: str, values: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    if not values or not all(isinstance(one, list | tuple) and one for one in values.values()):
        raise UserError(f"A search over the preset {preset!r} needs lists of values by parameter, not {values!r}.")
    build_preset(preset, {name: one[0] for name, one in values.items()})  # its error lists the existing parameters
    return {f"estimator__{name}": list(one) for name, one in values.items()}
