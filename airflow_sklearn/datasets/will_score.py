"""Finding the table that a model will score, against which its training is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.contract.will_score import scored_table
from airflow_sklearn.datasets.base import WantedColumns
from airflow_sklearn.datasets.registry import as_source

if TYPE_CHECKING:
    from airflow_sklearn.contract.will_score import ScoredTable, WillScore
    from airflow_sklearn.datasets.base import Attempt


def find_scored_table(attempt: Attempt, asked: WillScore) -> ScoredTable:
    """Find the files of the table, which the worker will look at; of another table, look at its columns.

    :raises UserError: this kind of table cannot be looked at.
    :raises ObjectNotFoundError: the source matches no object.
    :raises StatementRunningError: the table is being looked at; the task must wait without a worker slot.
    """
    source = as_source(asked.source)
    if not source.is_in_place:
        return scored_table(asked, source.name, contents=source.contents(attempt))
    files = source.resolve(attempt, WantedColumns({})).files
    return scored_table(asked, ", ".join(files.uris), source=files, objects=attempt.storage.expand(files.uris))
