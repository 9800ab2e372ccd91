"""The statements of the Redshift Data API: what was asked for, the thread that runs it, what became of it."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from local_cloud.redshift.data_api import fields, rules

SUBMITTED, PICKED, STARTED = "SUBMITTED", "PICKED", "STARTED"
FINISHED, FAILED, ABORTED = "FINISHED", "FAILED", "ABORTED"
ENDED = (FINISHED, FAILED, ABORTED)

#: Opens a connection of the driver: for a database, and for a user or None for the one that IAM's identity gets.
Connect = Callable[[str, str | None], Any]
#: Called before each SQL statement, with its text: waits, or raises FaultError.
Disturb = Callable[["Statement", str], None]

_query_ids = count(100_001)


class FaultError(Exception):
    """A test wants this statement to fail with this message of the database."""


class _AbortedError(Exception):
    """Somebody cancelled the statement."""


@dataclass
class Part:
    """One SQL statement, and its result."""

    sql: str
    status: str = SUBMITTED
    error: str | None = None
    rows: int = -1
    nanoseconds: int = -1
    query_id: int = 0
    columns: list[dict[str, Any]] | None = None
    """None: it returns no rows."""
    records: list[list[dict[str, Any]]] = field(default_factory=list)
    updated: float = field(default_factory=time.time)

    def became(self, status: str, error: str | None = None) -> None:
        """Remember what has become of it, and when."""
        self.status, self.error, self.updated = status, error, time.time()

    def describe(self) -> dict[str, Any]:
        """As in DescribeStatement."""
        described = {
            "Status": self.status,
            "Duration": self.nanoseconds,
            "HasResultSet": self.columns is not None,
            "QueryString": self.sql,
            "RedshiftQueryId": self.query_id,
            "ResultRows": self.rows,
            "ResultSize": len(json.dumps(self.records)) if self.records else (-1 if self.columns is None else 0),
            "UpdatedAt": self.updated,
        }
        return described if self.error is None else {**described, "Error": self.error}


class Statement:
    """One request to execute, and the thread that does it.

    :param asked: the request.
    :param batch: it is BatchExecuteStatement's: its SQL statements are one transaction.
    """

    def __init__(self, asked: Mapping[str, Any], batch: bool) -> None:
        self.id = str(uuid.uuid4())
        self.asked, self.batch = dict(asked), batch
        self.parts = [Part(sql) for sql in (asked["Sqls"] if batch else [asked["Sql"]])]
        self.parameters = {one["name"]: one["value"] for one in asked.get("Parameters") or ()}
        self.status = SUBMITTED
        self.error: str | None = None
        self.pid = 0
        self.created = self.updated = time.time()
        self.ended, self.cancelled = threading.Event(), threading.Event()
        self._changing = threading.Lock()
        self._committing = False

    def run(self, connect: Connect, disturb: Disturb) -> None:
        """From SUBMITTED to its end, in a thread of its own."""
        self._became(PICKED)
        try:
            with closing(connect(self.asked["Database"], self.asked.get("DbUser"))) as connection:
                connection.autocommit = True
                self.pid = next(_rows(connection, "select pg_backend_pid()"))[0]
                connection.autocommit = not self.batch
                self._became(STARTED)
                self._run_parts(connection, disturb)
        except _AbortedError:
            self._end(ABORTED)
        except Exception as error:  # as the database words it, whatever it is
            self._end(ABORTED if self.cancelled.is_set() else FAILED, _message(error))

    def _run_parts(self, connection: Any, disturb: Disturb) -> None:
        for number, part in enumerate(self.parts, 1):
            part.became(STARTED)
            started = time.monotonic_ns()
            try:
                disturb(self, part.sql)
                self._stop_if_cancelled()
                self._run_part(connection, part)
                if number == len(self.parts):
                    self._commit(connection)
            except Exception as error:
                with suppress(Exception):
                    connection.rollback()
                self._give_up(number, error)
                return
            finally:
                part.nanoseconds = time.monotonic_ns() - started
            part.became(FINISHED)
        self._end(FINISHED)

    def _run_part(self, connection: Any, part: Part) -> None:
        cursor = connection.cursor()
        used = {name: self.parameters[name] for name in rules.names_of_parameters(part.sql)}
        cursor.paramstyle = "named" if used else "qmark"
        cursor.execute(part.sql, used or None)
        part.query_id = next(_query_ids)
        described = cursor.ps["row_desc"]
        if described:
            records = [[fields.field(value) for value in row] for row in cursor.fetchall()]
            part.columns = [fields.metadata(column) for column in described]
            part.records, part.rows = records, len(records)
        else:
            part.rows = cursor.rowcount

    def _commit(self, connection: Any) -> None:
        with self._changing:
            self._stop_if_cancelled()
            self._committing = True
        if self.batch:
            connection.commit()

    def _stop_if_cancelled(self) -> None:
        if self.cancelled.is_set():
            raise _AbortedError

    def _give_up(self, number: int, error: Exception) -> None:
        failed = self.parts[number - 1]
        message = None if self.cancelled.is_set() else _message(error)
        failed.became(ABORTED if self.cancelled.is_set() else FAILED, message)
        for part in self.parts[number:]:
            part.became(ABORTED)
        if message and self.batch:
            message = f"Query #{number} failed with {message}"
        self._end(failed.status, message)

    def cancel(self, connect: Connect) -> None:
        """End it: it has done nothing then.

        :raises rules.RefusedError: it has ended.
        """
        with self._changing:
            too_late = self._committing or self.status in ENDED
            if not too_late:
                self.cancelled.set()
        if too_late:
            self.ended.wait(60)
            raise rules.invalid(f"Could not cancel a query that is already in {self.status} state with ID: {self.id}")
        for _ in range(120):  # more than once: the first may come between two statements
            if self.pid:
                self._cancel_backend(connect)
            if self.ended.wait(0.5):
                return

    def _cancel_backend(self, connect: Connect) -> None:
        with suppress(Exception), closing(connect(self.asked["Database"], None)) as connection:
            connection.autocommit = True
            next(_rows(connection, f"select pg_cancel_backend({int(self.pid)})"))

    def part(self, number: int) -> Part:
        """:raises rules.RefusedError: there is no such statement in the batch."""
        if not self.batch or not 1 <= number <= len(self.parts):
            raise rules.not_found("Query does not exist.", f"{self.id}:{number}")
        return self.parts[number - 1]

    def describe(self) -> dict[str, Any]:
        """As DescribeStatement answers."""
        first = self.parts[0].describe()
        described = {
            **self.target,
            "Id": self.id,
            "CreatedAt": self.created,
            "UpdatedAt": self.updated,
            "Status": self.status,
            "Duration": sum(part.nanoseconds for part in self.parts if part.nanoseconds > 0) or -1,
            "HasResultSet": any(part.columns is not None for part in self.parts),
            "RedshiftPid": self.pid,
            "RedshiftQueryId": self.parts[-1].query_id,
            "ResultRows": -1 if self.batch else first["ResultRows"],
            "ResultSize": -1 if self.batch else first["ResultSize"],
            "ResultFormat": "JSON",
        }
        if self.error is not None:
            described["Error"] = self.error
        if self.parameters:
            described["QueryParameters"] = self.asked["Parameters"]
        if not self.batch:
            return {**described, "QueryString": self.parts[0].sql}
        described["SubStatements"] = [
            {"Id": f"{self.id}:{number}", "CreatedAt": self.created, **part.describe()}
            for number, part in enumerate(self.parts, 1)
        ]
        return described

    def summary(self) -> dict[str, Any]:
        """As in ListStatements."""
        texts = [part.sql for part in self.parts]
        return {
            "Id": self.id,
            "Status": self.status,
            "StatementName": self.asked.get("StatementName", ""),
            "CreatedAt": self.created,
            "UpdatedAt": self.updated,
            "IsBatchStatement": self.batch,
            "ResultFormat": "JSON",
            **({"QueryStrings": texts} if self.batch else {"QueryString": texts[0]}),
        }

    @property
    def target(self) -> dict[str, Any]:
        """Which database it is for, as all answers say it."""
        names = ("ClusterIdentifier", "Database", "DbUser", "SecretArn", "WorkgroupName")
        return {name: self.asked[name] for name in names if self.asked.get(name)}

    def _became(self, status: str) -> None:
        self.status, self.updated = status, time.time()

    def _end(self, status: str, error: str | None = None) -> None:
        if self.ended.is_set():  # closing the connection may fail afterwards: that changes nothing
            return
        for part in self.parts:
            if part.status not in ENDED:
                part.became(ABORTED if len(self.parts) > 1 else status, None if len(self.parts) > 1 else error)
        self.error = error
        self._became(status)
        self.ended.set()


def _rows(connection: Any, sql: str) -> Iterator[Any]:
    cursor = connection.cursor()
    cursor.execute(sql)
    yield from cursor.fetchall()


def _message(error: Exception) -> str:
    """The database's error as the API shows it."""
    if isinstance(error, FaultError):
        return f"ERROR: {error}"
    fields = error.args[0] if error.args and isinstance(error.args[0], dict) else {"M": str(error)}
    severity = "FATAL" if fields.get("S") == "FATAL" else "ERROR"
    further = {"Detail": fields.get("D"), "Hint": fields.get("H"), "Where": fields.get("W")}
    lines = [f"{severity}: {fields.get('M')}", *(f"  {name}: {text}" for name, text in further.items() if text)]
    return "\n".join(lines)
