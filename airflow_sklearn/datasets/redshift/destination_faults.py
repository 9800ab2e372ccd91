"""Reasons why rows could not be published into a table, found before they are computed. Nothing is changed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_sklearn.datasets.redshift import catalog
from airflow_sklearn.datasets.redshift.grants import read_protections, rights_faults
from airflow_sklearn.datasets.redshift.publication_log import PublicationLog, Record
from airflow_sklearn.datasets.redshift.request_faults import request_faults
from airflow_sklearn.datasets.redshift.sql import qualified
from airflow_sklearn.datasets.redshift.target_table import TargetTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.tables import OutputColumnSpec, OutputTable
    from airflow_sklearn.datasets.redshift.database import Database

log = logging.getLogger(__name__)


def destination_faults(
    database: Database,
    table: OutputTable,
    columns: Sequence[OutputColumnSpec],
    key: Sequence[str],
    *,
    run: str = "",
    fingerprint: str = "",
) -> list[str]:
    """All reasons why rows could not be published into a table. Nothing is changed.

    :param database: the table's database.
    :param table: the table, and how to publish.
    :param columns: the columns of the rows.
    :param key: those that identify a row.
    :param run: the name of the rows, if it is known, and ``fingerprint`` their content. With ``if_exists='fail'`` the
        table may hold these same rows.
    """
    destination = TargetTable(table, catalog.read_target(database, table.table, step="plan: destination"), columns, key)
    faults = request_faults(destination) + rights_faults(database, destination, step="plan: rights")
    if table.if_exists != "fail":
        faults += destination.table_faults()
        if destination.is_made_anew():
            lost, warnings = read_protections(database, destination.target, step="plan: protections")
            faults += lost
            for warning in warnings:
                log.warning("%s", warning)
    elif destination.target.exists and not _is_own(database, destination, run, fingerprint):
        faults.append(destination.exists_already())
    return faults


def _is_own(database: Database, destination: TargetTable, run: str, fingerprint: str) -> bool:
    """Whether the existing table holds the rows of this run."""
    if not fingerprint:
        return False
    scope = destination.publication_scope(run)
    books = PublicationLog(database, destination.target.schema, qualified(destination.target.parts), scope)
    if not books.is_there(step="plan: find the bookkeeping"):
        return False
    newest = books.read(step="plan: read the bookkeeping").newest(scope)
    return newest is not None and newest.fingerprint == fingerprint and is_of(newest, destination)


def is_of(record: Record, destination: TargetTable) -> bool:
    """Whether a publication went into the table that exists now, as far as that is known."""
    return record.table in (0, destination.target.number)
