from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_sklearn.contract.data import NULL_SPELLINGS, CsvOptions, SourceFiles, SourceObject
from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.exceptions import DataError
from airflow_sklearn.worker.data.csv import blocks as csv_blocks
from airflow_sklearn.worker.data.csv.guess import ColumnGuess
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
    return read_table(STORAGE, files, objects, exclude=exclude, problems=ProblemCollector()).table


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
        (["2013-01-02 05:06:07 UTC", "2013-01-02 05:06:07.25 utc"], ZONED),
        (["2013-01-02 05:06:07 +02:00", "2013-01-02 05:06:07 GMT", "2013-01-02T05:06:07+0200"], ZONED),
        (["2013-01-02 05:06:07 UTC", "2013-01-02 05:06:07"], TEXT),
        (["2013-01-02 05:06:07 CET"], TEXT),
        (["2013-01-02", "2013-01-02 05:06", "2013-01-02 05:06:07.123456789"], pa.timestamp("ns")),
        (["2013-01-02T05:06:07Z", "2013-01-02T05:06:07.123456789+02:00"], pa.timestamp("ns", tz="UTC")),
        (["9999-12-31", "2013-01-02 05:06:07.123456789"], TEXT),
        (["2013-01-02 05:06:07.123456789", "2013-01-02 05:06:07", "2013-01-02"], pa.timestamp("ns")),
        (["2013-01-02 05:06:07.123456789Z", "2013-01-02 05:06:07Z"], pa.timestamp("ns", tz="UTC")),
        (["2013-01-02 05:06:07.123456789", "1200-01-02"], TEXT),
        (["01/02/2013"], TEXT),
        (["00501", "10001"], TEXT),
        (["10001", "2.5", "00501"], TEXT),
        (["0", "-0", "0.5", "-0.5", "00.5"], TEXT),
        (["0", "-0", "0.5", "-0.5", "+0.5"], FLOAT),
        (["0", "10", "100"], INT),
        (["0x1F"], TEXT),
        (["12345678901234567890"], TEXT),
        (["1", "12345678901234567890", "1.5"], TEXT),
        (["1234567890123456789", "1.5"], TEXT),
        (["1234567890123456789", "3"], INT),
        (["12345678901234567", "1.5"], FLOAT),
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


@pytest.mark.parametrize(
    ("values", "carried", "key"),
    [
        (["1", "-2", "0"], INT, INT),
        (["1", "+2"], TEXT, TEXT),
        (["1", " 2"], TEXT, TEXT),
        (["1", "-0"], TEXT, TEXT),
        (["250.10", "250.20"], TEXT, TEXT),
        (["+4915112345", "+4915112346"], TEXT, TEXT),
        (["100E4", "1e3"], TEXT, TEXT),
        (["0.5", "-0.25", "3", "5.0"], FLOAT, TEXT),
        (["0.5", "0.50"], TEXT, TEXT),
        ([".5", "1.5"], TEXT, TEXT),
        (["-.5", "1.5"], TEXT, TEXT),
        (["5.", "1.5"], TEXT, TEXT),
        (["0.1234567890123456", "12.5"], FLOAT, TEXT),
        (["0.12345678901234567890", "12.5"], TEXT, TEXT),
        (["12345678901234567", "1.5"], TEXT, TEXT),
        (["12345678901234567", "3"], INT, INT),
        (["true", "false"], BOOL, BOOL),
        (["true", "FALSE"], TEXT, TEXT),
        (["2013-01-02", "2013-12-31"], DATE, DATE),
        (["2013-01-02", " 2013-12-31"], TEXT, TEXT),
        (["2013-01-02 05:06", "2013-01-02T05:06:07"], TIME, TIME),
        (["2013-01-02T05:06:07Z", "2013-01-02 05:06:07+00:00"], ZONED, ZONED),
        (["2013-01-02T05:06:07Z", "2013-01-02T05:06:07+02:00"], TEXT, TEXT),
        (["x", "1"], TEXT, TEXT),
    ],
)
def test_what_would_not_keep_its_spelling_is_carried_as_text_in_any_order_and_any_blocks(
    values: list[str], carried: pa.DataType, key: pa.DataType
) -> None:
    rng = random.Random(0)
    for _ in range(10):
        shuffled = rng.sample([*values, None], len(values) + 1)
        cut = rng.randint(0, len(shuffled))
        guess = ColumnGuess()
        for block in (shuffled[:cut], shuffled[cut:]):
            guess.add(pa.array([None, *block], pa.string())[1:])
        assert (guess.output, guess.key) == (carried, key)


@pytest.mark.parametrize("block_bytes", [16, 64, 1 << 20])
def test_a_type_does_not_depend_on_where_blocks_are_cut(
    tmp_path: Path, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", block_bytes)
    obj = stored(tmp_path / "t.csv", b"a,b\n" + b"1234567890123456789,1\n" * 3 + b"1.5,2.5\n" * 3)
    table = table_of([obj])
    assert table.schema.types == [CATEGORIES, FLOAT]
    assert table["a"][0].as_py() == "1234567890123456789"


@pytest.mark.parametrize("word", NULL_SPELLINGS)
def test_what_pandas_takes_for_a_null_makes_no_text_of_numbers_booleans_and_dates(tmp_path: Path, word: str) -> None:
    rows = f"a,b,c,d,e\n1,1.5,true,2013-01-02,x\n{word},{word},{word},{word},{word}\n"
    table = table_of([stored(tmp_path / "t.csv", rows.encode())])
    assert table.schema.types == [INT, FLOAT, BOOL, DATE, CATEGORIES]
    assert list(table.to_pylist()[1].values()) == [None] * 5


def test_a_class_and_a_key_may_be_spelled_like_a_null(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"id,y,n,only\nNA,None,1,NA\nDE,Mild,NA,NA\n,,2,\n")
    files = SourceFiles(uris=(obj.uri,), file_format="csv")
    read = read_table(
        STORAGE, files, [obj], keys=("id", "only"), labels=("y", "n"), problems=ProblemCollector()
    ).table.to_pydict()
    assert read == {
        "id": ["NA", "DE", None],
        "y": ["None", "Mild", None],
        "n": [1, None, 2],
        "only": ["NA", "NA", None],
    }


def test_null_values_that_are_given_hold_for_keys_and_classes_too(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"id,y\nNA,None\nDE,-\n")
    files = SourceFiles(uris=(obj.uri,), file_format="csv", csv=CsvOptions(null_values=("NA", "-")))
    read = read_table(STORAGE, files, [obj], keys=("id",), labels=("y",), problems=ProblemCollector()).table
    assert read.to_pydict() == {"id": [None, "DE"], "y": ["None", None]}


@pytest.mark.parametrize("name", ["", " ", "Unnamed: 0", "Unnamed: 0_level_1"])
def test_the_index_of_a_data_frame_is_left_out_with_a_warning(tmp_path: Path, name: str) -> None:
    objects = [stored(tmp_path / f"{i}.csv", f"{name},a,{name}\n7,1,8\n".encode()) for i in range(2)]
    with pytest.warns(UserWarning, match="index of a pandas DataFrame") as warned:
        assert table_of(objects).to_pydict() == {"a": [1, 1]}
    assert len(warned) == 1


def test_a_column_that_looks_like_an_index_is_read_when_it_is_named(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"Unnamed: 0,a\n7,1\n")
    assert table_of([obj], types={"Unnamed: 0": "int64"}).column_names == ["Unnamed: 0", "a"]


def test_names_that_look_the_same_are_one_name(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    objects = [stored(tmp_path / f"{i}.csv", f"{n},b\n{i},x\n".encode()) for i, n in enumerate((composed, decomposed))]
    assert table_of(objects).to_pydict() == {composed: [0, 1], "b": ["x", "x"]}
    assert table_of(objects, types={decomposed: "string"}).to_pydict() == {decomposed: ["0", "1"], "b": ["x", "x"]}
    both = stored(tmp_path / "both.csv", f"{composed},{decomposed}\n1,2\n".encode())
    with pytest.raises(DataError, match=r"look the same: 'caf\\xe9', 'cafe\\u0301'"):
        table_of([both])


def test_advice_on_training_data_is_advice_that_training_takes(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"a,b\n1,x\n2,y,z\n")
    with pytest.raises(DataError, match="wrong_field_count") as raised:
        table_of([obj], types={"b": "double"})
    obj = stored(tmp_path / "t.csv", b"a,b\n1,x\n")
    with pytest.raises(DataError, match=r"types={'b': 'string'}") as other:
        table_of([obj], types={"b": "double"})
    objects = [stored(tmp_path / name, text) for name, text in (("1.csv", b"a,b\n1,x\n"), ("2.csv", b"a\n1\n"))]
    with pytest.raises(DataError, match=r"missing_column: column 'b'[\s\S]*excluded_columns") as third:
        table_of(objects)
    assert "policies" not in f"{raised.value} {other.value} {third.value}"


def test_a_header_among_the_rows_is_found_in_training(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"a,b\n1,x\na,b\n2,y\n")
    with pytest.raises(DataError) as raised:
        table_of([obj])
    assert [(p.kind, p.file, p.examples) for p in raised.value.problems] == [
        ("repeated_header", obj.uri, ("at byte 8",))
    ]


@pytest.mark.parametrize(
    ("options", "values", "expected"),
    [
        ({"decimal": ","}, ["1,25", "-0,5", "3", "1e2"], [1.25, -0.5, 3.0, 100.0]),
        ({"decimal": ",", "thousands": "."}, ["1.234,5", "12.345.678", "-7"], [1234.5, 12345678.0, -7.0]),
        ({"thousands": ","}, ["1,234.5", "12", "0.5"], [1234.5, 12.0, 0.5]),
        ({"thousands": ","}, ["1,234", "12,34,567"], [1234, 1234567]),
        ({"thousands": " "}, ["1 234", " 5 "], [1234, 5]),
        ({"thousands": "\u202f", "decimal": ","}, ["1\u202f234,5", ""], [1234.5, None]),
        ({"thousands": "'"}, ["1'234.5", "NA"], [1234.5, None]),
        ({"decimal": ","}, ["1.25", "2,5"], ["1.25", "2,5"]),
        ({"decimal": ",", "thousands": "."}, ["1.5", "2,5"], ["1.5", "2,5"]),
        ({"thousands": ","}, ["1,5", "2"], ["1,5", "2"]),
        ({"thousands": ","}, ["1,2345", "2"], ["1,2345", "2"]),
    ],
)
@pytest.mark.parametrize("block_bytes", [16, 1 << 20])
def test_numbers_are_read_as_the_dialect_spells_them(
    tmp_path: Path,
    options: dict[str, str],
    values: list[str],
    expected: list[Any],
    block_bytes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", block_bytes)
    rows = "".join(f'"{value}";x\n' for value in values)
    obj = stored(tmp_path / "t.csv", f"a;b\n{rows}".encode())
    assert table_of([obj], delimiter=";", **options)["a"].to_pylist() == expected
    numbers = [value for value in expected if value is not None]
    if not isinstance(numbers[0], str):
        declared = table_of([obj], delimiter=";", types={"a": "decimal128(20, 2)"}, **options)["a"].to_pylist()
        assert [None if v is None else float(v) for v in declared] == expected


def test_moments_with_the_name_of_their_zone_are_those_moments(tmp_path: Path) -> None:
    spelled = ["05:06:07 UTC", "05:06:07Z", "07:06:07 +02:00", "07:06:07+0200", "05:06:07 GMT"]
    obj = stored(tmp_path / "t.csv", b"a,b\n" + b"".join(f"2013-01-02 {s},x\n".encode() for s in spelled))
    table = table_of([obj])
    assert table.schema.field("a").type == ZONED
    assert {value.isoformat() for value in table["a"].to_pylist()} == {"2013-01-02T05:06:07+00:00"}
    with pytest.raises(DataError, match="wrong_type"):
        table_of([obj], types={"a": "timestamp[us]"})


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
