"""The rows that a publication replaces in a table, and reasons why it may not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.datasets.redshift.publication_log import WHOLE, run_of, task_of
from airflow_sklearn.datasets.run_order import older_fault, rival_fault
from airflow_sklearn.exceptions import PublicationRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.planned import Planned
    from airflow_sklearn.datasets.redshift.publication_log import History, Record
    from airflow_sklearn.datasets.redshift.target_table import TargetTable


def replaced_records(destination: TargetTable, history: History, scope: str, fingerprint: str) -> list[Record]:
    """The publications of other rows that a publication is about to replace, newest first. None if it adds rows."""
    if destination.output.if_exists not in ("replace", "truncate") or not destination.target.exists:
        return []
    if destination.replaces_all:
        found = list(history.records)
    else:
        newest = history.newest(scope, WHOLE)
        found = [newest] if newest else []
    return [record for record in found if record.fingerprint != fingerprint]


def check_order(place: str, replaced: Sequence[Record], planned: Planned, *, replace_newer: bool) -> None:
    """Check that a run may replace the rows of others.

    :param place: the table's name, for messages.
    :param replaced: the publications whose rows are replaced.
    :param planned: when and by which task the run was planned.
    :param replace_newer: let it replace rows of a newer run.
    :raises PublicationRefusedError: they are rows of a newer run, or of another task of the same run.
    """
    for record in replaced:
        if record.run and record.run == run_of(planned) and record.task != task_of(planned):
            raise PublicationRefusedError(rival_fault(place, str(record)))
        if planned.at and record.planned_at > planned.at and not replace_newer:
            raise PublicationRefusedError(older_fault(place, str(record), planned))
