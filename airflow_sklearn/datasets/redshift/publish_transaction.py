"""The transaction that publishes staged rows into the target: all of them, or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_sklearn.datasets.redshift.catalog import exists, statement
from airflow_sklearn.datasets.redshift.database import Statement
from airflow_sklearn.datasets.redshift.grants import grant_statements, owner_statements
from airflow_sklearn.datasets.redshift.publication_log import WHOLE
from airflow_sklearn.datasets.redshift.sql import identifier, qualified

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.datasets.redshift.grants import Grant
    from airflow_sklearn.datasets.redshift.load import Staging
    from airflow_sklearn.datasets.redshift.publication_log import History, PublicationLog, Record
    from airflow_sklearn.datasets.redshift.target_table import TargetTable


#: A text in the database's message if the transaction failed because the target's rows are not the published ones.
ANOTHER_COUNT = "another number of rows"


@dataclass(frozen=True)
class Rivals:
    """Publications that this one must not undo or repeat: those of ``scopes`` with a number above ``seen``.

    :param scopes: parts of the table; None: the whole table.
    """

    seen: int
    scopes: tuple[str, ...] | None

    def newest(self, history: History) -> Record | None:
        """The newest rival in a history; None if there is none."""
        records = (r for r in history.records if self.scopes is None or r.partition in self.scopes)
        newest = next(records, None)
        return newest if newest and newest.number > self.seen else None


def rivals(destination: TargetTable, history: History, scope: str) -> Rivals:
    """The publications that forbid this one.

    :param history: the history, read before anything was staged.
    """
    if destination.output.if_exists in ("append", "fail"):
        # If a table is gone, the rows that were appended to it are gone too.
        return Rivals(0 if destination.target.exists else history.last, (scope,))
    return Rivals(history.last, None if destination.replaces_all else (scope, WHOLE))


def publish_transaction(
    destination: TargetTable,
    staging: Staging,
    books: PublicationLog,
    record: Record,
    history: History,
    grants: Sequence[Grant],
) -> list[Statement]:
    """The statements of the transaction.

    The answers of the last three are the table's number, the time, and the number of rows that the table, or its
    replaced part, has now.

    :param record: the row of this publication.
    :param grants: the grants of a table that is made again.
    """
    rival = rivals(destination, history, record.partition)
    gone = history.last if destination.replaces_all or not destination.target.exists else 0
    count = counted(destination, destination.target.parts)
    return [
        books.lock(),
        books.guard(rival.seen, rival.scopes),
        *_write(destination, staging, record.rows, grants),
        *books.write(record, gone),
        exists(destination.target.schema, destination.target.table),
        books.published_at(record.publication),
        count,
    ]


def counted(destination: TargetTable, table: Sequence[str]) -> Statement:
    """A statement that counts the rows of a table, or of its replaced part."""
    where = f" WHERE {destination.replaced}" if destination.replaced else ""
    return statement(f"SELECT COUNT(*) FROM {qualified(table)}{where}", destination.values)


def _write(destination: TargetTable, staging: Staging, rows: int, grants: Sequence[Grant]) -> list[Statement]:
    mode, target = destination.output.if_exists, destination.target
    parts = target.parts
    if destination.is_made_anew():
        return _make_anew(destination, staging, rows, grants)
    statements = []
    if not target.exists:
        # IF NOT EXISTS, because another run may create it at the same moment; with "fail" it must not exist.
        statements.append(Statement(destination.create(parts, if_not_exists=mode != "fail")))
    if mode in ("replace", "truncate"):  # not TRUNCATE, which commits the transaction
        where = f" WHERE {destination.replaced}" if destination.replaced else ""
        statements.append(statement(f"DELETE FROM {qualified(parts)}{where}", destination.values))
    elif mode == "upsert":
        statements.append(_delete_by_key(destination, staging))
    statements.append(_insert(destination, staging, parts))
    if mode in ("replace", "truncate"):
        statements.append(_check_count(destination, parts, rows))
    return statements


def _make_anew(destination: TargetTable, staging: Staging, rows: int, grants: Sequence[Grant]) -> list[Statement]:
    """Statements that replace a table whose columns do not fit by a new one of the same name."""
    target = destination.target
    new = (target.schema, f"{staging.table}_new")
    return [
        Statement(f"DROP TABLE IF EXISTS {qualified(new)}"),
        Statement(destination.create(new)),
        _insert(destination, staging, new, created=True),
        _check_count(destination, new, rows),
        *grant_statements(grants, new, owner=target.owner),
        *owner_statements(new, owner=target.owner, user=target.user),
        Statement(f"DROP TABLE {qualified(target.parts)}"),
        Statement(f"ALTER TABLE {qualified(new)} RENAME TO {identifier(target.table)}"),
    ]


def _insert(destination: TargetTable, staging: Staging, table: Sequence[str], *, created: bool = False) -> Statement:
    """The INSERT statement. It names the columns, so that a table with additional columns accepts the rows."""
    rows = destination.rows(created=created)
    sql = f"INSERT INTO {qualified(table)} ({', '.join(rows)}) SELECT {', '.join(rows.values())} FROM {staging.name}"
    return statement(sql, destination.values)


def _delete_by_key(destination: TargetTable, staging: Staging) -> Statement:
    target = destination.target
    # Names with their tables': in DELETE the columns of both are in reach.
    rows = destination.rows(prefix=f"{identifier(staging.table)}.")
    same = [f"{identifier(target.table)}.{name} = {rows[name]}" for name in map(identifier, destination.key)]
    return Statement(f"DELETE FROM {qualified(target.parts)} USING {staging.name} WHERE {' AND '.join(same)}")


def _check_count(destination: TargetTable, table: Sequence[str], rows: int) -> Statement:
    """A statement that fails, and its transaction with it, unless the table has exactly the published rows."""
    where = f" WHERE {destination.replaced}" if destination.replaced else ""
    sql = (
        f"SELECT CAST(CASE WHEN COUNT(*) = CAST(:publish_rows AS BIGINT) THEN '0' "
        f"ELSE '{ANOTHER_COUNT}' END AS INTEGER) FROM {qualified(table)}{where}"
    )
    return statement(sql, {**destination.values, "publish_rows": str(rows)})
