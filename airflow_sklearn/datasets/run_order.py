"""Reasons why a run may not replace the rows of another one, in a folder or in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

    from airflow_sklearn.contract.planned import Planned


def log_replacement(log: logging.Logger, place: str, there: object, *, rows: int, by: int) -> None:
    """Log which rows were replaced.

    :param there: the run that published the replaced rows.
    :param rows: the number of rows that were replaced.
    :param by: the number of rows now.
    """
    if rows and not by:
        log.warning("Replaced in %s by no rows at all: %s. Is the source complete?", place, there)
    else:
        log.info("Replaced in %s: %s.", place, there)


def rival_fault(place: str, there: str) -> str:
    """The fault that two tasks would replace each other's rows in turn.

    :param there: the run whose rows are there now.
    """
    return (
        f"{place} holds the rows of another task: {there}. Both would replace each other's rows, so nothing was "
        "changed. Fix: give each task a partition or a destination of its own (partition=..., destination=... of "
        "sklearn_predict or SklearnPlanOperator); if the other task's rows are no longer wanted, remove them."
    )


def older_fault(place: str, there: str, planned: Planned) -> str:
    """The fault that an older run would replace the rows of a newer one.

    :param there: the run whose rows are there now.
    :param planned: when and by which task the older run was planned.
    """
    return (
        f"{place} holds the rows of a newer run: {there}. This run is older ({planned}): its rows would replace newer "
        "ones, so nothing was changed. Fix: clear the plan task too, so that the run is planned anew over what the "
        "source holds now; or, if the older rows are wanted, give sklearn_predict (or "
        "SklearnCommitOperator) replace_newer=True."
    )
