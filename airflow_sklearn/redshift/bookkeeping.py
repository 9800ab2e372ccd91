"""The table of publications: one row for each set of rows that was published into a schema and is still there.

A row is written in the transaction that writes the rows it tells of. That is what makes an append exactly-once, and
what tells a publication that slept that others have published since.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_sklearn.exceptions import RedshiftError
from airflow_sklearn.redshift.catalog import exists, statement
from airflow_sklearn.redshift.sql import qualified

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.redshift.database import Database, Statement

TABLE = "airflow_sklearn_publications"
#: The share of a publication that replaces the whole table. No run's share is spelled so.
WHOLE = "table"
_LONGEST_SHARE = 1000
_LONGEST_AUTHOR = 1000

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
}


@dataclass(frozen=True)
class Record:
    """One publication.

    :param number: publications into one destination are counted.
    :param partition: whose rows these are, see ``share``.
    :param publication: the id of the attempt that published.
    """

    number: int
    partition: str
    publication: str
    fingerprint: str
    mode: str
    rows: int
    published_at: str = ""
    published_by: str = ""

    def __str__(self) -> str:
        by = f" by {self.published_by}" if self.published_by else ""
        return f"{self.rows:,} rows at {self.published_at}{by} (fingerprint {self.fingerprint[:16]})"


@dataclass(frozen=True)
class History:
    """What was published into one destination, newest first: the newest of all, those of a share, those of the whole
    table."""

    records: tuple[Record, ...] = ()

    @property
    def last(self) -> int:
        """The number of the newest publication; 0 when there is none."""
        return self.records[0].number if self.records else 0

    def newest(self, *shares: str) -> Record | None:
        return next((record for record in self.records if record.partition in shares), None)


class Bookkeeping:
    """The rows of one destination and one share of it.

    :param schema: where the table of publications lies, beside the destination.
    :param destination: the destination's quoted name.
    :param share: see ``share``.
    """

    def __init__(self, database: Database, schema: str, destination: str, share: str) -> None:
        self._database, self._schema = database, schema
        self._table = qualified((schema, TABLE))
        self._values: dict[str, str | None] = {"publish_destination": destination, "publish_partition": share}

    def prepare(self) -> None:
        """Create the table when it is missing; somebody else may do so at the same moment.

        :raises RedshiftError: it is missing and cannot be created.
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
        return bool(self._database.run([exists(self._schema, TABLE)], step=step)[0].rows)

    def read(self, *, step: str) -> History:
        """:raises RedshiftError: the database's user may not read it."""
        fields = '"number", "partition", "publication", "fingerprint", "mode", "row_count"'
        sql = (
            f'SELECT {fields}, CAST("published_at" AS VARCHAR(19)), "published_by" FROM {self._table} '
            'WHERE "destination" = CAST(:publish_destination AS VARCHAR(600)) AND ('
            f'"partition" IN (CAST(:publish_partition AS VARCHAR(1024)), \'{WHOLE}\') OR "number" = ('
            f'SELECT MAX("number") FROM {self._table} '
            'WHERE "destination" = CAST(:publish_destination AS VARCHAR(600)))) ORDER BY "number" DESC'
        )
        rows = self._database.run([statement(sql, self._values)], step=step)[0].rows
        return History(
            tuple(
                Record(int(row[0]), row[1], row[2], row[3], row[4], int(row[5]), row[6] or "", row[7] or "")
                for row in rows
            )
        )

    def published_at(self, publication: str) -> Statement:
        """When a publication was made, by the database's clock."""
        sql = (
            f'SELECT CAST("published_at" AS VARCHAR(19)) FROM {self._table} '
            'WHERE "publication" = CAST(:publish_id AS VARCHAR(64))'
        )
        return statement(sql, {"publish_id": publication})

    def lock(self) -> Statement:
        """First in a transaction that publishes: publications into one schema come one after another."""
        return statement(f"LOCK TABLE {self._table}", {})

    def guard(self, seen: int, shares: Sequence[str] | None) -> Statement:
        """Fail, and the transaction with it, if something was published since.

        The cast is what fails, with the reason in Redshift's own message: nothing else in SQL stops a transaction
        that is not a stored procedure.

        :param seen: the number of the newest publication that does not count.
        :param shares: of the table, of which nothing may have been published; None: of all.
        """
        values, condition = {**self._values, "publish_seen": str(seen)}, ""
        if shares is not None:
            names = [f"publish_share_{place}" for place, _ in enumerate(shares)]
            values |= dict(zip(names, shares, strict=True))
            condition = f' AND "partition" IN ({", ".join(f"CAST(:{name} AS VARCHAR(1024))" for name in names)})'
        return statement(
            "SELECT CAST(CASE WHEN COUNT(*) = 0 THEN '0' ELSE 'published since by another' END AS INTEGER) "
            f'FROM {self._table} WHERE "destination" = CAST(:publish_destination AS VARCHAR(600)) '
            f'AND "number" > CAST(:publish_seen AS BIGINT){condition}',
            values,
        )

    def write(self, record: Record, gone: int) -> list[Statement]:
        """The row of a publication, in place of those whose rows it replaces.

        :param record: its number is given here.
        :param gone: publications up to this number are of rows that are not in the table any more.
        """
        values = {
            **self._values,
            "publish_id": record.publication,
            "publish_fingerprint": record.fingerprint,
            "publish_mode": record.mode,
            "publish_rows": str(record.rows),
            "publish_author": shortened(record.published_by, _LONGEST_AUTHOR),
            "publish_gone": str(gone),
        }
        names = ", ".join(f'"{name}"' for name in _COLUMNS)
        insert = (
            f"INSERT INTO {self._table} ({names}) SELECT CAST(:publish_destination AS VARCHAR(600)), "
            'COALESCE(MAX("number"), 0) + 1, CAST(:publish_partition AS VARCHAR(1024)), '
            "CAST(:publish_id AS VARCHAR(64)), CAST(:publish_fingerprint AS VARCHAR(64)), "
            "CAST(:publish_mode AS VARCHAR(16)), CAST(:publish_rows AS BIGINT), GETDATE(), "
            f"CAST(:publish_author AS VARCHAR(1024)) FROM {self._table} "
            'WHERE "destination" = CAST(:publish_destination AS VARCHAR(600))'
        )
        of_destination = 'WHERE "destination" = CAST(:publish_destination AS VARCHAR(600))'
        delete = (
            f'DELETE FROM {self._table} {of_destination} AND "number" < ('
            f'SELECT MAX("number") FROM {self._table} {of_destination}) AND ('
            '"number" <= CAST(:publish_gone AS BIGINT) OR "partition" = CAST(:publish_partition AS VARCHAR(1024)))'
        )
        return [statement(insert, values), statement(delete, values)]


def share(kind: str, text: str) -> str:
    """What part of a destination a publication is of, as the bookkeeping holds it.

    :param kind: ``run``, ``partition`` or ``where``.
    :param text: which one.
    """
    return shortened(f"{kind}: {text}", _LONGEST_SHARE)


def shortened(text: str, longest: int) -> str:
    """Text of at most so many bytes: one that is longer ends in its digest, so that two stay two."""
    data = text.encode()
    if len(data) <= longest:
        return text
    digest = hashlib.sha256(data).hexdigest()
    return f"{data[: longest - len(digest) - 4].decode(errors='ignore')}... {digest}"
