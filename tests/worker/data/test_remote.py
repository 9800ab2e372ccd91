"""The same rows from S3 as from files."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from airflow_sklearn.exceptions import ObjectChangedError
from airflow_sklearn.storage import Storage
from local_cloud.ministack import Cloud
from tests.worker.data.helpers import INT, TEXT, columns, read

ROWS = 200_000
TABLE = pa.table({"a": range(ROWS), "b": [f"value {i % 1000}" for i in range(ROWS)]})


@pytest.fixture
def storage(cloud: Cloud) -> Storage:
    return Storage(lambda: boto3.client("s3", **cloud.boto3_kwargs))


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_rows_of_objects_are_read_once_over_any_cut(tmp_path: Path, storage: Storage, bucket: str, name: str) -> None:
    path, uri = str(tmp_path / name), f"s3://{bucket}/{name}"
    if name.endswith("parquet"):
        pq.write_table(TABLE, path, row_group_size=30_000)
    else:
        with pa.output_stream(path, compression="detect") as stream:
            pa_csv.write_csv(TABLE, stream)
    storage.upload(path, uri)
    obj = storage.stat(uri)
    cuts = [0, obj.size] if name.endswith("gz") else [0, obj.size // 3, obj.size // 2, obj.size]
    file_format = "parquet" if name.endswith("parquet") else "csv"
    parts = [
        read(obj, columns(b=TEXT, a=INT), start=start, end=end, file_format=file_format, storage=storage)
        for start, end in pairwise(cuts)
    ]
    assert pa.concat_tables(part.table for part in parts).equals(TABLE.select(["b", "a"]).combine_chunks())
    assert sum(part.reader.consumed.rows for part in parts) == ROWS


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_an_object_that_changed_is_an_error(tmp_path: Path, storage: Storage, bucket: str, file_format: str) -> None:
    uri = f"s3://{bucket}/changed"
    for rows in (10, 11):
        path = str(tmp_path / f"{rows}")
        if file_format == "parquet":
            pq.write_table(TABLE[:rows], path)
        else:
            pa_csv.write_csv(TABLE[:rows], path)
        storage.upload(path, uri)
        if rows == 10:
            obj = storage.stat(uri)
    with pytest.raises(ObjectChangedError):
        read(obj, columns(a=INT), file_format=file_format, storage=storage)
