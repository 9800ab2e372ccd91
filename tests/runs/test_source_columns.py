from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import pytest

from airflow_sklearn.contract.data import CsvOptions, SourceFiles
from airflow_sklearn.exceptions import ObjectNotFoundError
from airflow_sklearn.runs import source_columns
from airflow_sklearn.runs.source_columns import MOST_FILES, column_faults
from airflow_sklearn.storage import Storage

NEEDED = {"id": "primary key", "kind": "feature", "zip": "passthrough"}


def faults(folder: Path, pattern: str = "*.csv", **options: object) -> list[str]:
    storage, uri = Storage(), f"file://{folder}/{pattern}"
    files = {"file_format": "csv", "uris": (uri,), **options}
    return column_faults(storage, SourceFiles(**files), storage.expand((uri,), allow_empty=True), NEEDED)  # type: ignore[arg-type]


def test_each_missing_column_is_told_once_with_what_it_may_be_called_now(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,kind,zip\n")
    (tmp_path / "b.csv").write_text("id,Kind\n1,a\n")
    kind, zipped = faults(tmp_path)
    assert kind.startswith("column 'kind' (feature) is not in 1 of 2 files that were looked at, such as b.csv. ")
    assert "It has: id, Kind. Did you mean 'Kind'? Fix: add or rename" in kind
    assert "policies={'missing_columns': 'null'}" in kind
    assert "correct passthrough=... of sklearn_predict" in zipped


def test_a_space_at_the_end_of_a_name_is_seen_and_the_name_suggested(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,Kind ,zip\n")
    (fault,) = faults(tmp_path)
    assert "It has: id, 'Kind ', zip. Did you mean 'Kind '?" in fault


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_is_told_once_and_not_for_each_column(tmp_path: Path, delimiter: str) -> None:
    (tmp_path / "a.csv").write_text(delimiter.join(NEEDED) + "\n")
    (fault,) = faults(tmp_path)
    assert f"is the delimiter {delimiter!r}? Then say Dataset(uri, delimiter={delimiter!r})" in fault


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("id,kind,zip\r\n1,a,b\r\n", {}),
        ("\ufeffid,kind,zip\n", {}),
        ("\nid,kind,zip\n", {}),
        ('"id";"kind";"zip"\n', {"delimiter": ";"}),
        ('id,"a\nb",kind,zip\n', {"newlines_in_values": True}),
        ("x,y,z\n", {"column_names": ("id", "kind", "zip")}),
        ("1,2,3\n", {"column_names": ("id", "kind", "zip"), "header": False}),
    ],
)
def test_headers_are_read_as_the_worker_reads_them(tmp_path: Path, text: str, options: dict[str, object]) -> None:
    (tmp_path / "a.csv").write_bytes(text.encode())
    assert faults(tmp_path, csv=CsvOptions(**options)) == []  # type: ignore[arg-type]


def test_names_that_look_the_same_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,kind,zip,cafe\u0301\n", encoding="utf-8")
    storage, uri = Storage(), f"file://{tmp_path}/a.csv"
    source = SourceFiles(file_format="csv", uris=(uri,))
    assert column_faults(storage, source, storage.expand((uri,)), {"caf\u00e9": "feature"}) == []


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "utf-8-sig"])
def test_headers_of_other_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes("id,kind,zip,caf\u00e9\n".encode(encoding))
    assert faults(tmp_path, csv=CsvOptions(encoding=encoding)) == []
    (tmp_path / "a.csv").write_bytes("id,kind\n".encode(encoding))
    assert len(faults(tmp_path, csv=CsvOptions(encoding=encoding))) == 1


def test_compressed_headers_are_read(tmp_path: Path) -> None:
    text = b"id,kind\n" + b"1,a\n" * 100_000
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text))
    (tmp_path / "b.csv.bz2").write_bytes(bz2.compress(text))
    (fault,) = faults(tmp_path, "*")
    assert fault.startswith("column 'zip' (passthrough) is not in 2 of 2 files")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no line ends here",
        b"1,2,2026-01-01\n3,4,2026-01-02\n",
        b"\xff\xfe\x00broken",
        gzip.compress(b"id,kind\n")[:8],
    ],
    ids=range(5),
)
def test_what_is_not_understood_is_left_to_the_worker(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    (tmp_path / "b.csv.gz").write_bytes(data)
    assert faults(tmp_path, "*") == []


def test_a_file_that_is_gone_is_left_to_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text("id\n")

    def gone(*_: object, **__: object) -> bytes:
        raise ObjectNotFoundError("gone")

    monkeypatch.setattr(Storage, "read", gone)
    assert faults(tmp_path) == []


def test_folders_name_columns_where_that_is_declared(tmp_path: Path) -> None:
    for folder in ("zip=1", "zip=2"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.csv").write_text("id,kind\n")
    assert faults(tmp_path, "*/a.csv", hive_partitions=True) == []
    assert len(faults(tmp_path, "*/a.csv")) == 1


def test_few_of_many_files_are_looked_at_the_first_and_the_last_among_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(300):
        (tmp_path / f"{number:03}.csv").write_text("id,kind,zip\n" if number < 299 else "id,kind\n")
    read: list[str] = []
    columns = source_columns._columns
    monkeypatch.setattr(
        source_columns, "_columns", lambda storage, source, obj: read.append(obj.uri) or columns(storage, source, obj)
    )
    assert len(faults(tmp_path)) == 1
    assert len(set(read)) == MOST_FILES
    assert read[0].endswith("/000.csv")
    assert read[-1].endswith("/299.csv")


def test_columns_of_parquet_are_in_its_footer(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    wide = {f"column_{number}": [1] for number in range(3000)}  # a footer beyond the first look
    pq.write_table(pa.table({"id": [1], "kind": ["a"], **wide}), tmp_path / "a.parquet")
    (fault,) = faults(tmp_path, "*.parquet", file_format="parquet")
    assert fault.startswith("column 'zip' (passthrough) is not in a.parquet. It has: id, kind, column_0")
    (tmp_path / "a.parquet").write_bytes(b"no Parquet at all, but long enough")
    assert faults(tmp_path, "*.parquet", file_format="parquet") == []
