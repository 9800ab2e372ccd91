"""The document of metrics that a training stores."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score

from airflow_sklearn.contract.metrics import Interval, ModelMetrics
from airflow_sklearn.contract.model import ModelManifest
from tests.worker.training.test_out_of_sample import scores
from tests.worker.workbench import Workbench, problems_of


def document(bench: Workbench, manifest: ModelManifest) -> ModelMetrics:
    stored = manifest.metrics_object
    assert stored is not None
    data = bench.storage.read(stored.uri)
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (stored.sha256, stored.size)
    return ModelMetrics.from_json(data)


def test_metrics_are_those_of_the_stored_rows_weighted_as_the_rows_are(bench: Workbench, table: pa.Table) -> None:
    weight = np.random.default_rng(0).random(table.num_rows)
    source = bench.write(table.append_column("w", pa.array(weight)), "t.parquet")
    manifest = bench.train(source, sample_weight="w", cross_validation=3)
    found, (target,) = scores(manifest), document(bench, manifest).targets
    assert (target.target, target.task, target.classes) == ("y", "binary", (0, 1))
    assert (target.rows, target.weight) == (table.num_rows, pytest.approx(weight.sum()))
    expected = roc_auc_score(found["y"], found["y_proba_1"], sample_weight=weight)
    assert target.values["roc_auc"] == pytest.approx(expected, rel=1e-12)
    interval = target.intervals["roc_auc"]
    assert isinstance(interval, Interval)
    assert interval.low < expected < interval.high
    assert all(part.uri.startswith(target.oos_score_table) for part in manifest.out_of_sample.parts)


def test_segments_are_the_rows_of_each_value_and_stay_features(bench: Workbench, table: pa.Table) -> None:
    manifest = bench.train(bench.write(table, "t.csv"), cross_validation=2, metrics_by=("category_2", "integer_3"))
    (target,) = document(bench, manifest).targets
    found = scores(manifest)
    first = next(one for one in target.segments if one.column == "category_2" and one.value is not None)
    rows = pc.fill_null(pc.equal(table["category_2"], first.value), False)
    part = found.filter(rows.combine_chunks() if isinstance(rows, pa.ChunkedArray) else rows)
    assert first.rows == part.num_rows
    assert first.values["roc_auc"] == pytest.approx(roc_auc_score(part["y"], part["y_proba_1"]))
    assert sum(one.rows for one in target.segments if one.column == "category_2") <= table.num_rows
    assert {"category_2", "integer_3"} <= set(manifest.feature_schema.feature_names)


def test_a_regression_has_its_own_metrics(bench: Workbench, table: pa.Table) -> None:
    manifest = bench.train(bench.write(table, "t.csv"), "sparse_ridge_regressor", target="float_0", cross_validation=2)
    (target,) = document(bench, manifest).targets
    found = scores(manifest)
    assert target.task == "regression"
    assert target.values["r_squared"] == pytest.approx(r2_score(found["float_0"], found["float_0_pred"]))


def test_decision_values_of_several_classes_allow_all_that_ranks(bench: Workbench) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    table: dict[str, Any] = {"key": range(300), "x": y + rng.normal(size=300), "z": rng.normal(size=300), "y": y}
    manifest = bench.train(bench.write(pa.table(table), "t.csv"), "sklearn.svm:LinearSVC", cross_validation=2)
    (target,) = document(bench, manifest).targets
    found = scores(manifest)
    expected = [roc_auc_score(y == i, found[f"y_decision_{i}"]) for i in range(3)]
    assert target.values["roc_auc"] == pytest.approx(expected)
    assert target.values["accuracy"] == accuracy_score(found["y"], found["y_pred"])
    assert target.values["log_loss"] is target.values["calibration_curve_by_class"] is None
    assert len(target.values["deciles"]) == 3


def test_without_validation_there_are_no_metrics(bench: Workbench, table: pa.Table) -> None:
    assert bench.train(bench.write(table, "t.csv")).metrics_object is None


def test_a_column_of_segments_that_is_not_there_is_named(bench: Workbench, table: pa.Table) -> None:
    result = bench.run(bench.train_job(bench.write(table, "t.csv"), metrics_by=("category_3",)))
    assert ("missing_column", "category_3") in problems_of(result)
