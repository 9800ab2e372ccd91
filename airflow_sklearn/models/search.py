"""Searches for the best parameters of any estimator.

``grid_search`` and ``randomized_search`` are factories over a preset's parameters, which were there before
``search=``: ``estimator="airflow_sklearn.models.search:grid_search"``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats
from sklearn.base import is_classifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.metrics import get_scorer_names
from sklearn.model_selection import (
    GridSearchCV,
    HalvingRandomSearchCV,
    KFold,
    RandomizedSearchCV,
    StratifiedKFold,
)

from airflow_sklearn.contract.faults import suggestion
from airflow_sklearn.contract.search import Candidate, Search, SearchResults
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.hyperband import HyperbandSearchCV
from airflow_sklearn.models.presets import PRESETS, RANDOM_STATE, build_preset

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sklearn.model_selection._search import BaseSearchCV


def make_search(estimator: Any, asked: Search, preset: str | None = None, folds: Any = None) -> BaseSearchCV:
    """The unfitted search over an estimator. Its preprocessing is inside, so that no fold learns from another one.

    :param estimator: the estimator.
    :param asked: the search that is asked for.
    :param preset: the preset that the estimator was made of; None: none.
    :param folds: a splitter; None: shuffled folds, stratified for a classifier.
    :raises UserError: there is nothing to search, or a parameter or scorer does not exist; the message lists all
        faults.
    """
    known = PRESETS.get(preset or "")
    cost = dict(asked.cost or {})
    if known and known.cost and not cost and asked.method in ("halving", "hyperband"):
        cost = {known.cost[0]: known.cost[1:]}
    params = dict(asked.params or (known.distributions if known else {}))
    _check(asked, params, cost, preset)
    names = _full_names(estimator, [*params, *cost])
    _check_scoring(asked.scoring)
    values = {names[name]: _values(one) for name, one in params.items()}
    shared = {"cv": folds or shuffled(asked.cv, estimator, asked.random_state), "scoring": _scoring(asked, estimator)}
    if asked.method == "grid":
        return GridSearchCV(estimator, values, **shared)
    shared["random_state"] = asked.random_state
    if asked.method == "randomized":
        return RandomizedSearchCV(estimator, values, n_iter=min(asked.n_iter, _combinations(values)), **shared)
    ((name, (least, largest)),) = cost.items() or {"": (0, 0)}.items()
    if asked.method == "hyperband":
        spent: dict[str, Any] = {"resource": names[name], "least": least, "largest": largest}
        return HyperbandSearchCV(estimator, values, factor=asked.factor, **spent, **shared)
    spending: dict[str, Any] = {"resource": "n_samples", "min_resources": "exhaust"}
    if name:
        spending = {"resource": names[name], "min_resources": least, "max_resources": largest}
    return HalvingRandomSearchCV(
        estimator, values, n_candidates=asked.n_iter, factor=asked.factor, **spending, **shared
    )


def results_of(fitted: Any, target: str) -> SearchResults:
    """What a fitted search has found, as plain values.

    :param fitted: the fitted result of ``make_search``.
    :param target: the name of the target.
    """
    found = fitted.cv_results_
    resources, brackets = found.get("n_resources"), found.get("bracket")
    candidates = tuple(
        Candidate(
            params=_plain(params),
            score=_finite(found["mean_test_score"][index]),
            deviation=_finite(found["std_test_score"][index]),
            rank=int(found["rank_test_score"][index]),
            seconds=float(found["mean_fit_time"][index]),
            resources=None if resources is None else int(resources[index]),
            bracket=None if brackets is None else int(brackets[index]),
        )
        for index, params in enumerate(found["params"])
    )
    scoring = fitted.scoring if isinstance(fitted.scoring, str) else ""
    best = _plain(fitted.best_params_)
    score = _finite(fitted.best_score_)
    return SearchResults(target=target, best_params=best, best_score=score, scoring=scoring, candidates=candidates)


def shuffled(folds: int, estimator: Any, random_state: int = RANDOM_STATE) -> Any:
    """Shuffled folds, stratified for a classifier. An integer would take the rows as they are sorted."""
    kind = StratifiedKFold if is_classifier(estimator) else KFold
    return kind(folds, shuffle=True, random_state=random_state)


def _check(asked: Search, params: Mapping[str, Any], cost: Mapping[str, Any], preset: str | None) -> None:
    whose = f"the preset {preset!r}" if preset else "an estimator that is no preset"
    if not params:
        raise UserError(
            f"search: {whose} has no parameters to search of its own. Fix: give them, "
            f"search=Search({asked.method!r}, {{'name': [1, 2, 3]}})."
        )
    if asked.method == "grid" and any(isinstance(values, dict) for values in params.values()):
        raise UserError(
            f"search: a grid needs lists of values, and {whose} has distributions. Fix: give params, or search by "
            "'randomized'."
        )
    if asked.method == "hyperband" and not cost:
        raise UserError(
            f"search: hyperband spends on a parameter, and {whose} has none. Fix: name it, cost={{'n_estimators': "
            "[100, 1000]}, or search by 'halving', which spends rows."
        )


def _check_scoring(scoring: str | None) -> None:
    if scoring is not None and scoring not in (names := get_scorer_names()):
        raise UserError(
            f"search: there is no scorer {scoring!r}.{suggestion(scoring, names)} Those of scikit-learn are "
            f"{', '.join(names)}."
        )


def _scoring(asked: Search, estimator: Any) -> str | None:
    if asked.scoring is None and is_classifier(estimator) and hasattr(estimator, "predict_proba"):
        return "neg_log_loss"
    return asked.scoring


def _full_names(estimator: Any, given: Sequence[str]) -> dict[str, str]:
    """The full name of each parameter. A bare name is that of the final step, or else of the outermost part with it.

    :raises UserError: parameters do not exist; the message lists all of them.
    """
    every = sorted(estimator.get_params(deep=True), key=lambda name: (name.count("__"), name))
    final = _final_prefix(estimator)
    full, faults = {}, []
    for name in given:
        found = [one for one in every if one == name or one.endswith(f"__{name}")]
        of_final = [one for one in found if one.startswith(final)]
        if found:
            full[name] = (of_final or found)[0]
        else:
            bare = dict.fromkeys(one.removeprefix(final) for one in every if one.startswith(final))
            faults.append(f"There is no parameter {name!r}.{suggestion(name, bare)}")
    if faults:
        shown = sorted(one.removeprefix(final) for one in every if one.startswith(final))
        raise UserError(f"search: {' '.join(faults)} Those of the final step are {', '.join(shown)}.")
    return full


def _final_prefix(estimator: Any) -> str:
    """The prefix of the final step's parameters, also within a calibration or a transformed target."""
    if hasattr(estimator, "steps"):
        name, final = estimator.steps[-1]
        return f"{name}__{_final_prefix(final)}"
    for name in ("estimator", "regressor"):
        inner = getattr(estimator, name, None)
        if hasattr(inner, "get_params") and not hasattr(estimator, "n_estimators"):
            return f"{name}__{_final_prefix(inner)}"
    return ""


def _values(given: Any) -> Any:
    """A list of values, or a distribution with ``rvs``. Lists among the values are tuples, such as layers' sizes."""
    if not isinstance(given, dict):
        return [tuple(value) if isinstance(value, list) else value for value in given]
    ((kind, ends),) = given.items()
    low, high = ends[:2]
    if kind == "uniform":
        return stats.uniform(low, high - low)
    if kind == "loguniform":
        return stats.loguniform(low, high)
    if kind == "integers":
        return stats.randint(low, high + 1)
    return stats.truncexpon((high - low) / ends[2], loc=low, scale=ends[2])


def _combinations(values: Mapping[str, Any]) -> int:
    """The number of different combinations; a large number if there is a distribution."""
    return math.prod(len(one) if isinstance(one, list) else 10**9 for one in values.values())


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in params.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple):
        return [_plain_value(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def grid_search(
    preset: str, param_grid: Mapping[str, Sequence[Any]], cv: int = 5, scoring: str | None = None
) -> GridSearchCV:
    """A grid search over parameters of a preset: tries every combination.

    :param preset: the preset's name, such as ``hist_gradient_boosting_classifier``.
    :param param_grid: values to try, by names of the final step's parameters, such as ``{"learning_rate": [0.05,
        0.1]}``.
    :param cv: the number of folds, which are shuffled, and stratified for classes.
    :param scoring: the name of a scikit-learn scorer, such as ``roc_auc``; None: the estimator's own score.
    :return: the unfitted search.
    :raises UserError: there is no such preset or parameter, or no value to try.
    """
    pipeline, values = build_preset(preset), _of_final_step(preset, param_grid)
    return GridSearchCV(pipeline, values, cv=shuffled(cv, pipeline), scoring=scoring)


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
    pipeline, values = build_preset(preset), _of_final_step(preset, param_distributions)
    return RandomizedSearchCV(
        pipeline, values, n_iter=n_iter, cv=shuffled(cv, pipeline), scoring=scoring, random_state=random_state
    )


def _of_final_step(preset: str, values: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    if not values or not all(isinstance(one, list | tuple) and one for one in values.values()):
        raise UserError(f"A search over the preset {preset!r} needs lists of values by parameter, not {values!r}.")
    build_preset(preset, {name: one[0] for name, one in values.items()})  # its error lists the existing parameters
    full = _full_names(build_preset(preset), list(values))
    return {full[name]: list(one) for name, one in values.items()}
