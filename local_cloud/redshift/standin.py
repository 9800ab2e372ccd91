"""A running stand-in, as tests hold it."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from local_cloud import processes
from local_cloud.postgres import LOOPBACK, Postgres
from local_cloud.redshift.data_api.server import DataApi
from local_cloud.waiting import PATIENCE

IAM_ROLE = "arn:aws:iam::000000000000:role/airflow-sklearn-redshift"


@dataclass(frozen=True)
class Statement:
    """A statement that the stand-in has seen, without those of its own.

    :param query: Redshift's number of it, as in ``sys_query_history``.
    :param query_group: the tag of its session at that time.
    :param pid: the session, for ``pg_cancel_backend``.
    :param status: running, success, failed, or lost with the connection.
    """

    query: int
    sql: str
    query_group: str
    user: str
    pid: int
    started: float
    status: str
    error: str
    rows: int


@dataclass(frozen=True)
class Redshift:
    """A cluster with one database, that the real redshift_connector takes for Redshift.

    :param host: under which this machine and containers reach it.
    :param control: the URL for faults.
    :param postgres: the server behind it.
    :param data_api: the Redshift Data API before it.
    """

    host: str
    port: int
    control: str = field(repr=False)
    postgres: Postgres = field(repr=False)
    data_api: DataApi = field(repr=False)
    user: str = "awsuser"
    database: str = "dev"
    password: str = "not-checked"
    iam_role: str = IAM_ROLE

    @property
    def connection(self) -> dict[str, Any]:
        """An Airflow connection, for ``AIRFLOW_CONN_REDSHIFT_DEFAULT`` as JSON."""
        return {
            "conn_type": "redshift",
            "host": self.host,
            "port": self.port,
            "login": self.user,
            "password": self.password,
            "schema": self.database,
            "extra": {"ssl": False},
        }

    def connect(self, user: str | None = None, *, autocommit: bool = False) -> Any:
        """A ``redshift_connector.Connection``."""
        import redshift_connector

        connected = redshift_connector.connect(
            host=self.host,
            port=self.port,
            user=user or self.user,
            password=self.password,
            database=self.database,
            ssl=False,
            application_name="local-cloud",  # without one, the driver searches all loaded modules for its caller
        )
        connected.autocommit = autocommit
        return connected

    def query(
        self, *statements: str, parameters: Mapping[str, Any] | None = None, user: str | None = None
    ) -> list[tuple[Any, ...]]:
        """Run statements, each a transaction of its own, in one session; the rows of the last one.

        :param parameters: for ``:name`` in each of them.
        """
        with self.connect(user, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.paramstyle = "named"
            for statement in statements:
                cursor.execute(statement, dict(parameters) if parameters else None)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def fail(
        self, pattern: str, message: str, *, sqlstate: str = "XX000", detail: str = "", skip: int = 0, times: int = 1
    ) -> Fault:
        """Statements in which the regular expression is found fail with this error, and are not run::

            with redshift.fail("^copy", "S3ServiceException: Access Denied", skip=1) as fault:
                ...
            assert fault.fired == 1

        :param skip: so many matching ones pass before.
        :param times: so many fail.
        """
        return self._fault("fail", pattern, skip, times, message=message, sqlstate=sqlstate, detail=detail)

    def drop_connection(
        self, pattern: str, *, when: Literal["before", "after"] = "before", skip: int = 0, times: int = 1
    ) -> Fault:
        """The connection ends before a matching statement is run, or after it has been run and before the answer."""
        return self._fault(f"drop {when}", pattern, skip, times)

    def pause(self, pattern: str, *, skip: int = 0, times: int = 1) -> Fault:
        """Matching statements wait in their sessions before they are run, until the fault is taken back."""
        return self._fault("pause", pattern, skip, times)

    def statements(self, pattern: str = "") -> list[Statement]:
        """The statements seen so far, of all sessions, in the order of their beginnings."""
        found = [Statement(**seen) for seen in self._call("GET", "statements")]
        return [seen for seen in found if re.search(pattern, seen.sql, re.IGNORECASE | re.DOTALL)]

    def _fault(self, action: str, pattern: str, skip: int, times: int, **more: Any) -> Fault:
        rule = {"action": action, "pattern": pattern, "skip": skip, "times": times, **more}
        return Fault(self, self._call("POST", "rules", rule)["number"])

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.control}/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)


class Fault:
    """Holds from now until it is taken back: by :meth:`end`, or at the end of its block."""

    def __init__(self, redshift: Redshift, number: int) -> None:
        self._redshift, self._number = redshift, number
        self._final: int | None = None

    @property
    def fired(self) -> int:
        """How many statements it has struck."""
        if self._final is not None:
            return self._final
        return int(self._redshift._call("GET", f"rules/{self._number}")["fired"])

    def wait(self, count: int = 1, seconds: float = PATIENCE) -> None:
        """Until it has struck so often: a statement that is to pause waits now.

        :raises TimeoutError: it has not, after that time.
        """
        deadline = time.monotonic() + seconds
        while self.fired < count:
            if time.monotonic() > deadline:
                seen = [f"{found.status}: {found.sql}" for found in self._redshift.statements()[-10:]]
                raise TimeoutError(f"struck {self.fired} statements and not {count}; the last ones were {seen}")
            time.sleep(0.02)

    def end(self) -> None:
        """Nothing goes wrong any more; what waits goes on."""
        if self._final is None:
            self._final = self.fired
            self._redshift._call("DELETE", f"rules/{self._number}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.end()


@contextmanager
def running(postgres: Postgres, endpoint: str, log: Path, *, slices: int = 2) -> Iterator[Redshift]:
    """Start the stand-in before a PostgreSQL server, and end it.

    :param endpoint: of S3.
    :param log: the file that gets what it prints.
    :param slices: that UNLOAD writes files from at the same time.
    :raises RuntimeError: it did not start; the message holds the end of its log.
    """
    hosts = list(dict.fromkeys((postgres.host, LOOPBACK)))
    port, control = processes.free_port(postgres.host), processes.free_port(postgres.host)
    command = [sys.executable, "-m", "local_cloud.redshift", "--hosts", ",".join(hosts), "--port", str(port)]
    ports = ["--control-port", str(control), "--postgres-port", str(postgres.port)]
    url = f"http://{postgres.host}:{control}"
    arguments = [*command, *ports, "--endpoint", endpoint, "--slices", str(slices)]
    with processes.process(arguments, log, f"{url}/health", _environment()):
        api = DataApi(lambda database, user: replace(redshift, database=database).connect(user))
        redshift = Redshift(postgres.host, port, url, postgres, api)
        with api.serving(postgres.host):
            yield redshift


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(processes.REPOSITORY), "AWS_EC2_METADATA_DISABLED": "true"}
