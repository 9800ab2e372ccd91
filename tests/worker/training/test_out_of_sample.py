"""Scores of training rows by models that did not see them: honest, complete, and a table as prediction writes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import log_loss, mean_absolute_error, roc_auc_score

from airflow_sklearn.contract.model import ModelManifest
from airflow_sklearn.contract.receipt import KeyHash
from airflow_sklearn.contract.schema import Column
from airflow_sklearn.worker.key_hash import hash_columns
from tests.worker.workbench import Workbench

NEIGHBOUR = "sklearn.neighbors:KNeighborsClassifier"


def scores(manifest: ModelManifest) -> pa.Table:
    assert manifest.out_of_sample is not None
    return pa.concat_tables(pq.read_table(part.uri.removeprefix("file://")) for part in manifest.out_of_sample.parts)


def noise(rows: int = 400) -> pa.Table:
    """Labels that nothing explains: only a model that saw a row knows its label."""
    rng = np.random.default_rng(0)
    return pa.table({"key": range(rows), "x": rng.normal(size=rows), "y": rng.integers(0, 2, rows)})


def test_a_model_that_learns_by_heart_is_perfect_in_sample_and_not_out_of_sample(bench: Workbench) -> None:
    source = bench.write(noise(), "t.parquet")
    manifest = bench.train(source, NEIGHBOUR, params={"n_neighbors": 1}, cross_validation=4)
    in_sample, out_of_sample = bench.predict(source), scores(manifest)
    y = noise()["y"].to_numpy()
    assert roc_auc_score(y, in_sample["y_proba_1"]) == 1.0
    assert 0.4 < roc_auc_score(y, out_of_sample["y_proba_1"]) < 0.6


def test_every_row_with_a_target_has_one_score_in_the_sources_order(bench: Workbench, table: pa.Table) -> None:
    target = pa.array([None if i % 10 == 3 else v for i, v in enumerate(table["y"].to_pylist())], pa.int64())
    with_nulls = table.set_column(table.column_names.index("y"), "y", target)
    manifest = bench.train(bench.write(with_nulls, "t.csv"), cross_validation=3)
    found, expected = scores(manifest), with_nulls.filter(pc.is_valid(target))
    assert found["key"].to_pylist() == expected["key"].to_pylist()
    assert found["y"].to_pylist() == expected["y"].to_pylist()
    assert set(found["fold"].to_pylist()) == {1, 2, 3}
    assert found["y_proba_1"].null_count == 0
    assert np.allclose(pc.add(found["y_proba_0"], found["y_proba_1"]).to_numpy(), 1.0)


def test_the_manifest_describes_the_file(bench: Workbench, table: pa.Table) -> None:
    manifest = bench.train(bench.write(table, "t.csv"), cross_validation=2)
    described = manifest.out_of_sample
    assert described is not None
    found = scores(manifest)
    assert described.columns == tuple(Column(name=f.name, arrow_type=str(f.type)) for f in found.schema)
    assert [(column.name, column.arrow_type) for column in described.columns] == [
        ("key", "int64"),
        ("y", "int64"),
        ("fold", "int32"),
        ("y_proba_0", "double"),
        ("y_proba_1", "double"),
    ]
    assert described.method == "predict_proba"
    assert described.rows == found.num_rows == sum(part.rows for part in described.parts) == 5_003
    expected = int(hash_columns(found.select(["key"])).sum(dtype=np.uint64))
    assert described.key_hash == KeyHash(algorithm="fnv1a-64-sum", value=expected)
    (part,) = described.parts
    assert part.uri == f"{bench.root}/model/versions/{manifest.version}/out_of_sample/{part.sha256}.parquet"
    assert part.size == bench.storage.stat(part.uri).size


def test_the_metrics_of_a_classifier_are_those_of_its_file(bench: Workbench, table: pa.Table) -> None:
    manifest = bench.train(bench.write(table, "t.csv"), cross_validation=3)
    found = scores(manifest)
    areas, losses = [], []
    for fold in (1, 2, 3):
        rows = found.filter(pc.equal(found["fold"], fold))
        areas.append(roc_auc_score(rows["y"], rows["y_proba_1"]))
        losses.append(log_loss(rows["y"], np.column_stack([rows["y_proba_0"], rows["y_proba_1"]])))
    assert manifest.metrics["roc_auc"] == np.mean(areas)
    assert manifest.metrics_std["roc_auc"] == np.std(areas)
    assert manifest.metrics["log_loss"] == np.mean(losses)


def test_the_metrics_of_a_regressor_are_those_of_its_file(bench: Workbench, table: pa.Table) -> None:
    manifest = bench.train(bench.write(table, "t.csv"), "sparse_ridge_regressor", target="float_0", cross_validation=2)
    found = scores(manifest)
    assert found.column_names == ["key", "float_0", "fold", "float_0_pred"]
    errors = [
        mean_absolute_error(rows["float_0"], rows["float_0_pred"])
        for rows in (found.filter(pc.equal(found["fold"], fold)) for fold in (1, 2))
    ]
    assert manifest.metrics["mae"] == np.mean(errors)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [(["no", "perhaps"], "string"), ([False, True], "bool"), ([1, 2, 3], "int64"), ([2**63, 5], "decimal128(20, 0)")],
)
def test_without_probabilities_the_labels_are_kept(bench: Workbench, labels: list[Any], kind: str) -> None:
    table = noise(60)
    target = pa.array([labels[i % len(labels)] for i in range(60)], pa.uint64() if max(labels) == 2**63 else None)
    source = bench.write(table.set_column(2, "y", target), "t.parquet")
    manifest = bench.train(source, "sklearn.svm:LinearSVC", cross_validation=2)
    found = scores(manifest)
    assert manifest.out_of_sample is not None
    assert manifest.out_of_sample.method == "predict"
    assert str(found.schema.field("y_pred").type) == kind
    assert set(found["y_pred"].to_pylist()) <= set(labels)


def test_without_a_key_there_are_no_key_columns(bench: Workbench) -> None:
    manifest = bench.train(bench.write(noise(), "t.csv"), primary_key=(), excluded_columns=("key",), cross_validation=2)
    assert manifest.out_of_sample is not None
    assert scores(manifest).column_names == ["y", "fold", "y_proba_0", "y_proba_1"]
    assert manifest.out_of_sample.key_hash == KeyHash()


def test_without_validation_there_are_no_scores(bench: Workbench) -> None:
    manifest = bench.train(bench.write(noise(), "t.csv"), cross_validation=0)
    assert manifest.out_of_sample is None
    assert not list(bench.storage.list(f"{bench.root}/model/versions/{manifest.version}/out_of_sample/"))


def test_keys_and_targets_are_written_in_portable_types(bench: Workbench) -> None:
    table = noise(60)
    keys = pa.array([2**63 + i for i in range(60)], pa.uint64())
    moments = pa.array([1_577_847_845_123_456_789 + i * 10**9 for i in range(60)], pa.timestamp("ns", "Asia/Tokyo"))
    table = table.set_column(0, "key", keys).append_column("at", moments)
    target = pa.array([i % 2 for i in range(60)], pa.int8())
    table = table.set_column(2, "y", target)
    manifest = bench.train(bench.write(table, "t.parquet"), primary_key=("key", "at"), cross_validation=2)
    found = scores(manifest)
    assert [str(found.schema.field(name).type) for name in ("key", "at", "y")] == [
        "decimal128(20, 0)",
        "timestamp[us]",
        "int16",
    ]
    assert [int(value) for value in found["key"].to_pylist()] == keys.to_pylist()
    assert found["at"].cast(pa.int64()).to_pylist() == [v // 1000 for v in moments.cast(pa.int64()).to_pylist()]
    assert manifest.out_of_sample is not None
    as_read = pa.table({"key": keys, "at": moments})
    assert manifest.out_of_sample.key_hash.value == int(hash_columns(as_read).sum(dtype=np.uint64))


def test_a_key_may_be_called_as_a_column_of_ours(bench: Workbench) -> None:
    table = noise(60).rename_columns(["fold", "y_proba_1", "y"])
    manifest = bench.train(
        bench.write(table.append_column("x", table["y_proba_1"]), "t.parquet"),
        primary_key=("fold", "y_proba_1"),
        cross_validation=2,
    )
    found = scores(manifest)
    assert found.column_names == ["fold", "y_proba_1", "y", "fold_", "y_proba_0", "y_proba_1_"]
    assert found["fold"].to_pylist() == list(range(60))


def test_many_rows_are_written_into_several_files(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    source = bench.write(noise(), "t.parquet")
    whole = bench.train(source, cross_validation=2)
    monkeypatch.setattr("airflow_sklearn.worker.training.out_of_sample._PART_ROWS", 150)
    monkeypatch.setattr("airflow_sklearn.worker.training.out_of_sample._BATCH_ROWS", 64)
    cut = bench.train(source, cross_validation=2)
    assert whole.out_of_sample is not None
    assert cut.out_of_sample is not None
    assert [part.rows for part in cut.out_of_sample.parts] == [150, 150, 100]
    assert cut.out_of_sample.key_hash == whole.out_of_sample.key_hash
    assert scores(cut).equals(scores(whole))


def test_a_second_attempt_writes_the_same_file(bench: Workbench) -> None:
    job = bench.train_job(bench.write(noise(), "t.parquet"), cross_validation=2)
    first = ModelManifest.from_json(bench.storage.read(bench.run(job).output_uri))
    bench.storage.delete([first.artifact.uri])
    again = ModelManifest.from_json(bench.storage.read(bench.run(job).output_uri))
    assert again.out_of_sample == first.out_of_sample
