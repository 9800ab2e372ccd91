"""A schema of a test's own in the stand-in, and files in S3 to publish into its tables."""

from __future__ import annotations

import hashlib
import io
import threading
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_sklearn.contract.receipt import KeyHash, OutputPart
from airflow_sklearn.contract.tables import OutputColumnSpec, OutputTable, RedshiftAccess
from airflow_sklearn.datasets.redshift.database import Database
from airflow_sklearn.datasets.redshift.destination_faults import destination_faults
from airflow_sklearn.datasets.redshift.publish import Published, TableLoad, publish_table
from airflow_sklearn.datasets.redshift.sql_database import SqlDatabase
from airflow_sklearn.datasets.redshift.types import output_column
from airflow_sklearn.storage import Storage
from local_cloud.redshift_cloud import RedshiftCloud
from tests.waiting import PATIENCE

BOOKS = "airflow_sklearn_publications"
each_isolation = pytest.mark.parametrize("place", ["serializable", "snapshot"], indirect=True)


def fnv1a(data: bytes, seed: int = 0xCBF29CE484222325) -> int:
    for byte in data:
        seed = ((seed ^ byte) * 0x100000001B3) % 2**64
    return seed


def hash_of(rows: Iterable[Sequence[Any]]) -> KeyHash:
    """Of keys of whole numbers and text."""
    total = 0
    for row in rows:
        found = 0xCBF29CE484222325
        for value in row:
            found = fnv1a(value.to_bytes(8, "little", signed=True) if isinstance(value, int) else value.encode(), found)
        total += found
    return KeyHash(value=total % 2**64)


@dataclass
class Place:
    """:param schema: quoted where SQL wants it: it has a blank, capitals and a quote."""

    cloud: RedshiftCloud
    storage: Storage
    name: str = field(default_factory=lambda: f'My "{uuid.uuid4().hex[:12]}" Schema')

    @property
    def schema(self) -> str:
        return '"' + self.name.replace('"', '""') + '"'

    @property
    def database(self) -> Database:
        return SqlDatabase("redshift_default", None, tag="airflow-sklearn test")

    def sql(self, *statements: str, user: str | None = None) -> list[tuple[Any, ...]]:
        """``{s}`` stands for the schema."""
        setting = "SET enable_case_sensitive_identifier TO true"
        return self.cloud.redshift.query(setting, *(text.replace("{s}", self.schema) for text in statements), user=user)

    def part(self, table: pa.Table) -> OutputPart:
        buffer = io.BytesIO()
        pq.write_table(table, buffer, coerce_timestamps="us")
        data = buffer.getvalue()
        digest = hashlib.sha256(data).hexdigest()
        uri = f"s3://{self.cloud.bucket}/parts/{digest}.parquet"
        self.storage.write(uri, data)
        return OutputPart(uri=uri, sha256=digest, size=len(data), rows=table.num_rows)

    def output(self, table: str = "scores", **more: Any) -> OutputTable:
        return OutputTable(
            table=(self.name, table),
            access=RedshiftAccess(iam_role=self.cloud.redshift.iam_role),
            staging=f"s3://{self.cloud.bucket}/staging-{self.name[4:16]}",
            **more,
        )

    def load(
        self,
        ids: Sequence[int] = (1, 2, 3),
        *,
        table: str = "scores",
        score: float = 0.5,
        data: pa.Table | None = None,
        files: int = 1,
        key: tuple[str, ...] = ("id",),
        fingerprint: str = "",
        run: str = "run 1",
        attempt: str = "1",
        changes: Mapping[str, Any] | None = None,
        **output: Any,
    ) -> TableLoad:
        """Rows ``id``, ``label``, ``score``, or those of ``data``; the fingerprint is of the content, unless given."""
        rows = data if data is not None else scores(ids, score)
        size = -(-rows.num_rows // files) or 1
        parts = [self.part(rows.slice(start, size)) for start in range(0, rows.num_rows, size)]
        keys = zip(*(rows[name].to_pylist() for name in key), strict=True) if key else ()
        values: dict[str, Any] = {
            "table": self.output(table, **output),
            "columns": columns_of(rows),
            "key": key,
            "files": tuple(parts),
            "rows": rows.num_rows,
            "key_hash": hash_of(keys),
            "fingerprint": fingerprint or hashlib.sha256(str(rows.to_pydict()).encode()).hexdigest(),
            "run": run,
            "attempt": attempt,
            "published_by": "dag.task run",
        }
        return TableLoad(**(values | dict(changes or {})))

    def publish(self, load: TableLoad) -> Published:
        return publish_table(self.database, self.storage, load)

    def faults(self, load: TableLoad, **more: Any) -> list[str]:
        return destination_faults(self.database, load.table, load.columns, load.key, **more)

    def ids(self, table: str = "scores") -> list[int]:
        return [row[0] for row in self.sql(f'SELECT "id" FROM {{s}}."{table}" ORDER BY 1')]

    def books(self, columns: str = "partition") -> list[tuple[Any, ...]]:
        return self.sql(f"SELECT {columns} FROM {{s}}.{BOOKS} ORDER BY number")

    def leftovers(self) -> list[str]:
        """Staging tables and manifests that should have gone."""
        tables = self.cloud.redshift.query(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = :schema "
            "AND c.relname LIKE 'airflow_sklearn_staging%'",
            parameters={"schema": self.name},
        )
        root = self.output("any").staging
        return [row[0] for row in tables] + [o.uri for o in self.storage.list(f"{root}/") if "/copies/" in o.uri]


class Attempt(threading.Thread):
    """A publication in a thread; ``result()`` waits for it, and raises what it raised."""

    def __init__(self, place: Place, load: TableLoad) -> None:
        super().__init__(daemon=True)
        self._place, self._load = place, load
        self._result: Published | BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._place.publish(self._load)
        except BaseException as error:
            self._result = error

    def result(self) -> Published:
        self.join(PATIENCE)
        assert self._result is not None, "it still runs"
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result


def scores(ids: Sequence[int], score: float = 0.5) -> pa.Table:
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "label": pa.array([f"l{n}" for n in ids], pa.string()),
            "score": pa.array([score] * len(ids), pa.float64()),
        }
    )


def columns_of(rows: pa.Table) -> tuple[OutputColumnSpec, ...]:
    found = [output_column(column.name, str(column.type)) for column in rows.schema]
    return tuple(column for column in found if column is not None)
