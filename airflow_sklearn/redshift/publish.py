"""Publish files of rows into a table, exactly once.

::

    look         at the target, and at what was published into it before
    stage        one COPY from a manifest of ours into a staging table; counts and keys are compared with the receipts
    swap         one transaction: the target's rows and the bookkeeping's row

Whatever dies on the way, the target holds the rows of before or the new ones, and a second attempt finds out which.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_sklearn.contract.document import content_id
from airflow_sklearn.exceptions import PublishError, RedshiftError, SerializationConflictError, UserError
from airflow_sklearn.redshift import bookkeeping, catalog
from airflow_sklearn.redshift.bookkeeping import WHOLE, Bookkeeping, History, Record
from airflow_sklearn.redshift.destination import Destination
from airflow_sklearn.redshift.grants import read_grants
from airflow_sklearn.redshift.load import Staging
from airflow_sklearn.redshift.sql import identifier, qualified
from airflow_sklearn.redshift.swap import counted, rivals, swap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.receipt import KeyHash, OutputPart
    from airflow_sklearn.contract.tables import OutputColumnSpec, OutputTable
    from airflow_sklearn.redshift.database import Database
    from airflow_sklearn.storage import Storage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TableLoad:
    """What is published.

    :param table: into which table, and how.
    :param columns: of the files, in order.
    :param key: of them, those that identify a row; may be empty.
    :param files: Parquet in S3; none for no rows.
    :param rows: in all files.
    :param key_hash: of all rows' keys.
    :param fingerprint: of the run's content.
    :param run: whose rows these are, see ``planning.whose_rows``. Rows of a run are appended once.
    :param attempt: this attempt's own name: another one for each attempt at the same publication.
    :param published_by: DAG, task and run, for people.
    """

    table: OutputTable
    columns: tuple[OutputColumnSpec, ...]
    key: tuple[str, ...]
    files: tuple[OutputPart, ...]
    rows: int
    key_hash: KeyHash
    fingerprint: str
    run: str
    attempt: str
    published_by: str = ""


@dataclass(frozen=True)
class Published:
    """What is in the table now.

    :param rows: that the publication holds.
    :param published: False: these very rows had been published before, and nothing was changed.
    :param table_rows: read back: of the partition, or of the condition, that was replaced; else of the table.
    :param published_at: by the database's clock, UTC by default.
    :param warnings: for people.
    """

    rows: int
    published: bool
    table_rows: int
    table: str
    published_at: str = ""
    warnings: tuple[str, ...] = ()


def destination_faults(
    database: Database,
    table: OutputTable,
    columns: Sequence[OutputColumnSpec],
    key: Sequence[str],
    *,
    run: str = "",
    fingerprint: str = "",
) -> list[str]:
    """Why rows could not be published into a table, all reasons. Nothing is changed.

    :param columns: of the rows.
    :param key: of them, those that identify a row.
    :param run: whose rows these are, and ``fingerprint`` of what content, where that is known: with
        ``if_exists='fail'`` the table may hold these very rows.
    """
    destination = Destination(table, catalog.read_target(database, table.table, step="plan: destination"), columns, key)
    faults = destination.request_faults()
    if table.if_exists != "fail":
        faults += destination.table_faults()
    elif destination.target.exists and not _is_own(database, destination, run, fingerprint):
        faults.append(_exists_already(destination))
    return faults


def publish_table(database: Database, storage: Storage, load: TableLoad) -> Published:
    """Make proven rows the content of a table, or of the part of it that they are of.

    :raises PublishError: the table does not take the rows, holds others than the receipts say after loading, or was
        published into by somebody else at the same time. Nothing was changed.
    :raises LoadError: COPY cannot load the files. Nothing was changed.
    :raises RedshiftError: Redshift refuses something else.
    """
    return _Publication(database, storage, load).run()


class _Publication:
    """One attempt."""

    def __init__(self, database: Database, storage: Storage, load: TableLoad) -> None:
        self._database, self._storage, self._load = database, storage, load
        self._destination = self._look("publish: look")

    def run(self) -> Published:
        load = self._load
        if faults := self._destination.request_faults():
            raise self._refused(faults)
        share, parts = self._destination.share(load.run), self._destination.target.parts
        books = Bookkeeping(self._database, parts[0], qualified(parts), share)
        history = self._history(books)
        if not self._destination.target.exists:
            # Looked at after the bookkeeping was read, so that whatever it tells of was in a table that is gone.
            self._destination = self._look("publish: look again")
        staging = Staging(
            self._database,
            self._storage,
            self._destination,
            publication=f"{share} {load.table.if_exists} {load.fingerprint}",
            attempt=load.attempt,
        )
        staging.drop_leftovers()
        if (before := self._published_before(history, share)) is not None:
            return before
        if faults := self._destination.table_faults():
            raise self._refused(faults)
        warnings = self._stage(staging)
        return self._swap(staging, books, history, share, warnings)

    def _look(self, step: str) -> Destination:
        load = self._load
        target = catalog.read_target(self._database, load.table.table, step=step)
        return Destination(load.table, target, load.columns, load.key)

    def _stage(self, staging: Staging) -> tuple[str, ...]:
        """Load and check; returns what is worth a warning."""
        staging.create()
        try:
            staging.copy(self._load.files)
            findings = staging.check(self._load.rows, self._load.key_hash)
        except RedshiftError:
            staging.drop()
            raise
        if findings.faults:
            staging.drop()
            raise self._refused(findings.faults)
        for warning in findings.warnings:
            log.warning("%s: %s", self._destination.name, warning)
        return findings.warnings

    def _swap(
        self, staging: Staging, books: Bookkeeping, history: History, share: str, warnings: tuple[str, ...]
    ) -> Published:
        load, destination = self._load, self._destination
        record = Record(
            number=0,
            partition=share,
            publication=content_id([destination.name, share, load.fingerprint, load.attempt], 64),
            fingerprint=load.fingerprint,
            mode=load.table.if_exists,
            rows=load.rows,
            published_by=load.published_by,
        )
        grants = []
        try:
            if destination.is_made_anew():
                log.info("%s is made anew: %s", destination.name, "; ".join(destination.unfit()))
                grants = read_grants(self._database, destination.target, step="publish: read grants")
            statements = swap(destination, staging, books, record, history, grants)
        except (RedshiftError, UserError) as error:
            staging.drop()
            raise self._refused([str(error)]) from error
        try:
            answers = self._database.run(statements, step="publish: swap")
        except RedshiftError as error:
            return self._after(error, staging, books, history, record)
        staging.drop()
        log.info("Published %s rows into %s.", f"{load.rows:,}", destination.name)
        at, table_rows = (answer.rows[0][0] for answer in answers[-2:])
        return Published(load.rows, True, int(table_rows), destination.name, str(at), warnings)

    def _after(
        self, error: RedshiftError, staging: Staging, books: Bookkeeping, history: History, record: Record
    ) -> Published:
        """The swap failed, or seems to have: the bookkeeping knows.

        :raises PublishError: somebody else published; or the swap failed for another reason.
        """
        try:
            now = books.read(step="publish: read the bookkeeping again")
        except RedshiftError:
            raise error from None  # the next attempt finds out
        new = (found for found in now.records if found.number > history.last)
        done = next((found for found in new if found.publication == record.publication), None)
        rival = rivals(self._destination, history, record.partition).newest(now)
        if done is not None:
            log.info("The transaction was committed all the same.")
        elif rival is not None and (rival.partition, rival.fingerprint) == (record.partition, record.fingerprint):
            log.info("Another attempt at this publication was quicker.")
        else:
            cause = self._cause(error, rival, staging)
            staging.drop()
            raise cause from error
        staging.drop()
        return self._result(done or rival or record, published=done is not None, step="publish: count again")

    def _cause(self, error: RedshiftError, rival: Record | None, staging: Staging) -> Exception:
        """What to tell of a swap that failed and changed nothing."""
        before, output = self._destination, self._load.table
        if rival is not None and output.if_exists == "append":
            return self._doubled(rival)
        if rival is not None:
            return PublishError(
                f"While this publication into {before.name} was under way, another run published there: {rival}. "
                "Nothing was changed: its rows stay. If this run's rows are to replace them, run the task again."
            )
        if isinstance(error, SerializationConflictError):
            return error
        now = self._look("publish: look for the cause")
        faults = now.table_faults()
        if output.if_exists == "fail" and now.target.exists:
            faults = [_exists_already(now)]
        elif before.target.exists and not now.target.exists:
            faults = [f"{now.name} was dropped by somebody else in the meantime: run the task again"]
        elif not staging.is_there():
            faults = [f"{staging.name} was dropped: another attempt at this publication has taken over"]
        return self._refused([*faults, str(error)])

    def _history(self, books: Bookkeeping) -> History:
        schema = self._destination.target.schema
        try:
            books.prepare()
            return books.read(step="publish: read the bookkeeping")
        except RedshiftError as error:
            table = qualified((schema, bookkeeping.TABLE))
            raise PublishError(
                f"The table {table}, in which publications into this schema are kept, cannot be created or read. If "
                f"another user made it: GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO this one. {error}"
            ) from error

    def _published_before(self, history: History, share: str) -> Published | None:
        """These very rows, if they are in the table already.

        :raises PublishError: others of the same run are, or these were and have gone since.
        """
        destination, load = self._destination, self._load
        mode, exists = load.table.if_exists, destination.target.exists
        own = history.newest(share) if exists else None
        if mode in ("append", "fail", "upsert"):
            if own is not None and own.fingerprint == load.fingerprint:
                found = self._result(own, published=False, step="publish: count")
                if found.table_rows < own.rows:
                    raise PublishError(
                        f"{destination.name} holds {found.table_rows:,} rows, fewer than this run has published "
                        f"({own}): somebody deleted some. To publish them again, delete the run's row: DELETE FROM "
                        f'{qualified((destination.target.schema, bookkeeping.TABLE))} WHERE "publication" = '
                        f"'{own.publication}'"
                    )
                return found
            if own is not None and mode == "append":
                raise self._doubled(own)
            if exists and mode == "fail":
                raise PublishError(_exists_already(destination))
            return None
        newest = (history.records or (None,))[0] if destination.replaces_all else history.newest(share, WHOLE)
        if own is None or newest != own or own.fingerprint != load.fingerprint:
            return None
        if destination.replaced and any(name not in destination.types for name in load.table.partition):
            return None
        found = self._result(own, published=False, step="publish: count")
        return found if found.table_rows == own.rows else None  # somebody else changed them: publish again

    def _result(self, record: Record, *, published: bool, step: str) -> Published:
        count = counted(self._destination, self._destination.target.parts)
        table_rows = int(self._database.run([count], step=step)[0].rows[0][0])
        return Published(record.rows, published, table_rows, self._destination.name, record.published_at)

    def _doubled(self, before: Record) -> PublishError:
        destination = self._destination
        return PublishError(
            f"Other rows of this run ({self._load.run!r}) were published into {destination.name} before: {before}. Its "
            f"source, its model or its settings have changed since. Appending again would double its rows, so nothing "
            "was changed. Delete those rows, and then the run's row: DELETE FROM "
            f'{qualified((destination.target.schema, bookkeeping.TABLE))} WHERE "publication" = '
            f"'{before.publication}'. Or let runs replace their own rows: if_exists='replace' with partition={{...}}, "
            "or if_exists='upsert'."
        )

    def _refused(self, faults: Sequence[str]) -> PublishError:
        listed = "\n".join(f"  - {fault}" for fault in faults)
        return PublishError(
            f"{self._load.rows:,} rows cannot be published into {self._destination.name}; nothing was changed.\n"
            f"{listed}"
        )


def _is_own(database: Database, destination: Destination, run: str, fingerprint: str) -> bool:
    """Whether a table that is there holds the rows of this very run."""
    if not fingerprint:
        return False
    share = destination.share(run)
    books = Bookkeeping(database, destination.target.schema, qualified(destination.target.parts), share)
    if not books.is_there(step="plan: find the bookkeeping"):
        return False
    newest = books.read(step="plan: read the bookkeeping").newest(share)
    return newest is not None and newest.fingerprint == fingerprint


def _exists_already(destination: Destination) -> str:
    return (
        f"{destination.name} exists, and if_exists is 'fail': say what becomes of its rows (append, truncate, replace, "
        f"upsert), or DROP TABLE {'.'.join(map(identifier, destination.target.parts))}"
    )
