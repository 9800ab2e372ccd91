"""A schema of a test's own in the Redshift stand-in, and DAGs over its tables, as source."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from local_cloud.redshift_cloud import RedshiftCloud

ROWS = 600
RUNTIME = "LocalRuntime(processes=1)"


@dataclass
class Warehouse:
    """One schema with the table ``customers``, from which ``y`` can be learned, and a staging folder in S3.

    :param options: arguments of every RedshiftTable, as source: the way in.
    :param database: what the way in is called in asset URIs.
    """

    cloud: RedshiftCloud
    options: str = ""
    database: str = "redshift_default"
    schema: str = field(default_factory=lambda: f"s{uuid.uuid4().hex[:10]}")

    def __post_init__(self) -> None:
        table = f"{self.schema}.customers"
        self.query(
            f"CREATE SCHEMA {self.schema}",
            f"CREATE TABLE {table} (id bigint, day date, x double precision, kind varchar(8), y boolean)",
            f"INSERT INTO {table} SELECT i, DATEADD(day, MOD(i, 3), '2026-01-01'), MOD(i * 37, 101) / 10.0, "
            f"SUBSTRING('abc', 1 + MOD(i, 3), 1), MOD(i * 37, 101) > 50 FROM generate_series(0, {ROWS - 1}) AS g(i)",
        )

    @property
    def staging(self) -> str:
        return f"s3://{self.cloud.bucket}/{self.schema}"

    def query(self, *statements: str) -> list[tuple[Any, ...]]:
        """Each statement in a transaction of its own; the rows of the last one."""
        return self.cloud.redshift.query(*statements)

    def keys(self, table: str = "scores", where: str = "true") -> list[int]:
        """The primary keys in a table, in order."""
        return [key for (key,) in self.query(f"SELECT id FROM {self.schema}.{table} WHERE {where} ORDER BY id")]

    def objects(self, below: str = "") -> list[str]:
        """The keys of what lies in the staging folder."""
        client = self.cloud.cloud.client()
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=self.cloud.bucket, Prefix=f"{self.schema}/{below}"
        )
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    # --- DAGs, as source ---

    def table(self, name: str, **options: str) -> str:
        """Source of a RedshiftTable in the schema; ``options`` are arguments as source."""
        said = {"staging": repr(self.staging), **options}
        arguments = ", ".join([repr(f"{self.schema}.{name}"), *(f"{key}={value}" for key, value in said.items())])
        return f"RedshiftTable({arguments}{', ' * bool(self.options)}{self.options})"

    def train(self, **changes: str) -> str:
        arguments = {
            "task_id": "'train'",
            "estimator": "'sparse_logistic'",
            "source": self.table("customers"),
            "target": "'y'",
            "primary_key": "'id'",
            "excluded_columns": "['day']",
            "model": f"'{self.staging}/model'",
            "cross_validation": "0",
            "runtime": RUNTIME,
            **changes,
        }
        return f"train = SklearnTrainOperator({', '.join(f'{k}={v}' for k, v in arguments.items())})\n"

    def predict(self, model: str = "train.output", **changes: str) -> str:
        arguments = {
            "group_id": "'score'",
            "model": model if model == "train.output" else repr(model),
            "source": self.table("customers"),
            "destination": self.table("scores", if_exists="'replace'"),
            "chunk_size": "2000",
            "max_chunks": "3",
            "runtime": RUNTIME,
            **changes,
        }
        return f"score = sklearn_predict({', '.join(f'{k}={v}' for k, v in arguments.items())})\n"
