"""Keys and passthrough columns come out as they went in, or the chunk says why not."""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_sklearn.contract.data import OutputFiles, SourceFiles
from airflow_sklearn.contract.jobs import JobResult
from airflow_sklearn.contract.schema import Column
from tests.worker.workbench import Workbench, error_of, problems_of

ROWS = 60


def rows(**others: Any) -> pa.Table:
    columns = {"key": range(ROWS), "x": [i / 7 for i in range(ROWS)], "y": [i % 2 for i in range(ROWS)], **others}
    return pa.table(columns)


def run(bench: Workbench, source: SourceFiles, **options: Any) -> JobResult:
    plan, _ = bench.plan(source, **options)
    return bench.run_chunk(plan)


def many(bench: Workbench) -> SourceFiles:
    return SourceFiles(uris=(f"{bench.root}/many/",), file_format="parquet")


def test_codes_are_never_silently_numbers(bench: Workbench) -> None:
    train = "key,zip,amount,x,y\n" + "".join(f"{i},{10001 + i},{i}.5,{i / 7},{i % 2}\n" for i in range(ROWS))
    bench.train(bench.write_bytes(train.encode(), "t.csv"))
    source = bench.write_bytes(
        b"key,zip,amount,x\n0007,00501, 007.5,1\n8,0,0.5,1\n9,-3,12345678901234567890,1\n", "p.csv"
    )
    result = run(bench, source, passthrough=("zip", "amount"))
    assert problems_of(result) == {("wrong_type", "key"): 1, ("wrong_type", "zip"): 1, ("wrong_type", "amount"): 2}
    assert "'00501' at" in error_of(result)
    assert "types={'zip': 'string'}" in error_of(result)


def test_keys_and_passthrough_columns_of_a_csv_keep_their_spelling(bench: Workbench) -> None:
    codes = {
        "key": [f"{250 + i // 10}.{i % 10}0" for i in range(ROWS)],
        "phone": [f"+49151{i:07d}" for i in range(ROWS)],
        "article": [f"{100 + i}E4" for i in range(ROWS)],
        "price": [f"{i}.50" for i in range(ROWS)],
        "padded": [f" {i}" for i in range(ROWS)],
        "country": [("NA", "DE", "n/a", "")[i % 4] for i in range(ROWS)],
        "x": [repr(i / 7) for i in range(ROWS)],
        "y": [str(i % 2) for i in range(ROWS)],
    }
    lines = [",".join(codes), *(",".join(row) for row in zip(*codes.values(), strict=True))]
    source = bench.write_bytes("\n".join(lines).encode() + b"\n", "t.csv")
    manifest = bench.train(source)
    names = ["phone", "article", "price", "padded", "country", "x"]
    out = bench.predict(source, passthrough=tuple(names), chunks=3)
    for name in ("key", *names[:-2]):
        assert out[name].to_pylist() == codes[name], name
    assert out["country"].to_pylist() == [country or None for country in codes["country"]]
    assert out["x"].to_pylist() == [i / 7 for i in range(ROWS)]
    kinds = {feature.name: feature.kind for feature in manifest.feature_schema.features}
    assert {kinds[name] for name in ("phone", "price", "padded", "x")} == {"numeric"}


def test_what_is_carried_of_a_model_that_knows_the_column_as_a_number_is_spelled_as_one(bench: Workbench) -> None:
    train = "key,x,y\n" + "".join(f"{i},{i / 7},{i % 2}\n" for i in range(ROWS))
    bench.train(bench.write_bytes(train.encode(), "t.csv"))
    result = run(bench, bench.write_bytes(b"key,x\n+5,1\n 6,1\n7.0,1\n8,2.50\n", "p.csv"), passthrough=("x",))
    assert problems_of(result) == {("wrong_type", "key"): 3}


def test_a_feature_that_is_not_carried_may_be_spelled_like_a_code(bench: Workbench) -> None:
    train = "key,zip,y\n" + "".join(f"{i},{10001 + i},{i % 2}\n" for i in range(ROWS))
    bench.train(bench.write_bytes(train.encode(), "t.csv"))
    codes = bench.predict(bench.write_bytes(b"key,zip\n1,00501\n", "p.csv"))
    assert codes.equals(bench.predict(bench.write_bytes(b"key,zip\n1,501\n", "q.csv")))


def test_a_key_that_was_declared_to_be_a_number_is_one(bench: Workbench) -> None:
    train = "key,x,y\n" + "".join(f"{i:05d},{i / 7},{i % 2}\n" for i in range(ROWS))
    bench.write_bytes(train.encode(), "t.csv")
    source = SourceFiles(uris=(f"{bench.root}/t.csv",), file_format="csv", types={"key": "int64"})
    bench.train(source)
    assert bench.predict(source)["key"].to_pylist() == list(range(ROWS))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (pa.array([1, 2], pa.int8()), pa.array([300, 4], pa.int32()), pa.int64()),
        (pa.array([1.5, 2], pa.float32()), pa.array([3, 4]), pa.float64()),
        (pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), ["a", "b"]), pa.array(["c", None]), pa.string()),
        (pa.nulls(2), pa.array(["c", "d"], pa.large_string()), pa.string()),
        (
            pa.array([dt.datetime(2020, 1, 1)] * 2, pa.timestamp("ms")),
            pa.array([dt.datetime(2020, 1, 1)] * 2, pa.timestamp("ns")),
            pa.timestamp("us"),
        ),
    ],
)
def test_a_column_that_training_lacked_has_one_type_over_files(
    bench: Workbench, first: pa.Array, second: pa.Array, expected: pa.DataType
) -> None:
    bench.train(bench.write(rows(), "t.parquet"))
    for name, note, keys in (("a", first, [1, 2]), ("b", second, [3, 4])):
        bench.write(pa.table({"key": keys, "x": [0.5, 1.0], "note": note}), f"many/{name}.parquet")
    plan, _ = bench.plan(many(bench), passthrough=("note",))
    assert bench.run_chunk(plan).status == "succeeded"
    receipt = bench.receipt(plan)
    assert receipt.columns[:2] == (
        Column(name="key", arrow_type="int64"),
        Column(name="note", arrow_type=str(expected)),
    )
    assert [column.name for column in receipt.columns[2:]] == ["y_proba_0", "y_proba_1"]
    found = pq.read_table(receipt.parts[0].uri.removeprefix("file://"))
    assert found.schema.field("note").type == expected
    assert found["note"].to_pylist() == first.to_pylist() + second.to_pylist()


def test_a_damaged_first_file_is_a_problem_of_the_data(bench: Workbench) -> None:
    bench.train(bench.write(rows(), "t.parquet"))
    source = bench.write_bytes(b"PAR1xxxx", "bad.parquet")
    result = run(bench, source, passthrough=("note",))
    assert ("truncated_file", None) in problems_of(result) or ("not_parquet", None) in problems_of(result)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_column_without_a_value_in_training_carries_text(bench: Workbench, name: str) -> None:
    manifest = bench.train(bench.write(rows(note=pa.nulls(ROWS)), name))
    assert Column(name="note", arrow_type="string") in manifest.columns
    found = bench.predict(
        bench.write(rows(note=[f"n{i}" for i in range(ROWS)]), f"p-{name}"),
        passthrough=("note",),
        policies={"wrong_types": "null"},
    )
    assert found["note"].to_pylist() == [f"n{i}" for i in range(ROWS)]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[1, 2]] * ROWS),
        pa.array([{"a": 1}] * ROWS),
        pa.array([b"ab"] * ROWS, pa.binary(2)),
        pa.array([b"ab"] * ROWS),
    ],
    ids=["list", "struct", "fixed_size_binary", "binary"],
)
def test_columns_of_types_that_are_not_learned_from_can_be_excluded_and_carried(
    bench: Workbench, values: pa.Array
) -> None:
    source = bench.write(rows(z=values), "t.parquet")
    bench.train(source, excluded_columns=("z",))
    assert bench.predict(source).num_rows == ROWS
    assert bench.predict(source, passthrough=("z",))["z"].to_pylist() == values.to_pylist()


def test_bytes_of_one_length_may_be_keys_but_lists_may_not(bench: Workbench) -> None:
    keys = pa.array([i.to_bytes(16, "big") for i in range(ROWS)], pa.binary(16))
    source = bench.write(rows(key=keys), "t.parquet")
    bench.train(source)
    assert bench.predict(source)["key"].to_pylist() == keys.to_pylist()
    result = bench.run(bench.train_job(bench.write(rows(key=[[i] for i in range(ROWS)]), "t.parquet")))
    assert problems_of(result) == {("wrong_type", "key"): 1}
    assert "list<" in error_of(result)


@pytest.mark.parametrize(
    ("values", "quote"), [(pa.array(["a,b"] * ROWS), ""), (pa.array([[1]] * ROWS), '"')], ids=["comma", "list"]
)
def test_what_csv_cannot_hold_is_the_users_error(bench: Workbench, values: pa.Array, quote: str) -> None:
    bench.train(bench.write(rows(), "t.parquet"))
    output = OutputFiles(uri=f"{bench.root}/out", file_format="csv", csv={"quote": quote})
    result = run(bench, bench.write(rows(note=values), "p.parquet"), passthrough=("note",), destination=output)
    assert result.error is not None
    assert result.error.kind == "user"
    assert "cannot be written as CSV" in error_of(result)


@pytest.mark.parametrize("name", ["p.csv", "p.parquet"])
def test_advice_on_a_missing_carried_column_does_not_name_a_policy_that_would_not_help(
    bench: Workbench, name: str, tmp_path: Path
) -> None:
    bench.train(bench.write(rows(), "t.parquet"))
    result = run(bench, bench.write(rows().drop_columns(["key"]), name), passthrough=("note",))
    assert set(problems_of(result)) == {("missing_column", "key"), ("missing_column", "note")}
    assert "missing_columns=" not in error_of(result)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (pa.array([i.to_bytes(16) for i in range(ROWS)], pa.binary(16)), [i.to_bytes(16) for i in range(ROWS)]),
    ]
    + (
        [(pa.array([i.to_bytes(16) for i in range(ROWS)], pa.uuid()), [str(uuid.UUID(int=i)) for i in range(ROWS)])]
        if hasattr(pa, "uuid")  # pyarrow before 18 has no such type
        else []
    ),
)
def test_a_uuid_is_a_key(bench: Workbench, key: pa.Array, expected: list[Any]) -> None:
    source = bench.write(rows(key=key), "t.parquet")
    bench.train(source)
    assert bench.predict(source, chunks=3)["key"].to_pylist() == expected


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_no_policy_reads_a_wrong_key_as_null(bench: Workbench, name: str) -> None:
    bench.train(bench.write(rows(), name))
    source = bench.write(rows(key=[f"+{i}" if i % 3 == 0 else str(i) for i in range(ROWS)]), f"p-{name}")
    for policy in ("error", "null"):
        result = run(bench, source, policies={"wrong_types": policy})
        assert problems_of(result) == {("wrong_type", "key"): 20}
        assert "policies={'wrong_types': 'quarantine'}" in error_of(result)
    found = bench.predict(source, policies={"wrong_types": "quarantine"})
    assert found["key"].to_pylist() == [i for i in range(ROWS) if i % 3]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_whole_numbers_that_a_carried_float_would_round_are_refused(bench: Workbench, name: str) -> None:
    bench.train(bench.write(rows(amount=[i + 0.5 for i in range(ROWS)]), name))
    wrong = bench.write(rows(amount=[2**53 + i for i in range(ROWS)]), f"p-{name}")
    assert problems_of(run(bench, wrong, passthrough=("amount",))) == {("wrong_type", "amount"): ROWS // 2}
    even = [2**53 + 2 * i for i in range(ROWS)]
    right = bench.write(rows(amount=even), f"q-{name}")
    assert bench.predict(right, passthrough=("amount",))["amount"].to_pylist() == even


def test_nan_is_no_key(bench: Workbench) -> None:
    good = bench.write(rows(key=[float(i) for i in range(ROWS)]), "t.parquet")
    bad = bench.write(rows(key=[float("nan"), None, *(float(i) for i in range(2, ROWS))]), "bad.parquet")
    assert problems_of(bench.run(bench.train_job(bad)))[("null_key", "key")] == 2
    bench.train(good)
    assert problems_of(run(bench, bad))[("null_key", "key")] == 2


def test_a_key_has_any_name(bench: Workbench) -> None:
    table = rows().rename_columns(["count_all", "x", "y"])
    source = bench.write(table, "t.parquet")
    bench.train(source, primary_key=("count_all",))
    assert bench.predict(source)["count_all"].to_pylist() == list(range(ROWS))
    twice = bench.write(table.set_column(0, "count_all", pa.array([7, 7, *range(7, ROWS + 5)])), "twice.parquet")
    result = bench.run(bench.train_job(twice, primary_key=("count_all",)))
    assert problems_of(result) == {("duplicate_key", "count_all"): 2}
    assert "7" in error_of(result)
