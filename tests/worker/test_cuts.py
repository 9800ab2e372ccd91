"""The same rows in any chunks, of CSV or Parquet, give the same bits."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from threadpoolctl import threadpool_limits

from airflow_sklearn.contract.model import PresetEstimator, SeveralEstimators
from airflow_sklearn.models.frames import to_frame
from tests.worker.workbench import Workbench

TREES: dict[str, dict[str, int]] = {
    "hist_gradient_boosting_classifier": {"max_iter": 20},
    "tests.worker.factories:forest": {},
}
OTHERS = [
    "sparse_logistic",
    "tests.worker.factories:dense_ridge",
    "tests.worker.factories:mlp",
    "tests.worker.factories:stack",
]
BATCH_ROWS = 512  # so that chunks of a small table have several batches


@pytest.fixture(scope="module")
def difficult() -> pa.Table:
    """Names with spaces, quotes, umlauts and SQL; strings with commas and quotes, dates, booleans, nulls, integers
    beyond 2**53; three targets.
    """
    n, random = 600, np.random.default_rng(1)
    x, skewed, absent = random.normal(size=n), np.exp(random.normal(size=n)), random.random(n) < 0.1
    city = np.take(np.array(["Zürich", "New York, NY", 'the "Big" one', "東京"], object), random.integers(0, 4, n))
    times = np.datetime64("2024-01-01", "us") + random.integers(0, 10**13, n).astype("timedelta64[us]")
    return pa.table(
        {
            "key": np.arange(n),
            "select": x,
            "weight in kg ": pa.array(skewed, mask=absent),
            'he said "hi"': pa.array(city, mask=np.roll(absent, 3)),
            "größe; drop table": random.integers(0, 9, n),
            "order by": pa.array(times, mask=np.roll(absent, 7)),
            "is null": pa.array(random.random(n) > 0.5, mask=np.roll(absent, 9)),
            "many": [f"v{i}" for i in random.integers(0, 120, n)],
            "big": 2**53 + random.integers(0, 9, n),
            "the class": np.where(x + (city == "東京") > 0.8, "hoch", np.where(x > -0.4, "mittel", "n/a")),
            "two": np.where(x + random.normal(size=n) > 0, "yes", "no"),
            "y": 3 * x + skewed,
        }
    )


SEVERAL = SeveralEstimators(
    by_target={
        "the class": PresetEstimator(name="random_forest_classifier", params={"n_estimators": 10}),
        "two": PresetEstimator(name="hist_gradient_boosting_classifier", params={"max_iter": 10}),
        "y": PresetEstimator(name="sparse_ridge_regressor"),
    }
)
OPTIONS = {
    "several targets": (SEVERAL, ("the class", "two", "y"), {}, {}),
    "a tuned threshold, percentiles and deciles": (
        "sparse_logistic",
        "two",
        {"cross_validation": 2, "threshold": "f1", "class_weight": "balanced"},
        {"outputs": ("label", "percentile", "decile", "proba:yes")},
    ),
    "calibrated probabilities of several classes": (
        "multilayer_perceptron_classifier",
        "the class",
        {"params": {"max_iter": 10}, "calibration": "sigmoid"},
        {},
    ),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_on_a_difficult_table_give_equal_bits_over_all_cuts(
    bench: Workbench, difficult: pa.Table, name: str
) -> None:
    estimator, target, settings, asked = OPTIONS[name]
    others = {"the class", "two", "y"} - {target, *(target if isinstance(target, tuple) else ())}
    source = bench.write(difficult, "train.parquet")
    manifest = bench.train(source, estimator, target=target, excluded_columns=tuple(sorted(others)), **settings)
    model = bench.with_batch_rows(manifest, 128)
    csv, parquet = bench.write(difficult, "predict.csv"), bench.write(difficult, "predict.parquet")
    first = bench.predict(csv, model=model, **asked)
    assert first["key"].to_pylist() == difficult["key"].to_pylist()
    assert first.equals(bench.predict(csv, chunks=7, model=model, **asked))
    assert first.equals(bench.predict(parquet, model=model, **asked))
    many = 100 if manifest.batch_shape == "fixed" else 20
    assert first.equals(bench.predict(parquet, chunks=many, model=model, **asked))


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_SKLEARN_PROCESSES", "1")


@pytest.mark.parametrize("estimator", [*TREES, *OTHERS])
def test_predictions_are_bit_identical_however_the_source_is_cut(
    bench: Workbench, table: pa.Table, estimator: str
) -> None:
    manifest = bench.train(bench.write(table, "train.parquet"), estimator, params=TREES.get(estimator, {}))
    model = bench.with_batch_rows(manifest, BATCH_ROWS)
    columns: list[pa.Table] = []
    # Each chunk opens the model anew: a hundred of one format are enough. tests/worker/data cuts files of both.
    for name, cuts in (("predict.csv", (1, 7, 100)), ("predict.parquet", (1, 7))):
        source = bench.write(table.drop_columns(["y"]), name)
        for chunks in cuts:
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
        plan, uri = bench.plan(source, model=model)
        assert bench.run_chunk(plan).status == "succeeded"
        assert bench.receipt(plan).processes == 3
        assert bench.publish(plan, uri).equals(alone)
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
