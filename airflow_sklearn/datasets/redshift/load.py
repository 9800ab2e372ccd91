"""A staging table: a run's files are loaded and proven in the database before the target is touched.

It is an ordinary table in the target's schema: a temporary table would end with its session, and each transaction has a
session of its own here.
"""

from __future__ import annotations

import contextlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.document import content_id
from airflow_sklearn.contract.faults import counted
from airflow_sklearn.contract.receipt import KEY_HASH_ALGORITHM
from airflow_sklearn.contract.shown import shown
from airflow_sklearn.datasets.redshift.catalog import exists, statement, tables_named
from airflow_sklearn.datasets.redshift.database import Statement
from airflow_sklearn.datasets.redshift.sql import iam_role, identifier, qualified, quoted
from airflow_sklearn.datasets.redshift.types import key_hash_sql
from airflow_sklearn.exceptions import LoadError, ObjectNotFoundError, RedshiftError, StorageError
from airflow_sklearn.storage import join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.receipt import KeyHash, OutputPart
    from airflow_sklearn.datasets.redshift.database import Answer, Database
    from airflow_sklearn.datasets.redshift.target_table import TargetTable
    from airflow_sklearn.storage import Storage

log = logging.getLogger(__name__)

_PREFIX = "airflow_sklearn_staging"
_SHOWN = 10
_CHECKERS = 16  # threads
#: The tables of load errors. Both keep the rows of a load that was rolled back. Only the first has the values; Redshift
#: Serverless has only the second.
_LOAD_ERRORS = {
    "stl_load_errors": f"""
SELECT TRIM(filename), line_number, TRIM(colname), TRIM(raw_field_value), TRIM(err_reason)
FROM stl_load_errors WHERE tbl = CAST(:publish_table_id AS INTEGER) ORDER BY starttime LIMIT {_SHOWN}
""",
    "sys_load_error_detail": f"""
SELECT TRIM(file_name), line_number, TRIM(column_name), CAST(NULL AS VARCHAR(1)), TRIM(error_message)
FROM sys_load_error_detail WHERE table_id = CAST(:publish_table_id AS INTEGER) ORDER BY start_time LIMIT {_SHOWN}
""",
}


@dataclass(frozen=True)
class Findings:
    """Faults of the loaded rows, and warnings."""

    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Staging:
    """The staging table of one attempt at a publication.

    Its manifests for COPY are in the staging folder.

    :param rows_of: the name of the rows, common to all attempts at publishing them, also with another content.
    :param attempt: a name of this attempt's own.
    """

    def __init__(
        self, database: Database, storage: Storage, destination: TargetTable, *, rows_of: str, attempt: str
    ) -> None:
        self._database, self._storage, self._destination = database, storage, destination
        output = destination.output
        self._family = f"{_PREFIX}_{content_id([destination.name, rows_of])}_"
        self.schema, self.table = destination.target.schema, f"{self._family}{content_id(attempt, 8)}"
        self.name = qualified((self.schema, self.table))
        self._folder = join(output.ledger_root, "copies", self._family.rpartition("_")[0])
        self._manifest = join(self._folder, f"{content_id(attempt, 8)}.json")
        self._role = iam_role(output.access.iam_role)
        self._id = ""

    def drop_leftovers(self) -> None:
        """Drop the staging tables of earlier attempts at publishing these rows. An attempt that is still running then
        fails.
        """
        answer = self._database.run([tables_named(self.schema, self._family)], step="publish: find leftovers")[0]
        for (table,) in answer.rows:
            log.info("Dropping %s.%s, which an earlier attempt has left.", self.schema, table)
            try:
                drop = Statement(f"DROP TABLE IF EXISTS {qualified((self.schema, table))}")
                self._database.run([drop], step=f"publish: drop {table}")
            except RedshiftError as error:
                log.warning("It cannot be dropped, and stays: %s", error)
        self._delete([obj.uri for obj in self._storage.list(join(self._folder, ""))])

    def create(self) -> None:
        """Create the table, empty, with exactly the files' columns, because COPY matches columns by position."""
        columns = self._destination.columns
        listed = ", ".join(f"{identifier(column.name)} {column.staging_type}" for column in columns)
        statements = [
            Statement(f"DROP TABLE IF EXISTS {self.name}"),
            Statement(f"CREATE TABLE {self.name} ({listed})"),
            exists(self.schema, self.table),
        ]
        self._id = str(self._database.run(statements, step="publish: create the staging table")[-1].rows[0][0])

    def check_files(self, files: Sequence[OutputPart]) -> None:
        """Check the digests of files.

        :raises ObjectChangedError: a file does not have its digest.
        """
        with ThreadPoolExecutor(_CHECKERS) as pool:
            list(pool.map(self._check_file, files))

    def copy(self, files: Sequence[OutputPart]) -> None:
        """Load files with one COPY: all, or none.

        :raises LoadError: a file is missing or does not fit. The message contains rows of the table of load errors.
        """
        filled = [part for part in files if part.rows]  # an empty file has nothing for COPY, and may have no row group
        if not filled:
            return
        entries = [{"url": part.uri, "mandatory": True, "meta": {"content_length": part.size}} for part in filled]
        self._storage.write(self._manifest, json.dumps({"entries": entries}).encode())
        columns = ", ".join(identifier(column.name) for column in self._destination.columns)
        sql = (
            f"COPY {self.name} ({columns}) FROM {quoted(self._manifest)} IAM_ROLE {self._role} "
            "FORMAT AS PARQUET MANIFEST"
        )
        log.info("Loading %d files into %s", len(filled), self.name)
        try:
            self._database.run([Statement(sql)], step="publish: copy")
        except RedshiftError as error:
            rows = self._load_errors()
            listed = "".join(f"\n  - {row}" for row in rows) or "\nRedshift's load-error tables hold nothing of it."
            raise LoadError(
                f"COPY cannot load {len(filled)} files into {self.name}; {self._destination.name} is as it was. "
                f"{error}{listed}",
                sqlstate=error.sqlstate,
            ) from error

    def _check_file(self, part: OutputPart) -> None:
        """Check a file's digest. A missing file is left to COPY, which reports it."""
        with contextlib.suppress(ObjectNotFoundError):
            self._storage.check(part.uri, sha256=part.sha256, etag=part.etag or None)

    def check(self, rows: int, key_hash: KeyHash) -> Findings:
        """Compare the loaded rows with the receipts' counts and key hash."""
        queries = self._queries()
        answers = dict(zip(queries, self._database.run(list(queries.values()), step="publish: check"), strict=True))
        lists = ("examples", "lengths")
        numbers = {name: int(answer.rows[0][0] or 0) for name, answer in answers.items() if name not in lists}
        faults, warnings = [], []
        if numbers["rows"] != rows:
            faults.append(f"{numbers['rows']:,} rows were loaded, and the receipts say {rows:,}")
        if "hash" in numbers:
            faults += _hash_faults(numbers["hash"] % 2**64, key_hash)
        upsert, key = self._destination.output.if_exists == "upsert", ", ".join(self._destination.key)
        if upsert and numbers["nulls"]:
            faults.append(
                f"{counted(numbers['nulls'], 'row')} with a null in the key ({key}): no row can be updated by it"
            )
        if numbers.get("repeated"):
            shown = ", ".join(_example(row) for row in answers["examples"].rows)
            text = f"{counted(numbers['repeated'], 'key')} ({key}) more than once, such as {shown}"
            if upsert:
                faults.append(f"{text}: which row counts is not defined. Make the source's key unique")
            else:
                warnings.append(text)
        if numbers.get("outside"):
            faults.append(
                f"{numbers['outside']:,} rows are not among those that they are to replace (where "
                f"{self._destination.output.where}): the next run would add them again. Read the source with the same "
                f"condition{self._lacking()}"
            )
        faults += self._too_long(answers["lengths"]) if "lengths" in answers else []
        return Findings(tuple(faults), tuple(warnings))

    def drop(self) -> None:
        """Drop the table, and delete its manifest. A failure is logged as a warning."""
        try:
            drop = Statement(f"DROP TABLE IF EXISTS {self.name}")
            self._database.run([drop], step="publish: drop the staging table")
        except RedshiftError as error:
            log.warning("%s cannot be dropped, drop it yourself: %s", self.name, error)
        self._delete([self._manifest])

    def was_dropped(self) -> bool:
        """Whether the table was certainly dropped by another process."""
        try:
            found = self._database.run([exists(self.schema, self.table)], step="publish: find the staging table")
        except RedshiftError:
            return False
        return not found[0].rows

    def _delete(self, uris: Sequence[str]) -> None:
        try:
            self._storage.delete(uris)
        except StorageError as error:
            log.warning("Manifests of COPY cannot be deleted from %s: %s", self._folder, error)

    def _queries(self) -> dict[str, Statement]:
        destination, there = self._destination, {column.name: column for column in self._destination.columns}
        queries = {"rows": Statement(f"SELECT COUNT(*) FROM {self.name}")}
        if destination.key:
            row = key_hash_sql([there[name] for name in destination.key])
            queries["hash"] = Statement(f"SELECT SUM(CAST({row} AS DECIMAL(38, 0))) FROM {self.name}")
            names = ", ".join(map(identifier, destination.key))
            nulls = " OR ".join(f"{identifier(name)} IS NULL" for name in destination.key)
            repeated = f"FROM {self.name} GROUP BY {names} HAVING COUNT(*) > 1"
            queries["nulls"] = Statement(f"SELECT COUNT(*) FROM {self.name} WHERE {nulls}")
            queries["repeated"] = Statement(f"SELECT COUNT(*) FROM (SELECT {names} {repeated}) AS repeated")
            queries["examples"] = Statement(
                f"SELECT {names}, COUNT(*) {repeated} ORDER BY COUNT(*) DESC, {names} LIMIT {_SHOWN}"
            )
        if destination.output.where:
            queries["outside"] = self._outside()
        if bounded := destination.bounded():
            lengths = ", ".join(f"MAX(OCTET_LENGTH({identifier(name)}))" for name in bounded)
            queries["lengths"] = Statement(f"SELECT {lengths} FROM {self.name}")
        return queries

    def _too_long(self, lengths: Answer) -> list[str]:
        """Faults of texts that are too long. Redshift's own message names neither the column nor the value."""
        destination = self._destination
        return [
            f"the column {name!r} has a text of {int(length):,} bytes, and {destination.name} holds {bound:,} there: "
            f"make the column varchar({int(length)}), or cut the text in the source"
            for (name, bound), length in zip(destination.bounded().items(), lengths.rows[0], strict=True)
            if int(length or 0) > bound
        ]

    def _lacking(self) -> str:
        lacking = self._destination.lacking()
        return f". Columns that the rows lack count as null there: {', '.join(lacking)}" if lacking else ""

    def _outside(self) -> Statement:
        """A statement that counts staged rows which would not belong to the replaced part of the target."""
        destination = self._destination
        rows = destination.rows()
        listed = [f"{expression} AS {name}" for name, expression in rows.items()]
        listed += [f"CAST(NULL AS {destination.types[name]}) AS {identifier(name)}" for name in destination.lacking()]
        sql = (
            f"SELECT COUNT(*) FROM (SELECT {', '.join(listed)} FROM {self.name}) AS "
            f"{identifier(destination.target.table)} WHERE {destination.replaced} IS NOT TRUE"
        )
        return statement(sql, destination.values)

    def _load_errors(self) -> list[str]:
        for view, sql in _LOAD_ERRORS.items():
            try:
                query = statement(sql, {"publish_table_id": self._id})
                answer = self._database.run([query], step=f"publish: read {view}")[0]
            except RedshiftError as error:
                log.info("%s cannot be read: %s", view, error)
                continue
            if answer.rows:
                return _described(answer)
        return []


def _described(answer: Answer) -> list[str]:
    found = []
    for file, line, column, value, reason in answer.rows:
        where = [str(file)]
        where += [f"line {line}"] if line is not None and int(line) > 0 else []
        where += [f"column {column!r}"] if column else []
        where += [f"value {shown(value)}"] if value else []
        found.append(f"{', '.join(where)}: {reason}")
    return list(dict.fromkeys(found))


def _hash_faults(found: int, key_hash: KeyHash) -> list[str]:
    if key_hash.algorithm != KEY_HASH_ALGORITHM:
        return [
            f"the receipts hash keys by {key_hash.algorithm!r}, and only {KEY_HASH_ALGORITHM!r} can be compared: they "
            "are of a worker of another version. Clear the predict tasks"
        ]
    if found != key_hash.value:
        return [f"the keys that were loaded have the hash {found:016x}, and the receipts say {key_hash.value:016x}"]
    return []


def _example(row: Sequence[Any]) -> str:
    *key, times = row
    return f"{', '.join(map(str, key))} ({times} times)"
