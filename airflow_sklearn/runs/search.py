"""Checks of ``search_containers`` before the estimator is made."""

from __future__ import annotations

from typing import Any

from airflow_sklearn.exceptions import UserError


def checked_containers(containers: Any) -> int | None:
    """The number of containers; None if none is asked for.

    :raises UserError: the value is not a valid number of containers.
    """
    if containers is None:
        return None
    if not isinstance(containers, int) or isinstance(containers, bool) or containers < 2:
        raise UserError(
            f"search_containers={containers!r}: give a whole number, 2 or more; or leave it out, and the job's own "
            "container fits alone."
        )
    return containers


def check_spreads(estimator: Any, containers: int, *, searched: bool = False, folds: int = 0) -> None:
    """Check that an estimator has work for more than one container. A factory's estimator is checked later, in the
    container.

    :param searched: whether its parameters are searched (``search=``), which always has work.
    :param folds: the number of folds of the validation, which further containers fit too.
    :raises UserError: further containers would have nothing to do.
    """
    why = ""
    if searched or folds >= 2:
        return
    if isinstance(estimator, str):
        if ":" not in estimator:
            why = f"the preset {estimator!r} is fitted in one piece. Search its parameters (search='randomized')"
    elif hasattr(estimator, "get_params"):
        why = why_alone(estimator)
    if why:
        why += ", or validate in folds"
        raise UserError(f"search_containers={containers}: {why}, or leave search_containers out.")


def why_alone(estimator: Any) -> str:
    """Why an estimator gives no work to other containers; empty if it may."""
    name = type(estimator).__name__
    parameters = estimator.get_params(deep=True)
    jobs = {key: value for key, value in parameters.items() if key == "n_jobs" or key.endswith("__n_jobs")}
    if not jobs:
        return f"nothing in {name} has joblib do anything in parallel. Give a search or an ensemble"
    if all(value == 1 for value in jobs.values()) or jobs.get("n_jobs") == 1:
        named = ", ".join(f"{key}=1" for key, value in sorted(jobs.items()) if value == 1)
        return f"{name} is told to use one process ({named}). Leave n_jobs at None"
    return ""
