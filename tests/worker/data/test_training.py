from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_sklearn.contract.data import CsvOptions, SourceFiles, SourceObject
from airflow_sklearn.exceptions import DataError
from airflow_sklearn.problems import ProblemCollector
from airflow_sklearn.worker.data import csv_blocks
from airflow_sklearn.worker.data.guess import ColumnGuess
from airflow_sklearn.worker.data.training import read_table
from tests.worker.data.helpers import BOOL, DATE, FLOAT, INT, STORAGE, TEXT, TIME, stored

ZONED = pa.timestamp("us", tz="UTC")
CATEGORIES = pa.dictionary(pa.int32(), pa.string())


def table_of(
    objects: Sequence[SourceObject], *, file_format: Any = "csv", exclude: Sequence[str] = (), **options: Any
) -> pa.Table:
    kinds = {name: options.pop(name) for name in ("types", "hive_partitions") if name in options}
    files = SourceFiles(
        uris=tuple(obj.uri for obj in objects), file_format=file_format, csv=CsvOptions(**options), **kinds
    )
    return read_table(STORAGE, files, objects, exclude=exclude, problems=ProblemCollector())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-2", "9007199254740993"], INT),
        (["1", "2.5"], FLOAT),
        (["1.0", "2.0"], FLOAT),
        (["1", "1e3", " 2 "], FLOAT),
        (["true", "FALSE"], BOOL),
        (["0", "1"], INT),
        (["true", "1"], TEXT),
        (["yes", "no"], TEXT),
        (["2013-01-02", "2013-12-31"], DATE),
        (["2013-01-02", "2013-01-02 05:06"], TIME),
        (["2013-01-02T05:06:07Z", "2013-01-02T05:06:07+02:00"], ZONED),
        (["2013-01-02", "2013-01-02T05:06:07Z"], TEXT),
        (["01/02/2013"], TEXT),
        (["00501", "10001"], TEXT),
        (["10001", "2.5", "00501"], TEXT),
        (["0", "-0", "0.5", "-0.5", "00.5"], TEXT),
        (["0", "-0", "0.5", "-0.5", "+0.5"], FLOAT),
        (["0", "10", "100"], INT),
        (["0x1F"], TEXT),
        (["12345678901234567890"], TEXT),
        (["1", "12345678901234567890", "1.5"], TEXT),
        (["1", "x"], TEXT),
        ([None, None], pa.null()),
        ([None, "1", None], INT),
    ],
)
def test_the_type_is_that_of_all_values_in_any_order_and_any_blocks(
    values: list[str | None], expected: pa.DataType
) -> None:
    rng = random.Random(0)
    for _ in range(20):
        shuffled = rng.sample(values, len(values))
        cut = rng.randint(0, len(values))
        guess = ColumnGuess()
        for block in (shuffled[:cut], shuffled[cut:]):
            guess.add(pa.array(block, pa.string()))
        assert guess.type == expected


def test_a_table_is_read_whole_with_types_of_all_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 64)
    rows = [f"{i},{i / 4 if i > 90 else i},{'abc'[i % 3]},0{i},name {i}" for i in range(100)]
    obj = stored(tmp_path / "t.csv", "\n".join(["id,x,category,code,name", *rows]).encode())
    table = table_of([obj])
    assert table.schema.types == [INT, FLOAT, CATEGORIES, TEXT, TEXT]
    assert table["id"].to_pylist() == list(range(100))
    assert table["x"].to_pylist() == [i / 4 if i > 90 else float(i) for i in range(100)]
    assert table["category"].to_pylist() == ["abc"[i % 3] for i in range(100)]
    assert table["code"].to_pylist() == [f"0{i}" for i in range(100)]


def test_files_may_have_their_columns_in_any_order(tmp_path: Path) -> None:
    objects = [stored(tmp_path / "1.csv", b"a,b\n1,x\n"), stored(tmp_path / "2.csv", b"b,a\ny,2.5\n")]
    assert table_of(objects).to_pydict() == {"a": [1.0, 2.5], "b": ["x", "y"]}


def test_types_that_are_given_go_before_what_would_be_inferred(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"zip,n\n501,1\n")
    table = table_of([obj], types={"zip": "string", "n": "double"})
    assert table.schema.field("n").type == FLOAT
    assert table["zip"].to_pylist() == ["501"]


def test_a_type_for_a_column_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'zap'"):
        table_of([stored(tmp_path / "t.csv", b"zip\n501\n")], types={"zap": "string"})


def test_excluded_columns_are_not_read(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"a,b\n1,x\n")
    assert table_of([obj], exclude=["b"]).column_names == ["a"]


def test_all_faults_of_all_files_are_reported_together(tmp_path: Path) -> None:
    objects = [
        stored(tmp_path / "1.csv", b"a,b\n1,2\n3\n"),
        stored(tmp_path / "2.csv", b"<html>\n"),
        stored(tmp_path / "3.csv", b"a,b\n1,2,3\n"),
    ]
    with pytest.raises(DataError) as raised:
        table_of(objects)
    kinds = {(problem.kind, problem.file) for problem in raised.value.problems}
    assert kinds == {
        ("wrong_field_count", objects[0].uri),
        ("not_csv", objects[1].uri),
        ("wrong_field_count", objects[2].uri),
    }


def test_a_column_that_one_file_lacks_is_an_error(tmp_path: Path) -> None:
    objects = [stored(tmp_path / "1.csv", b"a,b\n1,2\n"), stored(tmp_path / "2.csv", b"a\n1\n")]
    with pytest.raises(DataError) as raised:
        table_of(objects)
    assert [(p.kind, p.column, p.file) for p in raised.value.problems] == [("missing_column", "b", objects[1].uri)]


def test_folder_values_are_columns_with_a_type(tmp_path: Path) -> None:
    objects = [stored(tmp_path / f"year={year}" / "t.csv", b"a\n1\n") for year in (2012, 2013)]
    assert table_of(objects, hive_partitions=True).to_pydict() == {"a": [1, 1], "year": [2012, 2013]}


def test_no_objects_are_an_empty_table() -> None:
    assert table_of([]).num_rows == 0


def parquet(path: Path, **values: pa.Array) -> SourceObject:
    pq.write_table(pa.table(values), path)
    return STORAGE.stat(f"file://{path}")


def test_parquet_types_widen_over_files(tmp_path: Path) -> None:
    objects = [
        parquet(
            tmp_path / "1",
            a=pa.array([1], pa.int32()),
            b=pa.array([None], pa.null()),
            c=pa.array(["x"]).dictionary_encode(),
        ),
        parquet(tmp_path / "2", a=pa.array([2.5]), b=pa.array([3]), c=pa.array(["y"], pa.large_string())),
    ]
    table = table_of(objects, file_format="parquet")
    assert table.to_pydict() == {"a": [1.0, 2.5], "b": [None, 3], "c": ["x", "y"]}


def test_parquet_types_that_conflict_are_named_with_their_files(tmp_path: Path) -> None:
    objects = [parquet(tmp_path / "1", a=pa.array([1])), parquet(tmp_path / "2", a=pa.array(["x"]))]
    with pytest.raises(DataError) as raised:
        table_of(objects, file_format="parquet")
    problem = raised.value.problems[0]
    assert (problem.kind, problem.column) == ("conflicting_types", "a")
    assert problem.examples == (f"int64 in {objects[0].uri}", f"string in {objects[1].uri}")
    assert table_of(objects, file_format="parquet", types={"a": "string"}).to_pydict() == {"a": ["1", "x"]}
