"""COPY: files in S3 into a table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from local_cloud.redshift import objects
from local_cloud.redshift.errors import BackendError, RedshiftError
from local_cloud.redshift.load import Load
from local_cloud.redshift.options import copy_statement, names
from local_cloud.redshift.session import Work

#: So many files are read from S3 before their turn comes.
_AHEAD = 8


@dataclass(frozen=True)
class _Entry:
    """A file that is to be loaded.

    :param mandatory: that it is not there is an error.
    :param length: what the manifest says of its size.
    """

    bucket: str
    key: str
    mandatory: bool = True
    length: int | None = None

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class Copy:
    """The statement.

    :param s3: a boto3 client.
    """

    def __init__(self, s3: Any) -> None:
        self._s3 = s3

    def __call__(self, work: Work) -> None:
        """:raises RedshiftError: Redshift would refuse, or S3 does."""
        statement = copy_statement(work.translation.original)
        work.last = {"copy_id": work.seen.query, "copy_count": 0}
        selected = names(statement.columns) or "*"
        columns = work.backend.describe(f"SELECT {selected} FROM {statement.table} LIMIT 0")
        load = Load(work, statement, columns)
        entries = self._entries(load)
        into = f"COPY {statement.table} ({names([column.name for column in columns])}) FROM STDIN"
        try:
            rows = work.backend.copy_in(f"{into} WITH ({load.csv_options})", self._chunks(load, entries))
        except BackendError as error:
            raise load.refused(error) from error
        work.seen.rows = rows
        work.last = {"copy_id": work.seen.query, "copy_count": rows}
        work.notices.append(f"Load into table '{statement.label}' completed, {rows} record(s) loaded successfully.")

    def _entries(self, load: Load) -> list[_Entry]:
        statement = load.statement
        bucket, key = objects.location(statement.location)
        if not statement.options.manifest:
            found = [_Entry(bucket, one) for one in objects.listed(self._s3, bucket, key)]
            if not found:
                raise RedshiftError(f"The specified S3 prefix '{key}' does not exist")
            return found
        try:
            document = json.loads(objects.read(self._s3, bucket, key))
            listed = [(entry["url"], entry) for entry in document["entries"]]
        except RedshiftError as error:
            raise RedshiftError(f"Problem reading manifest file - {error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise RedshiftError(f"Problem reading manifest file - Invalid JSON, Manifest file: {key}") from error
        return [self._entry(load, url, entry) for url, entry in listed]

    @staticmethod
    def _entry(load: Load, url: str, entry: dict[str, Any]) -> _Entry:
        length = None
        if load.is_parquet:
            if "meta" not in entry:
                raise load.spectrum_error("File entry does not have 'meta' key.", 15003)
            if not isinstance(entry["meta"].get("content_length"), int):
                raise load.spectrum_error("File entry does not have 'content_length' key in 'meta'.", 15003)
            length = entry["meta"]["content_length"]
        return _Entry(*objects.location(url), mandatory=bool(entry.get("mandatory", False)), length=length)

    def _chunks(self, load: Load, entries: list[_Entry]) -> Iterator[bytes]:
        """CSV for PostgreSQL. The next files are read from S3 while one is converted."""
        found = False
        with objects.pool() as pool:
            waiting = [pool.submit(self._read, entry) for entry in entries[:_AHEAD]]
            for number, entry in enumerate(entries):
                content = waiting.pop(0).result()
                if number + _AHEAD < len(entries):
                    waiting.append(pool.submit(self._read, entries[number + _AHEAD]))
                if content is None:
                    continue
                found = True
                yield from load.converted(entry.url, content, entry.length)
        if not found:
            raise RedshiftError("No file of the manifest exists")

    def _read(self, entry: _Entry) -> bytes | None:
        try:
            return objects.read(self._s3, entry.bucket, entry.key)
        except RedshiftError as error:
            if "Error NoSuchKey" in str(error) and not entry.mandatory:
                return None
            raise
