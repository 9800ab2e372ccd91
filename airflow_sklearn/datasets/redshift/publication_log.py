"""The table of publications: one row for each set of rows that was published into a schema and still exists.

A row is written in the same transaction as the rows that it describes. This makes an append exactly-once, and tells a
publication that was paused that others have published since.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.document import content_id
from airflow_sklearn.contract.faults import counted
from airflow_sklearn.datasets.redshift.catalog import exists, statement
from airflow_sklearn.datasets.redshift.sql import qualified
from airflow_sklearn.exceptions import RedshiftError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.contract.planned import Planned
    from airflow_sklearn.datasets.redshift.database import Database, Statement

TABLE = "airflow_sklearn_publications"
#: The scope of a publication that replaces the whole table. No run's scope has this text.
WHOLE = "table"
_LONGEST_SCOPE = 1000
_LONGEST_AUTHOR = 1000
#: How the author's text ends: when the run was planned, and digests of the task and of the DAG run. Version 0.1.0 wrote
#: no such end, and reads over it. A column would have to be added by the table's owner.
_PLANNED = re.compile(r"; planned at (\S+) by ([0-9a-f]{16}|-)/([0-9a-f]{16}|-)\Z")
_SCOPE = "CAST(:publish_partition AS VARCHAR(1024))"
_OF_DESTINATION = 'WHERE "destination" = CAST(:publish_destination AS VARCHAR(600))'

_COLUMNS = {
    "destination": "VARCHAR(600) NOT NULL",
    "number": "BIGINT NOT NULL",
    "partition": "VARCHAR(1024) NOT NULL",
    "publication": "VARCHAR(64) NOT NULL",
    "fingerprint": "VARCHAR(64) NOT NULL",
    "mode": "VARCHAR(16) NOT NULL",
    "row_count": "BIGINT NOT NULL",
    "published_at": "TIMESTAMP",
    "published_by": "VARCHAR(1024)",
    "table_id": "BIGINT",
}


@dataclass(frozen=True)
class Record:
    """One publication.

    :param number: counts the publications into one destination.
    :param partition: the rows that the publication owns, see ``scope``.
    :param publication: the id of the attempt that published.
    :param table: the database's number of the table, which another table of the same name does not have. 0: unknown.
    :param planned_at: when the run was planned, see ``Planned.at``; empty: unknown.
    :param task: see ``task_of``.
    :param run: see ``run_of``.
    """

    number: int
    partition: str
    publication: str
    fingerprint: str
    mode: str
    rows: int
    published_at: str = ""
    published_by: str = ""
    table: int = 0
    planned_at: str = ""
    task: str = ""
    run: str = ""

    def __str__(self) -> str:
        by = f" by {self.published_by}" if self.published_by else ""
        planned = f"planned at {self.planned_at}, " if self.planned_at else ""
        return f"{counted(self.rows, 'row')} at {self.published_at}{by} ({planned}fingerprint {self.fingerprint[:16]})"

    def by(self, author: str, planned: Planned) -> Record:
        """The same rows, published by another run."""
        return replace(self, published_by=author, planned_at=planned.at, task=task_of(planned), run=run_of(planned))

    @property
    def author(self) -> str:
        """The text that the table of publications holds about who published."""
        end = f"; planned at {self.planned_at} by {self.task or '-'}/{self.run or '-'}" if self.planned_at else ""
        return shortened(self.published_by, _LONGEST_AUTHOR - len(end)) + end


@dataclass(frozen=True)
class History:
    """Publications into one destination, newest first.

    These are the newest one, those of one scope with all that came later, and those of the whole table. If the scope is
    the whole table, these are all.
    """

    records: tuple[Record, ...] = ()

    @property
    def last(self) -> int:
        """The number of the newest publication; 0 if there is none."""
        return self.records[0].number if self.records else 0

    def newest(self, *scopes: str) -> Record | None:
        """The newest publication of any of these scopes; None if there is none."""
        return next((record for record in self.records if record.partition in scopes), None)

    def replaced_by(self, own: Record) -> Record | None:
        """The newest later publication that may have replaced rows of this one; None if there is none."""
        since = (record for record in self.records if record.number > own.number)
        return next((record for record in since if not _leaves_alone(record, own)), None)


class PublicationLog:
    """The rows of the table of publications for one destination and one scope of it.

    :param schema: the schema of the table of publications, which is the destination's.
    :param destination: the destination's quoted name.
    :param scope: see ``scope``.
    """

    def __init__(self, database: Database, schema: str, destination: str, scope: str) -> None:
        self._database, self._schema = database, schema
        self._table = qualified((schema, TABLE))
        self._values: dict[str, str | None] = {"publish_destination": destination, "publish_partition": scope}

    def prepare(self) -> None:
        """Create the table of publications if it does not exist. Another process may do so at the same moment.

        :raises RedshiftError: it does not exist and cannot be created.
        """
        if self.is_there(step="publish: find the bookkeeping"):
            return
        columns = ", ".join(f'"{name}" {kind}' for name, kind in _COLUMNS.items())
        create = statement(f"CREATE TABLE IF NOT EXISTS {self._table} ({columns})", {})
        try:
            self._database.run([create], step="publish: create the bookkeeping")
        except RedshiftError:
            if not self.is_there(step="publish: find the bookkeeping again"):
                raise

    def is_there(self, *, step: str) -> bool:
        """Whether the table of publications exists.

        :param step: see ``Database.run``.
        """
        return bool(self._database.run([exists(self._schema, TABLE)], step=step)[0].rows)

    def read(self, *, step: str) -> History:
        """The publications into the destination.

        :param step: see ``Database.run``.
        :raises RedshiftError: the database's user may not read the table of publications.
        """
        fields = '"number", "partition", "publication", "fingerprint", "mode", "row_count"'
        newest = f'SELECT MAX("number") FROM {self._table} {_OF_DESTINATION}'
        sql = (
            f'SELECT {fields}, CAST("published_at" AS VARCHAR(19)), "published_by", "table_id" FROM {self._table} '
            f"{_OF_DESTINATION} AND ({_SCOPE} = '{WHOLE}' OR \"partition\" IN ({_SCOPE}, '{WHOLE}') "
            f'OR "number" >= COALESCE(({newest} AND "partition" = {_SCOPE}), ({newest}))) ORDER BY "number" DESC'
        )
        rows = self._database.run([statement(sql, self._values)], step=step)[0].rows
        return History(tuple(_record(row) for row in rows))

    def published_at(self, publication: str) -> Statement:
        """A statement for the time of a publication, by the database's clock."""
        sql = (
            f'SELECT CAST("published_at" AS VARCHAR(19)) FROM {self._table} '
            'WHERE "publication" = CAST(:publish_id AS VARCHAR(64))'
        )
        return statement(sql, {"publish_id": publication})

    def lock(self) -> Statement:
        """The first statement of a transaction that publishes: publications into one schema run one after another."""
        return statement(f"LOCK TABLE {self._table}", {})

    def guard(self, seen: int, scopes: Sequence[str] | None) -> Statement:
        """A statement that fails, and its transaction with it, if there was a publication after ``seen``.

        A cast fails, and Redshift's message then contains the reason. In SQL outside of stored procedures nothing else
        can stop a transaction.

        :param seen: the number of the newest publication that is accepted.
        :param scopes: the scopes of the table for which there must be no later publication; None: all.
        """
        values, condition = {**self._values, "publish_seen": str(seen)}, ""
        if scopes is not None:
            names = [f"publish_share_{place}" for place, _ in enumerate(scopes)]
            values |= dict(zip(names, scopes, strict=True))
            condition = f' AND "partition" IN ({", ".join(f"CAST(:{name} AS VARCHAR(1024))" for name in names)})'
        return statement(
            "SELECT CAST(CASE WHEN COUNT(*) = 0 THEN '0' ELSE 'published since by another' END AS INTEGER) "
            f'FROM {self._table} {_OF_DESTINATION} AND "number" > CAST(:publish_seen AS BIGINT){condition}',
            values,
        )

    def write(self, record: Record, gone: int) -> list[Statement]:
        """Statements that write a publication's row in place of those whose rows it replaces.

        :param record: the publication; its number is set by the statement.
        :param gone: the rows of publications up to this number are no longer in the table.
        """
        values = {
            **self._values,
            "publish_id": record.publication,
            "publish_fingerprint": record.fingerprint,
            "publish_mode": record.mode,
            "publish_rows": str(record.rows),
            "publish_author": record.author,
            "publish_gone": str(gone),
            "publish_table_id": str(record.table) if record.table else None,
        }
        names = ", ".join(f'"{name}"' for name in _COLUMNS)
        insert = (
            f"INSERT INTO {self._table} ({names}) SELECT CAST(:publish_destination AS VARCHAR(600)), "
            f'COALESCE(MAX("number"), 0) + 1, {_SCOPE}, '
            "CAST(:publish_id AS VARCHAR(64)), CAST(:publish_fingerprint AS VARCHAR(64)), "
            "CAST(:publish_mode AS VARCHAR(16)), CAST(:publish_rows AS BIGINT), GETDATE(), "
            f"CAST(:publish_author AS VARCHAR(1024)), CAST(:publish_table_id AS BIGINT) FROM {self._table} "
            f"{_OF_DESTINATION}"
        )
        delete = (
            f'DELETE FROM {self._table} {_OF_DESTINATION} AND "number" < ('
            f'SELECT MAX("number") FROM {self._table} {_OF_DESTINATION}) AND ('
            f'"number" <= CAST(:publish_gone AS BIGINT) OR "partition" = {_SCOPE})'
        )
        return [statement(insert, values), statement(delete, values)]

    def note_table(self, publication: str, table: int) -> list[Statement]:
        """Statements that store the number of a table that was created with its rows. It is known only afterwards."""
        sql = (
            f'UPDATE {self._table} SET "table_id" = CAST(:publish_table_id AS BIGINT) '
            'WHERE "publication" = CAST(:publish_id AS VARCHAR(64))'
        )
        return [self.lock(), statement(sql, {"publish_id": publication, "publish_table_id": str(table)})]

    def note_author(self, record: Record) -> list[Statement]:
        """Statements that make a newer run the author of rows that an older run has published."""
        sql = (
            f'UPDATE {self._table} SET "published_by" = CAST(:publish_author AS VARCHAR(1024)) '
            'WHERE "publication" = CAST(:publish_id AS VARCHAR(64))'
        )
        return [
            self.lock(),
            statement(sql, {"publish_id": record.publication, "publish_author": record.author}),
        ]


def task_of(planned: Planned) -> str:
    """A digest of the task that planned a run; empty outside of Airflow."""
    return content_id([planned.dag_id, planned.task_id, planned.map_index]) if planned.task_id else ""


def run_of(planned: Planned) -> str:
    """A digest of the DAG run in which a run was planned; empty outside of Airflow."""
    return content_id([planned.dag_id, planned.run_id]) if planned.task_id else ""


def partition_scope(values: Mapping[str, str | None]) -> str:
    """The scope of a partition, with each value in the one spelling of its column."""
    return scope("partition", json.dumps(dict(values), ensure_ascii=False, sort_keys=True))


def _record(row: Sequence[Any]) -> Record:
    number, partition, publication, fingerprint, mode, rows, at, by, table = row
    by = by or ""
    found = _PLANNED.search(by)
    planned = [text.strip("-") for text in found.groups()] if found else []
    by = by[: found.start()] if found else by
    return Record(
        int(number), partition, publication, fingerprint, mode, int(rows), at or "", by, int(table or 0), *planned
    )


def _leaves_alone(newer: Record, older: Record) -> bool:
    """Whether a publication certainly has not replaced rows of an older one, or was meant to have the last word."""
    if newer.mode in ("append", "fail"):
        return True
    if newer.mode == older.mode == "upsert":
        return True  # an upsert: the rows that it has changed are newer
    others, values = _partition_values(newer.partition), _partition_values(older.partition)
    return any(others[name] != values[name] for name in others.keys() & values.keys())


def _partition_values(scope: str) -> dict[str, str | None]:
    """The values of a partition's scope. None for other scopes, and for one that was shortened."""
    kind, _, text = scope.partition(": ")
    try:
        return dict(json.loads(text)) if kind == "partition" else {}
    except ValueError:
        return {}


def scope(kind: str, text: str) -> str:
    """The text by which the table of publications identifies a part of a destination.

    :param kind: ``run``, ``partition`` or ``where``.
    :param text: identifies the part.
    """
    return shortened(f"{kind}: {text}", _LONGEST_SCOPE)


def shortened(text: str, longest: int) -> str:
    """A text of at most so many bytes. A longer text ends in its digest, so that different texts stay different."""
    data = text.encode()
    if len(data) <= longest:
        return text
    digest = hashlib.sha256(data).hexdigest()
    return f"{data[: longest - len(digest) - 4].decode(errors='ignore')}... {digest}"
