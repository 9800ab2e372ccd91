"""The same rows in any chunks, of CSV or Parquet, give the same bits."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from threadpoolctl import threadpool_limits

from airflow_sklearn.models.frames import to_frame
from tests.worker.workbench import Workbench

pytestmark = pytest.mark.slow  # each model over many cuts

TREES = ["hist_gradient_boosting_classifier", "tests.worker.factories:forest"]
OTHERS = [
    "sparse_logistic",
    "tests.worker.factories:dense_ridge",
    "tests.worker.factories:mlp",
    "tests.worker.factories:stack",
]
BATCH_ROWS = 512  # so that chunks of a small table have several batches


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_SKLEARN_PROCESSES", "1")


@pytest.mark.parametrize("estimator", TREES + OTHERS)
def test_predictions_are_bit_identical_however_the_source_is_cut(
    bench: Workbench, table: pa.Table, estimator: str
) -> None:
    manifest = bench.train(bench.write(table, "train.parquet"), estimator)
    model = bench.with_batch_rows(manifest, BATCH_ROWS)
    columns: list[pa.Table] = []
    for name in ("predict.csv", "predict.parquet"):
        source = bench.write(table.drop_columns(["y"]), name)
        for chunks in (1, 2, 7, 100):
            columns.append(bench.predict(source, chunks=chunks, model=model))
    first = columns[0]
    assert first["key"].to_pylist() == table["key"].to_pylist()
    assert len(set(first[first.column_names[-1]].to_pylist())) > 20
    for other in columns[1:]:
        assert other.equals(first)

    loaded = bench.estimator(manifest)
    frame = to_frame(table, manifest.feature_schema.features)
    with threadpool_limits(1):
        once = loaded.predict_proba(frame)[:, 1] if hasattr(loaded, "predict_proba") else loaded.predict(frame)
    found = first[first.column_names[-1]].to_numpy()
    if estimator in TREES:
        assert (found == once).all()
    else:
        np.testing.assert_allclose(found, once, rtol=1e-12, atol=0)


def test_processes_give_the_bits_of_one_process(
    bench: Workbench, table: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_sklearn.worker.prediction.predict._SLICE_BYTES", 1_000)
    manifest = bench.train(bench.write(table, "train.parquet"), "tests.worker.factories:dense_logistic")
    model = bench.with_batch_rows(manifest, BATCH_ROWS)
    for name in ("predict.csv", "predict.parquet"):
        source = bench.write(table, name)
        alone = bench.predict(source, model=model)
        monkeypatch.setenv("AIRFLOW_SKLEARN_PROCESSES", "3")
        plan, _ = bench.plan(source, model=model)
        assert bench.run_chunk(plan).status == "succeeded"
        assert bench.receipt(plan).processes == 3
        assert bench.predict(source, model=model).equals(alone)
        monkeypatch.setenv("AIRFLOW_SKLEARN_PROCESSES", "1")


@pytest.mark.parametrize("name", ["few.csv", "few.parquet"])
@pytest.mark.parametrize("rows", [0, 1])
def test_chunks_of_no_and_of_one_row(bench: Workbench, table: pa.Table, name: str, rows: int) -> None:
    bench.train(bench.write(table, "train.parquet"))
    found = bench.predict(bench.write(table.slice(0, rows), name))
    assert found.column_names == ["key", "y_proba_0", "y_proba_1"]
    assert found["key"].to_pylist() == table["key"].to_pylist()[:rows]


def test_more_chunks_than_rows(bench: Workbench, table: pa.Table) -> None:
    bench.train(bench.write(table, "train.parquet"))
    few = table.slice(0, 3)
    assert bench.predict(bench.write(few, "few.csv"), chunks=200)["key"].to_pylist() == few["key"].to_pylist()


def test_a_source_without_files_gives_an_empty_published_result(bench: Workbench, table: pa.Table) -> None:
    bench.train(bench.write(table, "train.parquet"))
    found = bench.predict(bench.source("nothing-*.csv"))
    assert found.num_rows == 0
    assert found.column_names == ["key", "y_proba_0", "y_proba_1"]


def test_threads_inside_an_estimator_do_not_change_its_bits(bench: Workbench, table: pa.Table) -> None:
    source = bench.write(table, "train.parquet")
    found = []
    for n_jobs in (1, 2):
        manifest = bench.train(source, "tests.worker.factories:forest", params={"n_jobs": n_jobs})
        found.append(bench.predict(source, model=f"{bench.root}/model/versions/{manifest.version}/manifest.json"))
    assert found[0].equals(found[1])


def test_many_files_partitioned_folders_and_column_order(bench: Workbench, table: pa.Table) -> None:
    bench.train(bench.write(table, "train.parquet"))
    whole = bench.predict(bench.write(table, "whole.parquet"))
    names = list(reversed(table.column_names))
    for number in range(10):
        part = table.slice(number * 501, 501)
        bench.write(part.select(names) if number % 2 else part, f"many/part={number}/x.csv")
    found = bench.predict(bench.source("many/**/*.csv"), chunks=4)
    assert found.sort_by("key").equals(whole.sort_by("key"))
