"""Before fitting, columns are compared with the table that will be scored, and those that give the target away are
found.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_sklearn.contract.will_score import ScoredTable
from tests.worker.workbench import Workbench, error_of, problems_of

N = 400
ROW = np.arange(N)
Y = (ROW * 37 % 101 > 50).astype(np.int64)
TRAIN = {
    "key": ROW,
    "x": ROW * 37 % 101 + ROW % 7 * 9.0,
    "gone": ROW % 5,
    "same": ROW % 3,
    "empty": np.take(["a", "b"], ROW % 2),
    "other type": ROW % 11,
    "late text": ROW % 13,
    "closed on": pa.array(np.datetime64("2026-01-01") + ROW, mask=Y == 0),
    "y": Y,
}
SCORED = {
    "key": ROW,
    "x": ROW * 1.0,
    "same": np.where(ROW < N - 1, 1, 1),
    "empty": pa.array([None] * N, pa.string()),
    "other type": [f"v{i}" for i in range(N)],
    "late text": np.where(ROW == N - 1, 8, 7),
    "closed on": np.datetime64("2026-01-01") + ROW,
    "extra": ROW,
}
FOUND = {
    ("missing_column", "gone"),
    ("constant_column", "same"),
    ("null_column", "empty"),
    ("wrong_type", "other type"),
    ("suspicious_column", "closed on"),
}


def scored(bench: Workbench, name: str = "scored.csv", columns: Any = SCORED, **changes: Any) -> ScoredTable:
    source = bench.write(pa.table(columns), name)
    return ScoredTable(name=name, source=source, objects=bench.storage.expand(source.uris), **changes)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_all_columns_that_do_not_suit_are_listed_before_anything_is_fitted(bench: Workbench, ending: str) -> None:
    source = bench.write(pa.table(TRAIN), f"train.{ending}")
    job = bench.train_job(source, will_score=scored(bench, f"scored.{ending}"))
    result = bench.run(job)
    assert set(problems_of(result)) == FOUND
    said = error_of(result)
    assert "it alone predicts the target 'y' suspiciously well (AUC 1.0000)" in said
    assert "keep=['gone'] to learn from this one" in said
    assert not bench.storage.exists(f"{bench.root}/model/latest.json")


def test_columns_that_do_not_suit_are_left_out_if_asked_and_the_manifest_and_the_log_say_why(
    bench: Workbench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "airflow_sklearn")
    source = bench.write(pa.table(TRAIN), "train.parquet")
    check = scored(bench, unfit_columns="exclude", keep=("closed on",))
    manifest = bench.train(source, will_score=check, excluded_columns=("same",))
    assert set(manifest.feature_schema.feature_names) == {"x", "late text", "closed on"}
    assert set(manifest.excluded_columns) == {"same", "gone", "empty", "other type"}
    assert manifest.unfit_columns["empty"] == "it has no value in the table that will be scored"
    assert "Not learned from: column 'gone': the table that will be scored lacks it" in caplog.text
    found = bench.predict(
        bench.write(
            pa.table(SCORED).drop_columns(["closed on"]).append_column("closed on", pa.array([None] * N, pa.date32())),
            "later.csv",
        ),
        policies={"wrong_types": "null"},
    )
    assert found.num_rows == N


def test_nulls_among_one_value_tell_rows_apart_and_a_column_with_a_similar_name_is_suggested(bench: Workbench) -> None:
    train = {name: TRAIN[name] for name in ("key", "x", "same", "gone", "y")}
    paid = pa.array(np.ones(N, int), mask=ROW < N - 1)
    check = scored(bench, columns={"key": ROW, "x": ROW, "same": paid, "gone ": ROW})
    result = bench.run(bench.train_job(bench.write(pa.table(train), "train.csv"), will_score=check))
    assert set(problems_of(result)) == {("missing_column", "gone")}
    assert "lacks it. Did you mean 'gone '?" in error_of(result)


def test_a_column_that_one_of_many_files_lacks_is_missing_and_one_that_varies_in_the_last_row_is_not_constant(
    bench: Workbench,
) -> None:
    train = {name: TRAIN[name] for name in ("key", "x", "same", "y")}
    names = ["scored/a.parquet", "scored/b.parquet"]
    columns = {**SCORED, "same": np.where(ROW == N - 1, 2, 1)}
    bench.write(pa.table({"key": ROW, "x": ROW, "same": np.ones(N, int)}), names[0])
    bench.write(pa.table({name: columns[name] for name in ("key", "same")}), names[1])
    source = bench.source(*names)
    check = ScoredTable(name="two", source=source, objects=bench.storage.expand(source.uris))
    result = bench.run(bench.train_job(bench.write(pa.table(train), "train.csv"), will_score=check))
    assert set(problems_of(result)) == {("missing_column", "x")}


def test_a_database_that_has_looked_itself_is_believed(bench: Workbench) -> None:
    contents = {"key": "various", "X": "various", "x": "constant", "same": "various", "empty": "null"}
    train = {name: TRAIN[name] for name in ("key", "x", "same", "empty", "gone", "y")}
    check = ScoredTable(name="customers", contents=contents)
    result = bench.run(bench.train_job(bench.write(pa.table(train), "train.csv"), will_score=check))
    assert set(problems_of(result)) == {("constant_column", "x"), ("null_column", "empty"), ("missing_column", "gone")}


def test_a_table_without_rows_and_a_training_without_columns_are_refused(bench: Workbench) -> None:
    source = bench.write(pa.table(TRAIN), "train.csv")
    empty = scored(bench, columns={name: np.array([]) for name in SCORED})
    assert "scored.csv has no rows" in error_of(bench.run(bench.train_job(source, will_score=empty)))
    few = bench.write(pa.table({name: TRAIN[name] for name in ("key", "gone", "y")}), "few.csv")
    job = bench.train_job(few, will_score=scored(bench, unfit_columns="exclude"))
    assert "gone: the table that will be scored lacks it" in error_of(bench.run(job))


def test_a_kept_column_that_the_training_table_lacks_is_said(bench: Workbench) -> None:
    source = bench.write(pa.table(TRAIN), "train.csv")
    said = error_of(bench.run(bench.train_job(source, will_score=scored(bench, keep=("closed_on",)))))
    assert "named in will_score" in said
    assert "Did you mean 'closed on'" in said


@pytest.mark.parametrize("unfit_columns", ["error", "exclude"])
@pytest.mark.parametrize(("keys", "kind"), [(None, "missing_column"), ([None] * N, "null_column")])
def test_the_primary_key_is_looked_for_too(bench: Workbench, keys: Any, kind: str, unfit_columns: str) -> None:
    source = bench.write(pa.table({name: TRAIN[name] for name in ("key", "x", "y")}), "train.csv")
    columns = {"x": SCORED["x"], **({} if keys is None else {"key": pa.array(keys, pa.int64())})}
    asked: dict[str, Any] = {"columns": columns, "unfit_columns": unfit_columns}
    result = bench.run(bench.train_job(source, will_score=scored(bench, **asked)))
    assert set(problems_of(result)) == {(kind, "key")}
    assert "WillScore(..., keep=['key']) says that predictions will have a primary_key of their own" in error_of(result)
    if unfit_columns == "error" and keys is None:
        bench.train(source, will_score=scored(bench, **asked, keep=("key",)))
