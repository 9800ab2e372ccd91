"""What the stand-in itself keeps in the database: bootstrap, the history of statements, load errors, gates.

Through sessions of its own, so that nothing of it goes when a client's transaction is rolled back.
"""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from local_cloud.redshift.backend import Backend
from local_cloud.redshift.errors import LoadError

_SQL = Path(__file__).parent / "sql"
#: A Redshift cluster's first user and database.
USER, DATABASE = "awsuser", "dev"
_BOOTSTRAP = ("catalog.sql", "functions.sql", "hashes.sql")


@dataclass
class Seen:
    """A statement that a client has sent.

    :param status: running, success, failed, or lost when the connection was dropped.
    """

    query: int
    sql: str
    query_group: str
    user: str
    pid: int
    started: float
    status: str = "running"
    error: str = ""
    rows: int = 0


class Journal:
    """The stand-in's own sessions.

    :param address: PostgreSQL's.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._make_database()
        self._session = self._open()
        self._seen: list[Seen] = []
        self._gates: dict[int, Backend] = {}
        self._queries = itertools.count(1000)
        self._lock = threading.Lock()

    def begin(self, sql: str, query_group: str, user: str, pid: int) -> Seen:
        """A statement begins."""
        with self._lock:
            seen = Seen(next(self._queries), sql, query_group, user, pid, time.time())
            self._seen.append(seen)
            return seen

    def end(self, seen: Seen, status: str, error: str = "") -> None:
        """A statement has ended: from now on the views of the history show it."""
        seen.status, seen.error = status, error
        values = ", ".join(
            (
                f"{seen.query}, {_literal(seen.user)}, {_literal(seen.query_group)}, {seen.pid}",
                f"{_literal(DATABASE)}, {_literal(seen.sql)}, {_literal(status)}, {_literal(error)}, {seen.rows}",
                f"to_timestamp({seen.started}), clock_timestamp()",
            )
        )
        self._run(f"INSERT INTO redshift.history VALUES ({values})")

    def load_error(self, seen: Seen, error: LoadError) -> None:
        """Why COPY has failed."""
        values = ", ".join(
            (
                f"{seen.query}, {seen.pid}, {error.table}, {_literal(error.file)}, {error.line}",
                f"{_literal(error.column)}, {_literal(error.value)}, {error.number}, {_literal(error.reason)}",
            )
        )
        self._run(f"INSERT INTO redshift.load_errors VALUES ({values})")

    def statements(self) -> list[dict[str, Any]]:
        """All that has been seen, in the order of their beginnings."""
        with self._lock:
            return [asdict(seen) for seen in self._seen]

    def close_gate(self, number: int) -> None:
        """From now on ``gate`` waits."""
        self._run(f"CREATE TABLE redshift.gate_{number} (); GRANT SELECT ON redshift.gate_{number} TO PUBLIC")
        holder = self._open()
        holder.query(f"BEGIN; LOCK TABLE redshift.gate_{number} IN ACCESS EXCLUSIVE MODE")
        self._gates[number] = holder

    def open_gate(self, number: int) -> None:
        """Those who wait go on, nobody waits any more."""
        if holder := self._gates.pop(number, None):
            holder.query("COMMIT")
            holder.close()

    @staticmethod
    def gate(number: int) -> str:
        """The statement that waits. It takes no snapshot: the transaction sees what is committed until it goes on."""
        return f"LOCK TABLE redshift.gate_{number} IN ACCESS SHARE MODE"

    def _run(self, sql: str) -> None:
        with self._lock:
            self._session.query(sql)

    def _open(self) -> Backend:
        return Backend(self._address, {"user": "postgres", "database": DATABASE, "client_encoding": "UTF8"})

    def _make_database(self) -> None:
        """In the encoding that counts the length of a VARCHAR in bytes."""
        server = Backend(self._address, {"user": "postgres", "database": "postgres"})
        server.query(f"CREATE ROLE {USER} SUPERUSER LOGIN")
        server.query(f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C' OWNER {USER}")
        server.close()
        made = self._open()
        for name in _BOOTSTRAP:
            made.query((_SQL / name).read_text())
        made.close()


def _literal(text: str) -> str:
    return "'" + text.replace("\0", "").replace("'", "''") + "'"
