"""Parquet as Redshift unloads it, trained on and predicted from; and predictions as tables take them."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_sklearn.contract.data import SourceFiles
from airflow_sklearn.contract.jobs import JobResult
from airflow_sklearn.contract.receipt import Receipt
from airflow_sklearn.contract.schema import Column
from airflow_sklearn.contract.tables import Snapshot, TableColumn
from airflow_sklearn.worker.key_hash import hash_columns
from tests.worker.workbench import Workbench, error_of, problems_of

ROWS = 240
_START = dt.datetime(1969, 12, 31, 23, 59, 59, 999_999)
_LONG_AGO, _FOR_EVER = dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)
_TEXTS = [
    "",
    None,
    "plain",
    'a "quote", a comma',
    "two\nlines\r\nthree",
    "Zürich 数字 🙂",
    " padded ",
    "NULL",
    "\\N",
    "0012",
]


def unloaded(rows: int = ROWS) -> pa.Table:
    """All types that UNLOAD writes, with the values that get lost on the way elsewhere."""
    rng = np.random.default_rng(0)
    every_seventh = np.arange(rows) % 7 == 3
    columns = {
        "id": pa.array([2**53 + 1 + i for i in range(rows)]),
        "price": pa.array(
            [Decimal(i * 7 - 500).scaleb(-2) for i in range(rows)], pa.decimal128(18, 2), mask=every_seventh
        ),
        "huge": pa.array([Decimal(10**37 + i) for i in range(rows)], pa.decimal128(38, 0)),
        "small": pa.array(rng.integers(-300, 300, rows), pa.int16(), mask=every_seventh),
        "day": pa.array([dt.date(1900, 1, 1) + dt.timedelta(days=31 * i) for i in range(rows)], mask=every_seventh),
        "moment": pa.array(
            [_LONG_AGO, _FOR_EVER, *(_START + dt.timedelta(seconds=i, microseconds=i) for i in range(rows - 2))],
            pa.timestamp("us"),
        ),
        "flag": pa.array(rng.random(rows) < 0.5, mask=every_seventh),
        "long": pa.array([(-1) ** i * (2**62 + i) for i in range(rows)], pa.int64()),
        "text": pa.array([_TEXTS[i % len(_TEXTS)] for i in range(rows)]),
        "ratio": pa.array(rng.normal(size=rows).astype(np.float32), mask=every_seventh),
        "y": pa.array(rng.integers(0, 2, rows), pa.int16()),
    }
    return pa.table(columns)


def predict(bench: Workbench, source: SourceFiles, output_types: dict[str, str], **options: Any) -> JobResult:
    """Predict in one chunk, into a ledger of its own."""
    plan, _ = bench.plan(source, **options)
    spec = plan.spec.model_copy(update={"output_types": output_types})
    return bench.run(bench.predict_job(plan, plan.chunks[0], spec=spec, ledger=f"{bench.root}/{uuid.uuid4()}"))


def receipt_of(bench: Workbench, result: JobResult) -> Receipt:
    assert result.status == "succeeded", error_of(result)
    return Receipt.from_json(bench.storage.read(result.output_uri))


def rows_of(receipt: Receipt) -> pa.Table:
    return pa.concat_tables(pq.read_table(part.uri.removeprefix("file://")) for part in receipt.parts)


def snapshot(rows: int, source: SourceFiles) -> Snapshot:
    return Snapshot(
        query="SELECT id FROM t",
        manifest_uri="s3://b/unload/manifest",
        files=source,
        rows=rows,
        columns=(TableColumn(name="id", type="bigint"),),
        folder="s3://b/unload",
    )


@pytest.mark.parametrize("int96", [False, True], ids=["timestamps", "int96"])
@pytest.mark.parametrize("estimator", ["sparse_logistic", "hist_gradient_boosting_classifier"])
def test_all_types_of_an_unload_are_learned_from_and_carried_exactly(
    bench: Workbench, estimator: str, int96: bool
) -> None:
    table = unloaded()
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=100, use_deprecated_int96_timestamps=int96)
    source = bench.write_bytes(sink.getvalue().to_pybytes(), "part_00.parquet")
    manifest = bench.train(source, estimator, primary_key=("id",), cross_validation=2)
    kinds = {feature.name: feature.kind for feature in manifest.feature_schema.features}
    assert kinds == {
        **dict.fromkeys(("price", "huge", "small", "long", "ratio"), "numeric"),
        **dict.fromkeys(("day", "moment"), "datetime"),
        "flag": "boolean",
        "text": "categorical",
    }
    found = bench.predict(
        source, chunks=2, passthrough=("price", "huge", "small", "day", "moment", "flag", "long", "text")
    )
    for name in ("id", "price", "huge", "small", "day", "moment", "flag", "long", "text"):
        assert found[name].to_pylist() == table[name].to_pylist()
        wide = pa.int64() if name == "small" else table.schema.field(name).type  # a later file may hold larger ones
        assert found.schema.field(name).type == wide


@pytest.mark.parametrize("name", ["id", "price", "huge", "small", "day", "moment", "long", "text"])
def test_a_column_of_every_unloaded_type_may_be_the_key(bench: Workbench, name: str) -> None:
    rows = 240
    table = unloaded(rows)
    keys = {
        "price": pa.array([Decimal(i * 7 - 500).scaleb(-2) for i in range(rows)], pa.decimal128(18, 2)),
        "small": pa.array(range(-100, rows - 100), pa.int16()),
        "day": pa.array([dt.date(1900, 1, 1) + dt.timedelta(days=31 * i) for i in range(rows)]),
        "text": pa.array([f"{_TEXTS[i % len(_TEXTS)]}{i or ''}" for i in range(rows)]),
    }
    if name in keys:
        table = table.set_column(table.column_names.index(name), name, keys[name])
    source = bench.write(table, "t.parquet")
    manifest = bench.train(source, primary_key=(name,), cross_validation=2)
    receipt = receipt_of(bench, predict(bench, source, {}))
    assert rows_of(receipt)[name].to_pylist() == table[name].to_pylist()
    expected = int(hash_columns(table.select([name])).sum(dtype=np.uint64))
    assert receipt.key_hash.value == expected
    assert manifest.out_of_sample is not None
    assert manifest.out_of_sample.key_hash.value == expected


def test_empty_text_and_null_are_two_things(bench: Workbench) -> None:
    source = bench.write(unloaded(), "t.parquet")
    manifest = bench.train(source, primary_key=("id",))
    (text,) = (feature for feature in manifest.feature_schema.features if feature.name == "text")
    assert text.levels is not None
    assert "" in text.levels
    assert text.null_count == ROWS // len(_TEXTS)


@pytest.mark.parametrize(
    "kind", [pa.decimal128(38, 0), pa.decimal128(18, 2), pa.int16(), pa.bool_(), pa.int64()], ids=str
)
def test_a_target_of_every_unloaded_type_is_learned(bench: Workbench, kind: pa.DataType) -> None:
    table = unloaded()
    target = table["y"].cast(
        pa.bool_() if kind == pa.bool_() else pa.decimal128(5, 0) if pa.types.is_decimal(kind) else kind
    )
    source = bench.write(table.set_column(table.column_names.index("y"), "y", target.cast(kind)), "t.parquet")
    bench.train(source, primary_key=("id",), cross_validation=2)
    receipt = receipt_of(bench, predict(bench, source, {}, method="predict"))
    assert {float(value) for value in rows_of(receipt)["y_pred"].to_pylist()} <= {0.0, 1.0}


def carried(rows: int = 60) -> pa.Table:
    """Columns that tables of a database do not take as they are."""
    return pa.table(
        {
            "key": pa.array([2**63 + i for i in range(rows)], pa.uint64()),
            "at": pa.array([1_577_847_845_123_456_789 + i for i in range(rows)], pa.timestamp("ns", "Asia/Tokyo")),
            "tiny": pa.array([None, *range(rows - 1)], pa.int8()),
            "note": pa.array(["a", None, ""] * (rows // 3)),
            "x": pa.array(np.linspace(0, 1, rows)),
            "y": pa.array([i % 2 for i in range(rows)]),
        }
    )


TYPES = {"key": "decimal128(20, 0)", "at": "timestamp[us]", "tiny": "int16", "note": "string", "x": "double"}


@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
def test_columns_are_written_in_the_types_that_a_table_takes(bench: Workbench, name: str) -> None:
    table = carried()
    bench.train(bench.write(table, "train.parquet"))
    source = bench.write(table, name)
    if name.endswith(".csv"):
        table = table.set_column(3, "note", pa.array([value or None for value in table["note"].to_pylist()]))
    passthrough = ("at", "tiny", "note", "x")
    plain = receipt_of(bench, predict(bench, source, {}, passthrough=passthrough))
    receipt = receipt_of(bench, predict(bench, source, TYPES, passthrough=passthrough))
    found = rows_of(receipt)
    assert {name: str(found.schema.field(name).type) for name in TYPES} == TYPES
    assert receipt.columns == tuple(Column(name=f.name, arrow_type=str(f.type)) for f in found.schema)
    assert [int(value) for value in found["key"].to_pylist()] == table["key"].to_pylist()
    assert found["at"].cast(pa.int64()).to_pylist() == [v // 1000 for v in table["at"].cast(pa.int64()).to_pylist()]
    for column in ("tiny", "note", "x"):
        assert found[column].to_pylist() == table[column].to_pylist()
    assert receipt.key_hash == plain.key_hash
    assert found["y_proba_1"].equals(rows_of(plain)["y_proba_1"])


def test_predictions_are_written_in_the_types_that_are_planned(bench: Workbench) -> None:
    source = bench.write(carried(), "t.parquet")
    bench.train(source)
    receipt = receipt_of(bench, predict(bench, source, {"y_pred": "int16"}, method="predict"))
    assert str(rows_of(receipt).schema.field("y_pred").type) == "int16"
    assert sum(receipt.prediction_counts.values()) == 60
    assert set(receipt.prediction_counts) <= {"0", "1"}


def test_values_that_do_not_fit_refuse_the_chunk_and_are_all_named(bench: Workbench) -> None:
    table = carried().append_column("big", pa.array([40_000 if i in (3, 5) else i for i in range(60)]))
    source = bench.write(table, "t.parquet")
    bench.train(source)
    result = predict(bench, source, {"key": "int64", "big": "int16"}, passthrough=("big",))
    assert problems_of(result) == {("does_not_fit", "big"): 2, ("does_not_fit", "key"): 60}
    assert "column 'big' in t.parquet" in error_of(result)
    assert "40000" in error_of(result)
    assert str(2**63) in error_of(result)


def test_predictions_that_do_not_fit_refuse_the_chunk(bench: Workbench) -> None:
    table = carried().set_column(5, "y", pa.array([40_000, 5] * 30))
    source = bench.write(table, "t.parquet")
    bench.train(source)
    result = predict(bench, source, {"y_pred": "int16"}, method="predict")
    assert ("does_not_fit", "y_pred") in problems_of(result)
    assert "40000" in error_of(result)


@pytest.mark.parametrize("output", ["parquet", "csv"])
def test_keys_that_are_one_key_as_they_are_written_are_duplicates(bench: Workbench, output: str) -> None:
    bench.train(bench.write(carried(), "train.parquet"), primary_key=("at",), excluded_columns=("key",))
    source = bench.write(carried(), "t.parquet")  # nanoseconds apart: as microseconds, all are the same
    assert predict(bench, source, {}, output=output).status == "succeeded"
    result = predict(bench, source, {"at": "timestamp[us]"}, output=output)
    assert problems_of(result) == {("duplicate_key", "at"): 59}


@pytest.mark.parametrize("output", ["parquet", "csv"])
def test_a_repeated_key_is_found_in_the_type_that_it_is_written_as(bench: Workbench, output: str) -> None:
    bench.train(bench.write(carried(), "train.parquet"))
    source = bench.write(pa.concat_tables([carried(), carried().slice(7, 1)]), "t.parquet")
    result = predict(bench, source, {"key": "decimal128(20, 0)"}, output=output)
    assert problems_of(result) == {("duplicate_key", "key"): 1}
    assert f"{2**63 + 7} (2 times)" in error_of(result)


def test_output_types_go_into_csv_as_well(bench: Workbench) -> None:
    table = carried()
    source = bench.write(table, "t.parquet")
    bench.train(source)
    receipt = receipt_of(bench, predict(bench, source, TYPES, passthrough=("at", "tiny", "note", "x"), output="csv"))
    text = bench.storage.read(receipt.parts[0].uri).decode().splitlines()
    assert text[1].startswith(f"{2**63},2020-01-01 03:04:05.123456,,")


def test_training_on_fewer_rows_than_were_unloaded_is_refused(bench: Workbench) -> None:
    source = bench.write(carried(), "t.parquet")
    result = bench.run(bench.train_job(source, snapshot=snapshot(61, source)))
    assert problems_of(result) == {("changed_snapshot", None): 1}
    assert "60 rows, but 61 were unloaded into them (s3://b/unload/manifest)" in error_of(result)


def test_training_on_a_query_without_rows_says_so(bench: Workbench) -> None:
    source = bench.write(carried(), "t.parquet")
    result = bench.run(bench.train_job(source, objects=(), snapshot=snapshot(0, source)))
    assert problems_of(result) == {("too_few_rows", None): 1}
    assert "SELECT id FROM t" in error_of(result)


def test_the_manifest_says_what_was_unloaded_rows_without_a_target_included(bench: Workbench) -> None:
    target = pa.array([None if i < 4 else i % 2 for i in range(60)], pa.int64())
    source = bench.write(carried().set_column(5, "y", target), "t.parquet")
    manifest = bench.train(source, snapshot=snapshot(60, source))
    assert manifest.source.snapshot == snapshot(60, source)
    assert (manifest.source.rows_read, manifest.source.rows_used) == (60, 56)
