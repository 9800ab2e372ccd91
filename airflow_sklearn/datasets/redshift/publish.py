"""Publishing files of rows into a table, exactly once.

::

    look         at the target, and at earlier publications into it
    stage        one COPY from a manifest of ours into a staging table; counts and keys are compared with the receipts
    publish      one transaction: the target's rows, and the row in the table of publications

If a publication dies, the target holds the old rows or the new ones, and the next attempt finds out which.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_sklearn.contract.document import content_id
from airflow_sklearn.contract.planned import Planned
from airflow_sklearn.datasets.redshift import catalog, publication_log
from airflow_sklearn.datasets.redshift.destination_faults import is_of
from airflow_sklearn.datasets.redshift.grants import read_grants, read_protections
from airflow_sklearn.datasets.redshift.load import Staging
from airflow_sklearn.datasets.redshift.order import check_order, replaced_records
from airflow_sklearn.datasets.redshift.publication_log import History, PublicationLog, Record
from airflow_sklearn.datasets.redshift.publish_transaction import ANOTHER_COUNT, counted, publish_transaction, rivals
from airflow_sklearn.datasets.redshift.request_faults import request_faults
from airflow_sklearn.datasets.redshift.sql import qualified
from airflow_sklearn.datasets.redshift.target_table import TargetTable
from airflow_sklearn.datasets.run_order import log_replacement
from airflow_sklearn.exceptions import (
    PublicationRefusedError,
    PublishError,
    RedshiftError,
    SerializationConflictError,
    UserError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.receipt import KeyHash, OutputPart
    from airflow_sklearn.contract.tables import OutputColumnSpec, OutputTable
    from airflow_sklearn.datasets.redshift.database import Database
    from airflow_sklearn.storage import Storage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TableLoad:
    """Rows to publish into a table.

    :param table: the table, and how to publish.
    :param columns: the columns of the files, in order.
    :param key: those that identify a row; may be empty.
    :param files: Parquet files in S3; empty: there are no rows.
    :param rows: the number of rows in all files.
    :param key_hash: the hash of all rows' keys.
    :param fingerprint: identifies the content.
    :param run: the name of the rows, see ``destination.publication_scope``. Rows of one name are appended once.
    :param attempt: a unique name for each attempt at the publication.
    :param published_by: DAG, task and run, for people.
    :param planned: when and by which task the run was planned: an older run does not replace the rows of a newer one.
    :param replace_newer: let it do so.
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
    planned: Planned = field(default_factory=Planned)
    replace_newer: bool = False


@dataclass(frozen=True)
class Published:
    """The content of the table after a publication.

    :param rows: the number of the publication's rows.
    :param published: whether anything was changed. False: the same rows had been published before.
    :param table_rows: the number of rows in the replaced partition or condition, else in the table, read back.
    :param published_at: the time by the database's clock, UTC by default.
    :param warnings: texts for people.
    """

    rows: int
    published: bool
    table_rows: int
    table: str
    published_at: str = ""
    warnings: tuple[str, ...] = ()


def publish_table(database: Database, storage: Storage, load: TableLoad) -> Published:
    """Make proven rows the content of a table, or of the part of it to which they belong.

    :param database: the table's database.
    :param storage: where the files are.
    :param load: the rows and the table.
    :raises PublicationRefusedError: another publication took place at the same time, the table exists already, or rows
        would be duplicated. Nothing was changed. A retry does not help; a person may clear the task.
    :raises PublishError: the table does not accept the rows, or holds other rows after loading than the receipts say.
        Nothing was changed.
    :raises LoadError: COPY cannot load the files. Nothing was changed.
    :raises RedshiftError: Redshift refuses something else.
    """
    return _Publication(database, storage, load).run()


class _Publication:
    """One attempt at a publication."""

    def __init__(self, database: Database, storage: Storage, load: TableLoad) -> None:
        self._database, self._storage, self._load = database, storage, load
        self._destination = self._look("publish: look")

    def run(self) -> Published:
        """Publish, unless the same rows are published already."""
        load = self._load
        if faults := request_faults(self._destination):
            raise self._refused(faults)
        scope = self._destination.publication_scope(load.run)
        books = self._books(scope)
        history = self._history(books)
        if not self._destination.target.exists:
            # Read after the table of publications: if there is no table now, all rows of those publications are gone.
            self._destination = self._look("publish: look again")
            if (
                spelled := self._destination.publication_scope(load.run)
            ) != scope:  # the table exists now, and its types change the spelling
                scope, books = spelled, self._books(spelled)
                history = books.read(step="publish: read the bookkeeping of this table")
        staging = Staging(
            self._database,
            self._storage,
            self._destination,
            rows_of=f"{scope} of {load.run}",
            attempt=load.attempt,
        )
        staging.drop_leftovers()
        if (before := self._published_before(history, scope)) is not None:
            self._note_newer(books, history.newest(scope))
            return before
        replaced = replaced_records(self._destination, history, scope, load.fingerprint)
        check_order(self._destination.name, replaced, load.planned, replace_newer=load.replace_newer)
        faults, warnings = self._destination.table_faults(), list[str]()
        if self._destination.is_made_anew():
            lost, warnings = read_protections(self._database, self._destination.target, step="publish: protections")
            faults += lost
        if faults:
            raise self._refused(faults)
        published = self._write(staging, books, history, scope, (*warnings, *self._stage(staging)))
        for record in replaced if published.published else ():
            log_replacement(log, published.table, record, rows=record.rows, by=load.rows)
        return published

    def _look(self, step: str) -> TargetTable:
        load = self._load
        target = catalog.read_target(self._database, load.table.table, step=step)
        return TargetTable(load.table, target, load.columns, load.key)

    def _stage(self, staging: Staging) -> tuple[str, ...]:
        """Load the rows into the staging table, and check them.

        :return: warnings.
        """
        staging.check_files(self._load.files)
        staging.create()
        try:
            staging.copy(self._load.files)
            findings = staging.check(self._load.rows, self._load.key_hash)
        except RedshiftError as error:
            if staging.was_dropped():
                raise self._taken_over(staging) from error
            staging.drop()
            raise
        if findings.faults:
            staging.drop()
            raise self._refused(findings.faults)
        for warning in findings.warnings:
            log.warning("%s: %s", self._destination.name, warning)
        return findings.warnings

    def _write(
        self, staging: Staging, books: PublicationLog, history: History, scope: str, warnings: tuple[str, ...]
    ) -> Published:
        load, destination = self._load, self._destination
        record = Record(
            number=0,
            partition=scope,
            publication=content_id([destination.name, scope, load.fingerprint, load.attempt], 64),
            fingerprint=load.fingerprint,
            mode=load.table.if_exists,
            rows=load.rows,
            table=0 if destination.is_made_anew() else destination.target.number,
        ).by(load.published_by, load.planned)
        grants = []
        try:
            if destination.is_made_anew():
                log.info("%s is made anew: %s", destination.name, "; ".join(destination.unfit()))
                grants = read_grants(self._database, destination.target, step="publish: read grants")
            statements = publish_transaction(destination, staging, books, record, history, grants)
        except (RedshiftError, UserError) as error:
            staging.drop()
            raise self._refused([str(error)]) from error
        try:
            answers = self._database.run(statements, step="publish: swap")
        except RedshiftError as error:
            return self._after(error, staging, books, history, record)
        table, at, table_rows = (answer.rows[0][0] for answer in answers[-3:])
        if int(table) != record.table:
            self._note_table(books, record, int(table))
        staging.drop()
        log.info("Published %s rows into %s.", f"{load.rows:,}", destination.name)
        return Published(load.rows, True, int(table_rows), destination.name, str(at), warnings)

    def _after(
        self, error: RedshiftError, staging: Staging, books: PublicationLog, history: History, record: Record
    ) -> Published:
        """Find out what happened after the transaction failed or seemed to fail. The table of publications tells.

        :raises PublishError: another publication took place, or the transaction failed for another reason.
        """
        try:
            now = books.read(step="publish: read the bookkeeping again")
        except RedshiftError:
            raise error from None  # the next attempt will find out
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
        """The error to raise after a transaction that failed and changed nothing."""
        before, output = self._destination, self._load.table
        if rival is not None and output.if_exists == "append":
            return self._doubled(rival)
        if rival is not None:
            return PublicationRefusedError(
                f"While this publication into {before.name} was under way, another run published there: {rival}. "
                "Nothing was changed: its rows stay. If this run's rows are to replace them, clear the task."
            )
        if isinstance(error, SerializationConflictError):
            return error
        now = self._look("publish: look for the cause")
        faults = now.table_faults()
        if output.if_exists == "fail" and now.target.exists:
            return PublicationRefusedError(now.exists_already())
        if before.target.exists and not now.target.exists:
            faults = [f"{now.name} was dropped by somebody else in the meantime: run the task again"]
        elif ANOTHER_COUNT in str(error):
            faults.append(before.miscount())
        elif staging.was_dropped():
            return self._taken_over(staging)
        return self._refused([*faults, str(error)])

    def _taken_over(self, staging: Staging) -> PublicationRefusedError:
        return PublicationRefusedError(
            f"{staging.name} was dropped: another attempt at this publication has taken over, or another run of the "
            "same rows. This one has changed nothing."
        )

    def _books(self, scope: str) -> PublicationLog:
        parts = self._destination.target.parts
        return PublicationLog(self._database, parts[0], qualified(parts), scope)

    def _note_newer(self, books: PublicationLog, own: Record | None) -> None:
        """Make this run the author of rows that were published before, if it is the newest one."""
        load = self._load
        if own is not None and load.planned.at > own.planned_at:
            newer = own.by(load.published_by, load.planned)
            self._database.run(books.note_author(newer), step="publish: note the newer run")

    def _note_table(self, books: PublicationLog, record: Record, table: int) -> None:
        """Store the table's number. Without it, nobody would notice that the table was dropped and created again."""
        try:
            self._database.run(books.note_table(record.publication, table), step="publish: note the table")
        except RedshiftError as error:
            log.warning("The bookkeeping does not know the new table's number: %s", error)

    def _history(self, books: PublicationLog) -> History:
        schema = self._destination.target.schema
        try:
            books.prepare()
            return books.read(step="publish: read the bookkeeping")
        except RedshiftError as error:
            table = qualified((schema, publication_log.TABLE))
            raise PublishError(
                f"The table {table}, in which publications into this schema are kept, cannot be created or read. If "
                f"another user made it: GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO this one. {error}"
            ) from error

    def _published_before(self, history: History, scope: str) -> Published | None:
        """The earlier publication of the same rows, if they are still in the table; else None.

        :raises PublicationRefusedError: other rows of the same run are there, or rows may have been removed since.
        """
        destination, load = self._destination, self._load
        mode, exists = load.table.if_exists, destination.target.exists
        own = history.newest(scope) if exists else None
        same = own is not None and own.fingerprint == load.fingerprint
        if mode in ("append", "fail", "upsert"):
            if own is not None and same:
                return self._still_there(own, history)
            if own is not None and mode == "append":
                raise self._doubled(own)
            if exists and mode == "fail":
                raise PublicationRefusedError(destination.exists_already())
            return None
        if own is None or not same or not is_of(own, destination):
            return None
        if history.last > own.number if destination.replaces_all else history.replaced_by(own):
            return None
        if destination.replaced and any(name not in destination.types for name in load.table.partition):
            return None
        found = self._result(own, published=False, step="publish: count")
        return found if found.table_rows == own.rows else None  # the rows were changed by others: publish again

    def _still_there(self, own: Record, history: History) -> Published:
        """The earlier publication of the same rows, which were added to the table.

        :raises PublicationRefusedError: it is uncertain whether all of them are still there.
        """
        name = self._destination.name
        found = self._result(own, published=False, step="publish: count")
        replaced = history.replaced_by(own)
        if found.table_rows < own.rows:
            doubt = f"{name} holds {found.table_rows:,} rows, fewer than this run has published: somebody deleted some"
        elif not is_of(own, self._destination):
            doubt = f"{name} was dropped and made anew by somebody since this run has published"
        elif replaced is not None:
            doubt = f"rows of {name} were replaced since this run has published: {replaced}"
        else:
            return found
        raise PublicationRefusedError(
            f"{doubt}. Whether this run's rows ({own}) are still there is not known, so nothing was changed. If they "
            f"are, mark this task as successful. To publish them again, {self._forget(own)}, and clear the task."
        )

    def _forget(self, record: Record) -> str:
        return (
            f"delete the run's row: DELETE FROM {qualified((self._destination.target.schema, publication_log.TABLE))} "
            f"WHERE \"publication\" = '{record.publication}'"
        )

    def _result(self, record: Record, *, published: bool, step: str) -> Published:
        count = counted(self._destination, self._destination.target.parts)
        table_rows = int(self._database.run([count], step=step)[0].rows[0][0])
        return Published(record.rows, published, table_rows, self._destination.name, record.published_at)

    def _doubled(self, before: Record) -> PublicationRefusedError:
        name = self._destination.name
        return PublicationRefusedError(
            f"Other rows of this run ({self._load.run!r}) were published into {name} before: {before}. Its source, its "
            "model or its settings have changed since. Appending again would double its rows, so nothing was changed. "
            f"Delete those rows, and then {self._forget(before)}. Or let runs replace their own rows: "
            "if_exists='replace' with partition={...}, or if_exists='upsert'."
        )

    def _refused(self, faults: Sequence[str]) -> PublishError:
        listed = "\n".join(f"  - {fault}" for fault in faults)
        return PublishError(
            f"{self._load.rows:,} rows cannot be published into {self._destination.name}; nothing was changed.\n"
            f"{listed}"
        )
