"""A scheme from outside of the package: ``lite://`` keeps objects in a SQLite database that processes share."""

from __future__ import annotations

import contextlib
import io
import os
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from airflow_sklearn.contract.data import SourceObject
from airflow_sklearn.exceptions import ObjectChangedError, ObjectExistsError, ObjectNotFoundError, UserError
from airflow_sklearn.storage.base import Store
from airflow_sklearn.storage.digests import check_digest
from airflow_sklearn.storage.uris import Selection

#: The environment variable with the database's path.
VARIABLE = "LITE_STORE"


class LiteStore(Store):
    """Each write gives an object a version that no object has had before."""

    @classmethod
    def check_uri(cls, uri: str, rest: str) -> None:
        if not rest:
            raise UserError(f"{uri!r} names no object.")

    def stat(self, uri: str) -> SourceObject:
        rows = self._run("SELECT version, LENGTH(data) FROM objects WHERE uri = ?", uri)
        if not rows:
            raise ObjectNotFoundError(f"No object {uri}")
        return SourceObject(uri=uri, etag=str(rows[0][0]), size=rows[0][1])

    def open(self, uri: str, start: int, end: int | None, etag: str | None) -> BinaryIO:
        rows = self._run("SELECT version, data FROM objects WHERE uri = ?", uri)
        if not rows:
            raise ObjectNotFoundError(f"No object {uri}")
        if etag not in (None, str(rows[0][0])):
            raise ObjectChangedError(f"{uri} has changed: it is no longer the version {etag}")
        return io.BytesIO(rows[0][1][start:end])

    def write(self, uri: str, data: bytes) -> str:
        return self._store("INSERT OR REPLACE INTO objects VALUES (?, ?, ?)", uri, data)

    def create(self, uri: str, data: bytes) -> str:
        try:
            return self._store("INSERT INTO objects VALUES (?, ?, ?)", uri, data)
        except sqlite3.IntegrityError:
            raise ObjectExistsError(f"{uri} exists already") from None

    def replace(self, uri: str, data: bytes, etag: str) -> str:
        sql = "UPDATE objects SET uri = ?, version = ?, data = ? WHERE uri = ? AND version = ?"
        return self._store(sql, uri, data, uri, etag)

    def write_stream(self, uri: str, stream: Any) -> None:
        self.write(uri, stream.read())

    def copy(self, source_uri: str, target_uri: str, etag: str | None, sha256: str | None) -> None:
        with self.open(source_uri, 0, None, None if sha256 else etag) as stream:
            if sha256:
                check_digest(stream, sha256, source_uri)
                stream.seek(0)
            self.write(target_uri, stream.read())

    def delete(self, uris: Iterable[str]) -> None:
        for uri in uris:
            self._run("DELETE FROM objects WHERE uri = ?", uri)

    def list(self, selection: Selection) -> Iterator[SourceObject]:
        for uri, version, size in self._run("SELECT uri, version, LENGTH(data) FROM objects ORDER BY uri"):
            if selection.takes(uri):
                yield SourceObject(uri=uri, etag=str(version), size=size)

    def _store(self, sql: str, uri: str, data: bytes, *condition: str) -> str:
        with self._transaction() as connection:
            version = connection.execute("INSERT INTO versions DEFAULT VALUES").lastrowid
            if not connection.execute(sql, (uri, version, data, *condition)).rowcount:
                raise ObjectChangedError(f"{uri} is no longer the version {condition[-1]}")
            return str(version)

    def _run(self, sql: str, *values: Any) -> list[Any]:
        with self._transaction() as connection:
            return connection.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(os.environ[VARIABLE], timeout=60)) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS versions (version INTEGER PRIMARY KEY AUTOINCREMENT)")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS objects (uri TEXT PRIMARY KEY, version INTEGER NOT NULL, data BLOB)"
            )
            yield connection
