"""A table of Redshift as a destination."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.datasets.base import Destination, Publication
from airflow_sklearn.datasets.redshift.access import connect
from airflow_sklearn.datasets.redshift.destination_faults import destination_faults
from airflow_sklearn.datasets.redshift.publish import TableLoad, publish_table
from airflow_sklearn.datasets.redshift.sql import inline
from airflow_sklearn.datasets.redshift.types import output_column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.contract.schema import Column
    from airflow_sklearn.contract.tables import OutputColumnSpec, OutputTable, Snapshot
    from airflow_sklearn.datasets.base import Attempt, ProvenRows, Source
    from airflow_sklearn.runs.prediction import UnresolvedPlan


class RedshiftDestination(Destination):
    """A table into which rows are published."""

    document: OutputTable

    @property
    def name(self) -> str:
        """See ``Destination.name``."""
        return self.document.name

    def partition(self, given: str, run_id: str) -> str:
        """See ``Destination.partition`` and ``publication_scope``."""
        return publication_scope(self.document, given, run_id)

    def check(self, attempt: Attempt, plan: UnresolvedPlan, source: Source) -> list[str]:
        """See ``Destination.check``. The columns are compared with the table's."""
        columns, faults = _output_columns(plan, source, {})
        key = tuple(column.name for column in plan.primary_key)
        return faults + destination_faults(connect(attempt, self.document.access), self.document, columns, key)

    def output_columns(
        self, plan: UnresolvedPlan, source: Source, snapshot: Snapshot | None
    ) -> tuple[OutputColumnSpec, ...]:
        """See ``Destination.output_columns``. A passthrough column keeps its Redshift type in a table that is
        created.
        """
        hints = {column.name: column.type for column in snapshot.columns} if snapshot else {}
        return _output_columns(plan, source, hints)[0]

    def publish(self, attempt: Attempt, rows: ProvenRows) -> Publication:
        """See ``Destination.publish`` and ``publish_table``."""
        load = TableLoad(
            table=self.document,
            columns=rows.columns,
            key=rows.key,
            files=rows.files,
            rows=rows.rows,
            key_hash=rows.key_hash,
            fingerprint=rows.fingerprint,
            run=rows.partition,
            published_by=attempt.tag,
            attempt=attempt.name,
            planned=rows.planned,
            replace_newer=rows.replace_newer,
        )
        done = publish_table(connect(attempt, self.document.access), attempt.storage, load)
        return Publication(done.rows, done.published, rows.proof_uri, done.warnings)

    def out_of_sample_faults(self, attempt: Attempt) -> list[str]:
        """See ``Destination.out_of_sample_faults``."""
        document = self.document
        if document.if_exists != "fail":
            return []
        plain = document.model_copy(update={"diststyle": None, "distkey": None, "sortkey": (), "column_types": {}})
        return destination_faults(connect(attempt, document.access), plain, (), ())

    def out_of_sample_partition(self, version: str, run: str) -> str:
        """See ``Destination.out_of_sample_partition``."""
        return publication_scope(self.document, "", run)

    def columns_of(self, columns: Sequence[Column]) -> tuple[OutputColumnSpec, ...]:
        """See ``Destination.columns_of``. Scores have portable types, each of which has a Redshift type."""
        found = [output_column(column.name, column.arrow_type) for column in columns]
        return tuple(column for column in found if column is not None)

    def rows_faults(self, attempt: Attempt, rows: ProvenRows) -> list[str]:
        """See ``Destination.rows_faults``."""
        return destination_faults(
            connect(attempt, self.document.access),
            self.document,
            rows.columns,
            rows.key,
            run=rows.partition,
            fingerprint=rows.fingerprint,
        )


def publication_scope(destination: OutputTable, given: str, run_id: str) -> str:
    """The name of a table's rows that a run owns. Two runs with the same name publish the same rows.

    :param destination: the table.
    :param given: the operator's ``partition``; may be empty.
    :param run_id: the id of the DAG run.
    """
    if given:
        return given
    if destination.partition:
        return ", ".join(f"{name}={value}" for name, value in sorted(destination.partition.items()))
    if destination.where:
        return f"where {inline(destination.where, destination.parameters)}"
    return run_id if destination.if_exists in ("append", "upsert") else ""


def _output_columns(
    plan: UnresolvedPlan, source: Source, hints: Mapping[str, str]
) -> tuple[tuple[OutputColumnSpec, ...], list[str]]:
    """The columns of the parts, and reasons why some cannot be loaded.

    :param hints: Redshift types of columns in the source's table.
    """
    faults, there = [], source.column_types(plan)
    wanted = {column.name: column.arrow_type for column in plan.primary_key if column.arrow_type}
    untyped = [column.name for column in plan.primary_key if not column.arrow_type]
    for name in (*untyped, *plan.passthrough):
        if name in there:
            wanted[name] = there[name]
        elif fault := source.untyped_fault(name):
            faults.append(fault)
    wanted |= {column.name: column.arrow_type for column in plan.outputs}
    columns = []
    for name, kind in wanted.items():
        column = output_column(name, kind, type=hints.get(name, ""))
        if column is None:
            faults.append(
                f"the column {name!r} is of type {kind}, which no column of Redshift can hold: leave it out of "
                "passthrough, or give it another type in the source"
            )
        else:
            columns.append(column)
    return tuple(columns), faults
