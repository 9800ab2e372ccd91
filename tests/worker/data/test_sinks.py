from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_sklearn.contract.data import CsvOptions
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.worker.data import sinks
from airflow_sklearn.worker.data.registry import ReadColumn
from airflow_sklearn.worker.data.sinks import open_sink
from tests.worker.data.helpers import FLOAT, STORAGE, TEXT, columns, read

TABLE = pa.table({"id": range(1000), "s": ["a,b", None, 'q"', "", "x\ny"] * 200, "x": [i / 7 for i in range(1000)]})


def write(
    path: Path, tables: list[Any], schema: pa.Schema = TABLE.schema, file_format: Any = "parquet", **csv: Any
) -> bytes:
    with open_sink(str(path), schema, file_format, CsvOptions(**csv)) as sink:
        for table in tables:
            sink.write(table)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "file_format"), [("t.parquet", "parquet"), ("t.csv", "csv"), ("t.csv.gz", "csv"), ("t.csv.zst", "csv")]
)
def test_bytes_depend_on_the_rows_only(
    tmp_path: Path, name: str, file_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "_ROW_GROUP_ROWS", 64)
    at_once = write(tmp_path / name, [TABLE], file_format=file_format)
    encoded = TABLE.set_column(1, "s", TABLE["s"].dictionary_encode())
    pieces = [TABLE[:1], TABLE[1:1], encoded[1:300], *TABLE[300:].to_batches(max_chunksize=37)]
    (tmp_path / "again").mkdir()
    assert write(tmp_path / "again" / name, pieces, file_format=file_format) == at_once


def test_parquet_comes_back(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet", [TABLE])
    assert pq.read_table(tmp_path / "t.parquet").equals(TABLE)


def test_floats_come_back_to_the_bit_from_csv(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2**64, 20_000, np.uint64).view(np.float64)
    values = [*bits[np.isfinite(bits)].tolist(), 0.1 + 0.2, 5e-324, -0.0, 1e22, math.inf, -math.inf]
    table = pa.table({"x": values})
    write(tmp_path / "t.csv", [table], table.schema, "csv")
    back = read(STORAGE.stat(f"file://{tmp_path / 't.csv'}"), columns(x=FLOAT)).table["x"].to_pylist()
    assert struct.pack(f"{len(back)}d", *back) == struct.pack(f"{len(values)}d", *values)


def test_strings_come_back_from_csv_null_and_empty_as_null(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", [TABLE], file_format="csv")
    result = read(STORAGE.stat(f"file://{tmp_path / 't.csv'}"), [ReadColumn("s", TEXT)], newlines_in_values=True)
    assert result.table["s"].to_pylist() == [value or None for value in TABLE["s"].to_pylist()]


def test_csv_options_are_followed(tmp_path: Path) -> None:
    table = pa.table({"a": [1], "b": ["x"]})
    assert write(tmp_path / "1.csv", [table], table.schema, "csv", delimiter=";", header=False) == b'1;"x"\n'
    assert write(tmp_path / "2.csv", [table], table.schema, "csv", quote="") == b"a,b\n1,x\n"
    assert (
        gzip.decompress(write(tmp_path / "3", [table], table.schema, "csv", compression="gzip")) == b'"a","b"\n1,"x"\n'
    )


@pytest.mark.parametrize(
    "options",
    [{"quote": "'"}, {"encoding": "latin-1"}, {"delimiter": "§"}, {"decimal": ","}, {"thousands": " "}],
)
def test_dialects_that_cannot_be_written_are_refused(tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(UserError):
        open_sink(str(tmp_path / "t.csv"), TABLE.schema, "csv", CsvOptions(**options))


@pytest.mark.parametrize("file_format", ["parquet", "csv"])
def test_no_rows_are_a_file_with_columns(tmp_path: Path, file_format: str) -> None:
    data = write(tmp_path / "t", [TABLE[:0]], file_format=file_format)
    if file_format == "csv":
        assert data == b'"id","s","x"\n'
    else:
        assert pq.read_schema(tmp_path / "t").equals(TABLE.schema)


def test_columns_are_taken_by_name_and_become_the_declared_types(tmp_path: Path) -> None:
    schema = pa.schema([("b", pa.string()), ("a", pa.float64())])
    write(tmp_path / "t", [pa.table({"a": [1], "b": pa.array(["x"]).dictionary_encode()})], schema)
    assert pq.read_table(tmp_path / "t").equals(pa.table({"b": ["x"], "a": [1.0]}, schema=schema))
