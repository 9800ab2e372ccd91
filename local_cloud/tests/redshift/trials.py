"""What tests of Redshift stand on: a folder of their own in S3, and what the database says when it refuses."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local_cloud.redshift.standin import Redshift
from local_cloud.redshift_cloud import RedshiftCloud


class Folder:
    """A prefix of the test's own in S3."""

    def __init__(self, redshift_cloud: RedshiftCloud) -> None:
        self._s3, self._bucket = redshift_cloud.cloud.client(), redshift_cloud.bucket
        self._prefix = f"{uuid.uuid4().hex[:8]}/"
        self.uri = f"s3://{self._bucket}/{self._prefix}"

    def names(self) -> list[str]:
        """What there is."""
        found = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix).get("Contents", [])
        return [entry["Key"].removeprefix(self._prefix) for entry in found]

    def read(self, name: str) -> bytes:
        return self._s3.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"].read()

    def manifest(self) -> dict[str, Any]:
        """Redshift's."""
        return json.loads(self.read("manifest"))

    def table(self) -> pa.Table:
        """All Parquet files as one."""
        files = [name for name in self.names() if name.endswith(".parquet")]
        return pa.concat_tables(pq.read_table(BytesIO(self.read(name))) for name in files)

    def write(self, name: str, content: bytes) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=content)

    def write_table(self, name: str, table: pa.Table, **entry: Any) -> dict[str, Any]:
        """A Parquet file; its entry for a manifest."""
        content = BytesIO()
        pq.write_table(table, content)
        self.write(name, content.getvalue())
        meta = {"content_length": len(content.getvalue())}
        return {"url": self.uri + name, "mandatory": True, "meta": meta, **entry}

    def write_manifest(self, *entries: dict[str, Any]) -> str:
        """A manifest to load; its URI."""
        self.write("to-load", json.dumps({"entries": entries}).encode())
        return f"{self.uri}to-load"

    def load(self, redshift: Redshift, table: str, *entries: dict[str, Any]) -> None:
        """COPY the files of these entries."""
        manifest = self.write_manifest(*entries)
        redshift.query(f"COPY {table} FROM '{manifest}' IAM_ROLE default FORMAT AS PARQUET MANIFEST")


def refusal(call: Callable[[], Any]) -> dict[str, str]:
    """What Redshift says, by the protocol's one-letter names."""
    from redshift_connector.error import ProgrammingError

    with pytest.raises(ProgrammingError) as caught:
        call()
    return caught.value.args[0]
