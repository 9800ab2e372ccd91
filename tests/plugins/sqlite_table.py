"""A kind of table from outside of the package: tables of a SQLite database as sources and destinations."""

from __future__ import annotations

import csv
import io
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_sklearn.contract.data import SourceFiles
from airflow_sklearn.contract.tables import OutputStore, Snapshot, TableColumn
from airflow_sklearn.datasets.base import Attempt, Destination, ProvenRows, Publication, Resolved, Source, WantedColumns
from airflow_sklearn.datasets.registry import register_kind
from airflow_sklearn.datasets.snapshots import (
    delete_snapshot,
    find_snapshot,
    remove_others,
    rows_folder,
    snapshot_folder,
    store_snapshot,
)
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.storage.uris import absolute_uri

if TYPE_CHECKING:
    from airflow_sklearn.contract.plan import Plan
    from airflow_sklearn.runs.prediction import UnresolvedPlan

register_kind("sqlite", destination="tests.plugins.sqlite_table:SqliteDestination")


@dataclass
class SqliteTable:
    """What a user writes in a DAG. ``staging`` is a folder for exported rows and ledgers."""

    template_fields: ClassVar[tuple[str, ...]] = ("database", "table", "staging")

    database: str
    table: str
    staging: str

    def to_source(self) -> SqliteSource:
        return SqliteSource(self)

    def to_output(self) -> OutputStore:
        return OutputStore(
            kind="sqlite",
            uri=f"x-sqlite://main/{self.table}",
            ledger_root=f"{absolute_uri(self.staging)}/tables/{self.table}",
            options={"database": self.database, "table": self.table},
        )


class SqliteSource(Source):
    """Rows that are exported into one CSV file."""

    def __init__(self, table: SqliteTable) -> None:
        self._table = table

    def column_types(self, plan: UnresolvedPlan) -> dict[str, str]:
        return {}

    def check(self, attempt: Attempt, plan: UnresolvedPlan) -> list[str]:
        there = [name for name, _ in self._columns()]
        schema = plan.manifest.feature_schema
        needed = [*schema.feature_names, *(column.name for column in schema.primary_key), *plan.passthrough]
        return [f"the table {self._table.table} has no column {name!r}" for name in needed if name not in there]

    def resolve(self, attempt: Attempt, columns: WantedColumns, *, file_size: int | None = None) -> Resolved:
        described = dict(self._columns())
        if columns.with_others and (faults := columns.faults(list(described))):
            raise UserError("\n".join(faults))
        names, folder = columns.chosen(list(described)), self._folder(attempt)
        query = f"SELECT {', '.join(map(_quoted, names))} FROM {_quoted(self._table.table)}"
        if (found := find_snapshot(attempt.storage, folder)) is not None and found.query == query:
            return Resolved(found.files, found)
        remove_others(attempt.storage, folder)
        rows = self._run(query)
        file = io.StringIO()
        csv.writer(file).writerows([names, *rows])
        uri = f"{rows_folder(folder, str(attempt.identity.try_number), query)}rows.csv"
        attempt.storage.write(uri, file.getvalue().encode())
        snapshot = Snapshot(
            query=query,
            manifest_uri=uri,
            files=SourceFiles(uris=(uri,), file_format="csv"),
            rows=len(rows),
            columns=tuple(TableColumn(name=name, type=described[name]) for name in names),
            folder=folder,
        )
        store_snapshot(attempt.storage, snapshot)
        return Resolved(snapshot.files, snapshot)

    def discard(self, attempt: Attempt, snapshot: Snapshot | None, *, served: str) -> None:
        delete_snapshot(attempt.storage, snapshot, folder=self._folder(attempt), served=served)

    def emptiness(self, plan: Plan) -> str:
        return "" if plan.snapshot and plan.snapshot.rows else f"The table {self._table.table} is empty."

    def _folder(self, attempt: Attempt) -> str:
        return snapshot_folder(absolute_uri(self._table.staging), attempt.identity, attempt.clears)

    def _columns(self) -> list[Any]:
        return self._run(f"SELECT name, type FROM pragma_table_info({_quoted(self._table.table)})")

    def _run(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self._table.database)) as connection:
            return connection.execute(sql).fetchall()


class SqliteDestination(Destination):
    """A table whose rows each name their partition. A row of ``publications`` is written in the same transaction."""

    document: OutputStore

    def partition(self, given: str, run_id: str) -> str:
        return given or run_id

    def publish(self, attempt: Attempt, rows: ProvenRows) -> Publication:
        import pyarrow as pa
        import pyarrow.parquet as pq

        parts = [pq.read_table(io.BytesIO(attempt.storage.read(part.uri))) for part in rows.files]
        data = pa.concat_tables(parts).append_column("partition", pa.array([rows.partition] * rows.rows))
        options = self.document.options
        table, mine = _quoted(str(options["table"])), (self.document.uri, rows.partition, rows.fingerprint)
        with closing(sqlite3.connect(str(options["database"]))) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS publications (uri, partition, fingerprint, proof_uri)")
            same = "FROM publications WHERE uri = ? AND partition = ?"
            found = connection.execute(f"SELECT proof_uri {same} AND fingerprint = ?", mine).fetchone()
            if found:
                return Publication(rows.rows, False, found[0])
            names = ", ".join(map(_quoted, data.column_names))
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({names})")
            connection.execute(f"DELETE FROM {table} WHERE partition = ?", (rows.partition,))
            marks = ", ".join("?" * data.num_columns)
            values = zip(*(column.to_pylist() for column in data.columns), strict=True)
            connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)
            connection.execute(f"DELETE {same}", mine[:2])
            connection.execute("INSERT INTO publications VALUES (?, ?, ?, ?)", (*mine, rows.proof_uri))
        return Publication(rows.rows, True, rows.proof_uri)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
