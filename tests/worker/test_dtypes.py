"""What files hold is what an estimator is fitted on and asked, from training to prediction, in CSV as in Parquet."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.base import clone

from airflow_sklearn.contract.data import SourceFiles
from tests.worker import factories
from tests.worker.workbench import Workbench, error_of, problems_of

ROWS = 120
N = np.arange(ROWS)


def stored(bench: Workbench, frame: pd.DataFrame, name: str, **options: Any) -> SourceFiles:
    data = io.BytesIO()
    frame.to_parquet(data, row_group_size=25, **options)
    return bench.write_bytes(data.getvalue(), name)


def any_frame() -> pd.DataFrame:
    moments = pd.date_range("1969-12-31 23:00", periods=ROWS, freq="h", unit="us")
    return pd.DataFrame(
        {
            "key": N,
            "color": pd.Categorical(np.array(["red", "green", "blue"])[N % 3], ["red", "green", "blue", "none has it"]),
            "whole": N % 7,
            "gaps": np.where(N % 5, N % 11, np.nan),
            "narrow": (N % 4).astype(np.int16),
            "single": (N / 7).astype(np.float32),
            "flag": N % 2 == 0,
            "maybe": np.where(N % 6, N % 4 == 0, None),
            "masked": pd.array(np.where(N % 9, N % 5, None), dtype="Int64"),
            "string": pd.array(np.where(N % 8, "s", None), dtype="string"),
            "price": [Decimal(int(n)) / 8 if n % 10 else None for n in N],
            "moment": moments,
            "zoned": moments.tz_localize("UTC").tz_convert("Asia/Tokyo"),
            "empty": pd.Series([None] * ROWS, dtype="float64"),
            "y": (N % 3 == 1) ^ (N % 7 > 4),
        }
    )


def test_an_estimator_sees_in_every_batch_what_pandas_reads(bench: Workbench) -> None:
    source = stored(bench, any_frame(), "t.parquet", index=False)
    manifest = bench.train(source, "tests.worker.factories:Dtypes", preprocessing="none")
    expected = pd.read_parquet(source.uris[0].removeprefix("file://")).drop(columns=["key", "y"])
    assert bench.estimator(manifest).dtypes_ == factories.dtypes_of(expected)
    whole = bench.predict(source)
    assert set(whole["y_pred"].to_pylist()) == {factories.hash_of(expected)}
    assert bench.predict(source, chunks=4).equals(whole)


def test_histogram_boosting_takes_categories_by_their_dtype_and_nulls_that_training_lacked(bench: Workbench) -> None:
    frame = any_frame()[["key", "color", "whole", "flag", "y"]]
    manifest = bench.train(
        stored(bench, frame, "t.parquet", index=False), "tests.worker.factories:by_dtype", preprocessing="none"
    )
    new = frame.astype({"color": object, "whole": "float64"})
    new.loc[[3, 40], "whole"] = [np.nan, 2.5]
    new.loc[7, "color"] = "purple"
    source = stored(bench, new, "new.parquet", index=False)
    answers = [bench.predict(source, chunks=chunks) for chunks in (1, 3)]
    assert answers[0].equals(answers[1])
    own = clone(bench.estimator(manifest)).fit(frame.drop(columns=["key", "y"]), frame["y"])
    color = pd.Categorical(new["color"].where(new["color"] != "purple"), frame["color"].cat.categories)
    known = new.assign(color=color).drop(columns=["key", "y"])
    assert np.array_equal(answers[0]["y_proba_true"], own.predict_proba(known)[:, 1])
    plan, _ = bench.plan(source)
    counted = {(p.kind, p.column): p.count for p in bench.receipt(plan).problems} if bench.run_chunk(plan) else {}
    assert counted == {("unexpected_null", "whole"): 1, ("unseen_level", "color"): 1}


PRICE, ZONED = pa.decimal128(20, 8), pa.timestamp("us", "Europe/Rome")
SAME: dict[str, tuple[pa.Array, list[str | None], str | None]] = {
    "decimal": (
        pa.array([Decimal(int(n) * 7_919_173 + 10**14) / 10**8 for n in N], PRICE),
        [f"{Decimal(int(n) * 7_919_173 + 10**14) / 10**8:.8f}" for n in N],
        str(PRICE),
    ),
    "zone": (
        pa.array([dt.datetime(2020, 6, 1) + dt.timedelta(hours=int(n)) for n in N], ZONED),
        [f"2020-06-{1 + n // 24:02d}T{n % 24:02d}:00:00Z" for n in N],
        None,
    ),
    "nan": (
        pa.array([float("nan") if n % 4 else n / 3 for n in N]),
        ["NaN" if n % 4 else repr(n / 3) for n in N.tolist()],
        None,
    ),
    "flag": (pa.array(N % 2 == 0), [str(int(n % 2 == 0)) for n in N], "bool"),
    "category": (pa.array(N % 12 * 5).dictionary_encode(), [str(n % 12 * 5) for n in N], "string"),
    "declared category": (
        pa.array(N % 12 * 5).dictionary_encode(),
        [str(n % 12 * 5) for n in N],
        "dictionary<values=int64, indices=int32, ordered=0>",
    ),
    "nanosecond": (
        pa.array(N * 3_600_000_000_123, pa.timestamp("ns")),
        [str(np.datetime64(int(n) * 3_600_000_000_123, "ns")) for n in N],
        None,
    ),
    "single float": (pa.array(np.sin(N * 7), pa.float32()), [repr(float(v)) for v in np.sin(N * 7)], "float"),
    "nothing": (pa.array([None] * ROWS, pa.string()), [None] * ROWS, None),
}  # fmt: skip


@pytest.mark.parametrize("kind", SAME)
def test_csv_and_parquet_of_one_table_give_one_model(bench: Workbench, kind: str) -> None:
    values, text, declared = SAME[kind]
    rest = {"key": N, "x": np.sin(N), "y": (N % 12 == 1) | (N % 5 == 2)}
    frame = pa.table({**rest, "v": values})
    if pa.types.is_dictionary(values.type):  # Parquet keeps this of strings only; pandas says it in its metadata
        frame = pa.Table.from_pandas(frame.to_pandas(), preserve_index=False)
    parquet = bench.write(frame, "t.parquet")
    lines = [f"{k},{x!r},{y},{v or ''}" for k, x, y, v in zip(*(rest[c].tolist() for c in rest), text, strict=True)]
    csv = bench.write_bytes("\n".join(["key,x,y,v", *lines, ""]).encode(), "t.csv")
    csv = csv.model_copy(update={"types": {"v": declared} if declared else {}})
    answers = []
    for trained in (parquet, csv):
        bench.train(trained)
        answers += [bench.predict(given).sort_by("key")["y_proba_true"].to_pylist() for given in (parquet, csv)]
    assert answers[0] == answers[1] == answers[2] == answers[3]


MOMENTS = pa.array([dt.datetime(2020, 6, 1, 0, 30) + dt.timedelta(hours=int(n)) for n in N], pa.timestamp("us"))
QUARTERS = [Decimal(int(n)) / 4 for n in N]
DAYS = pa.array([dt.date(1969, 12, 1) + dt.timedelta(days=int(n)) for n in N])


@pytest.mark.parametrize(
    ("trained", "given", "what"),
    [
        (MOMENTS, MOMENTS.cast(pa.timestamp("us", "Asia/Tokyo")), "times with a zone (Asia/Tokyo)"),
        (MOMENTS.cast(pa.timestamp("ns", "UTC")), MOMENTS, "times without a zone"),
        (MOMENTS.cast(pa.timestamp("us", "UTC")), DAYS, "times without a zone"),
        (DAYS, MOMENTS, "not a date"),
        (DAYS, MOMENTS.cast(pa.timestamp("us", "UTC")), "times with a zone"),
    ],
)
@pytest.mark.parametrize("role", ["feature", "key"])
def test_no_clock_is_moved_in_silence(
    bench: Workbench, trained: pa.Array, given: pa.Array, what: str, role: str
) -> None:
    def source(values: pa.Array, name: str) -> SourceFiles:
        return bench.write(pa.table({"key": N, "t": values, "x": N / 7, "y": N % 2}), name)

    bench.train(source(trained, "t.parquet"), primary_key=("t",) if role == "key" else ("key",))
    plan, _ = bench.plan(source(given, "new.parquet"), passthrough=() if role == "key" else ("t",))
    result = bench.run_chunk(plan)
    assert problems_of(result) == {("wrong_type", "t"): ROWS}
    assert what in error_of(result)


@pytest.mark.parametrize(
    ("trained", "given"),
    [
        (MOMENTS, MOMENTS.cast(pa.timestamp("ns"))),
        (MOMENTS.cast(pa.timestamp("ms")), MOMENTS),
        (MOMENTS.cast(pa.timestamp("us", "UTC")), MOMENTS.cast(pa.timestamp("ns", "Asia/Tokyo"))),
        (pa.array(N, pa.int16()), pa.array(N)),
        (pa.array(N), pa.array(N, pa.uint64())),
        (pa.array(N, pa.uint64()), pa.array(N)),
        (pa.array(QUARTERS, pa.decimal128(9, 2)), pa.array(QUARTERS, pa.decimal128(30, 4))),
        (pa.array(N.astype(str)), pa.array(N.astype(str), pa.large_string())),
        (pa.array(N.astype(str)), pa.array(N.astype(str)).dictionary_encode()),
        (pa.array(N * 10**6, pa.time64("us")), pa.array(N * 10**9, pa.time64("ns"))),
        (pa.array(N, pa.duration("s")), pa.array(N * 1000, pa.duration("ms"))),
        (pa.array(N / 4, pa.float32()), pa.array(N / 4)),
        (DAYS, DAYS.cast(pa.date64())),
    ],
)  # fmt: skip
def test_a_key_of_another_width_is_the_same_key(bench: Workbench, trained: pa.Array, given: pa.Array) -> None:
    def source(values: pa.Array, name: str) -> SourceFiles:
        return bench.write(pa.table({"key": values, "x": N / 7, "y": N % 2}), name)

    bench.train(source(trained, "t.parquet"))
    expected = bench.predict(source(trained, "t.parquet")).sort_by("key")
    assert bench.predict(source(given, "new.parquet"), chunks=2).sort_by("key").equals(expected)
    assert sorted(expected["key"].cast(trained.type).to_pylist()) == sorted(trained.to_pylist())


def test_digits_that_a_passthrough_cannot_hold_are_an_error(bench: Workbench) -> None:
    def source(values: pa.Array, name: str) -> SourceFiles:
        return bench.write(pa.table({"key": N, "v": values, "x": N / 7, "y": N % 2}), name)

    bench.train(source(pa.array(N / 4, pa.float32()), "t.parquet"))
    plan, _ = bench.plan(source(pa.array(N / 7), "new.parquet"), passthrough=("v",))
    assert problems_of(bench.run_chunk(plan)) == {("wrong_type", "v"): ROWS - len(N[::7])}


@pytest.mark.parametrize(
    ("empty", "given", "estimator"),
    [
        (pa.nulls(ROWS), pa.array(["x"] * ROWS), "sparse_logistic"),
        (pa.nulls(ROWS, pa.string()), pa.array([[1]] * ROWS), "hist_gradient_boosting_classifier"),
        (pa.array([float("nan")] * ROWS), MOMENTS, "tests.worker.factories:nan_taker"),
        (pa.nulls(ROWS, pa.float64()), None, "tests.worker.factories:nan_taker"),
    ],
)
def test_a_column_that_was_empty_in_training_stops_nothing(
    bench: Workbench, empty: pa.Array, given: pa.Array | None, estimator: str
) -> None:
    rest = {"key": N, "x": N / 7, "y": N % 2}
    manifest = bench.train(bench.write(pa.table({**rest, "promo": empty}), "t.parquet"), estimator)
    assert any("are not used: ['promo']" in warning for warning in manifest.warnings)
    plan, _ = bench.plan(bench.write(pa.table(rest if given is None else {**rest, "promo": given}), "new.parquet"))
    assert bench.run_chunk(plan).status == "succeeded"
    found = {problem.kind: problem.count for problem in bench.receipt(plan).problems}
    assert found.get("unused_column", 0) == (0 if given is None else ROWS)


def test_the_index_of_a_pandas_frame_is_no_feature_unless_named(bench: Workbench) -> None:
    frame = pd.DataFrame({"x": N / 7, "y": N % 2}, index=pd.Index(N[::-1], name="key"))
    source = stored(bench, frame, "t.parquet")
    manifest = bench.train(source)
    assert manifest.feature_schema.feature_names == ("x",)
    assert not any("index" in warning for warning in manifest.warnings)
    manifest = bench.train(source, primary_key=())
    assert manifest.feature_schema.feature_names == ("x",)
    assert any("['key'] are the index" in warning for warning in manifest.warnings)


def test_forgotten_folders_of_values_are_told(bench: Workbench, tmp_path: Path) -> None:
    for value in "ab":
        table = pa.table({"key": N, "x": N / 7, "y": N % 2})
        pq.write_table(table, (tmp_path / f"{value}.parquet").as_posix())
        bench.storage.write(f"{bench.root}/many/c={value}/t.parquet", (tmp_path / f"{value}.parquet").read_bytes())
    source = SourceFiles(uris=(f"{bench.root}/many/",), file_format="parquet")
    told = [
        any("hive_partitions=True" in warning for warning in bench.train(files, primary_key=()).warnings)
        for files in (source, source.model_copy(update={"hive_partitions": True}))
    ]
    assert told == [True, False]
