from __future__ import annotations

import hashlib
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_sklearn.contract import exit_codes
from airflow_sklearn.contract.data import SourceFiles
from airflow_sklearn.contract.jobs import JobResult
from airflow_sklearn.contract.model import ModelManifest, ModelPointer
from airflow_sklearn.contract.schema import Column
from airflow_sklearn.report.stored import write_model_page
from airflow_sklearn.worker.parity import SAMPLE_ROWS, with_sample
from airflow_sklearn.worker.run import run_job
from tests.worker.workbench import Workbench, error_of, problems_of


@pytest.fixture
def source(bench: Workbench, table: pa.Table) -> SourceFiles:
    return bench.write(table, "train.csv")


def failed(bench: Workbench, source: SourceFiles, estimator: str = "sparse_logistic", **changes: Any) -> JobResult:
    result = bench.run(bench.train_job(source, estimator, **changes))
    assert result.status == "failed"
    assert not list(bench.storage.list(f"{bench.root}/model/latest"))
    return result


def test_the_manifest_says_all_that_prediction_needs(bench: Workbench, table: pa.Table, source: SourceFiles) -> None:
    manifest = bench.train(source, excluded_columns=("float_2",), cross_validation=3)
    schema = manifest.feature_schema
    assert schema.feature_names == ("float_0", "float_1", "integer_0", "integer_3", "category_0", "category_2")
    assert [feature.kind for feature in schema.features] == ["numeric"] * 4 + ["categorical"] * 2
    assert schema.features[4].levels == tuple(f"level 0-{i:03d}" for i in range(5))
    assert schema.features[0].null_count == table["float_0"].null_count
    assert schema.features[0].null_rate == table["float_0"].null_count / table.num_rows
    assert schema.primary_key == (Column(name="key", arrow_type="int64"),)
    assert schema.targets[0].classes == (0, 1)
    assert [c.name for c in manifest.columns] == [name for name in table.column_names if name != "float_2"]
    assert (manifest.source.rows_read, manifest.source.rows_used) == (table.num_rows, table.num_rows)
    assert manifest.source.objects == bench.storage.expand(source.uris)
    assert 0.6 < (manifest.metrics["roc_auc"] or 0) < 1
    assert manifest.metrics_std["roc_auc"] is not None
    assert manifest.versions.packages["scikit-learn"]
    assert "scikit-learn" in manifest.versions.estimator_packages
    assert manifest.performance.predict_rows_per_second > 0
    assert manifest.performance.peak_memory_bytes > 50e6
    sample = with_sample(bench.storage, manifest).parity
    assert len(sample.predictions) == len(manifest.parity.outputs) == 4
    assert {len(values) for values in sample.predictions} == {SAMPLE_ROWS}


def test_the_artifact_has_the_manifests_digest_and_latest_points_to_it(bench: Workbench, source: SourceFiles) -> None:
    manifest = bench.train(source)
    assert hashlib.sha256(bench.storage.read(manifest.artifact.uri)).hexdigest() == manifest.artifact.sha256
    pointer = ModelPointer.from_json(bench.storage.read(f"{bench.root}/model/latest.json"))
    data = bench.storage.read(pointer.manifest_uri)
    assert hashlib.sha256(data).hexdigest() == pointer.manifest_sha256
    assert ModelManifest.from_json(data) == manifest


def test_a_page_for_people_lies_beside_the_manifest(bench: Workbench, source: SourceFiles) -> None:
    manifest = bench.train(source, cross_validation=2)
    page = bench.storage.read(f"{bench.root}/model/versions/{manifest.version}/report.html").decode()
    assert "ROC curve" in page
    assert all(feature in page for feature in manifest.feature_schema.feature_names)
    assert write_model_page(bench.storage, f"{bench.root}/model").endswith("report.html")
    assert bench.storage.read(f"{bench.root}/model/versions/{manifest.version}/report.html").decode() == page


def test_a_page_that_cannot_be_written_fails_no_training(
    bench: Workbench, source: SourceFiles, caplog: pytest.LogCaptureFixture
) -> None:
    job = bench.train_job(source, cross_validation=0)
    bench.storage.write(f"{bench.root}/model/versions/{job.version}/report.html/in_the_way", b"")
    assert bench.run(job).status == "succeeded"
    assert "The model has no page, because this failed" in caplog.text


def test_a_version_that_is_there_is_not_trained_again(bench: Workbench, source: SourceFiles) -> None:
    job = bench.train_job(source)
    first = bench.run(job)
    before = bench.storage.stat(first.output_uri)
    again = bench.run(job)
    assert again.output_uri == first.output_uri
    assert again.output_sha256 == first.output_sha256
    assert bench.storage.stat(first.output_uri) == before


def test_csv_and_parquet_train_the_same_model(bench: Workbench, table: pa.Table, source: SourceFiles) -> None:
    from_csv = bench.train(source)
    from_parquet = bench.train(bench.write(table, "train.parquet"))
    assert from_csv.feature_schema == from_parquet.feature_schema
    samples = [with_sample(bench.storage, one).parity for one in (from_csv, from_parquet)]
    assert samples[0].predictions == samples[1].predictions


def test_rows_without_a_target_are_left_out_and_counted(bench: Workbench, table: pa.Table) -> None:
    target = pa.array([None] * 10 + table["y"].to_pylist()[10:], pa.int64())
    manifest = bench.train(bench.write(table.drop_columns(["y"]).append_column("y", target), "train.csv"))
    assert (manifest.source.rows_read, manifest.source.rows_used) == (5_003, 4_993)


def test_a_regressor_predicts_numbers(bench: Workbench, table: pa.Table) -> None:
    for name in ("sparse_ridge_regressor", "hist_gradient_boosting_regressor"):
        manifest = bench.train(bench.write(table, "train.parquet"), name, target="float_0", cross_validation=3)
        assert manifest.methods == ("predict",)
        assert set(manifest.metrics) >= {"r2", "rmse", "mae"}
        found = bench.predict(bench.write(table.slice(0, 50), "few.csv"))
        assert found.schema.field("float_0_pred").type == pa.float64()


@pytest.mark.parametrize(
    ("labels", "kind", "expected"),
    [
        (["no", "yes"], "string", ["y_proba_no", "y_proba_yes"]),
        ([False, True], "bool", ["y_proba_false", "y_proba_true"]),
        ([1, 2, 3], "int64", ["y_proba_1", "y_proba_2", "y_proba_3"]),
    ],
)
def test_labels_of_any_type_name_the_outputs(
    bench: Workbench, table: pa.Table, labels: list[Any], kind: str, expected: list[str]
) -> None:
    target = pa.array([labels[i % len(labels)] for i in range(table.num_rows)])
    source = bench.write(table.drop_columns(["y"]).append_column("y", target), "train.parquet")
    manifest = bench.train(source)
    assert manifest.feature_schema.targets[0].classes == tuple(labels)
    few = bench.write(table.slice(0, 20), "few.parquet")
    assert bench.predict(few).column_names[1:] == expected
    found = bench.predict(few, method="predict")
    assert str(found.schema.field("y_pred").type) == kind
    assert set(found["y_pred"].to_pylist()) <= set(labels)


def test_sample_weights_change_the_fit(bench: Workbench, table: pa.Table) -> None:
    weights = pa.array(np.where(table["y"].to_numpy() == 1, 100.0, 1.0))
    source = bench.write(table.append_column("w", weights), "train.parquet")
    weighted = bench.train(source, sample_weight="w", cross_validation=2)
    plain = bench.train(source, excluded_columns=("w",))
    assert "w" not in weighted.feature_schema.feature_names
    few = bench.write(table.slice(0, 100), "few.parquet")
    means = [
        np.mean(bench.predict(few, model=f"{bench.root}/model/versions/{m.version}/manifest.json")["y_proba_1"])
        for m in (weighted, plain)
    ]
    assert means[0] > means[1] + 0.2


def test_all_columns_that_are_not_there_are_named_at_once(bench: Workbench, source: SourceFiles) -> None:
    result = failed(
        bench, source, target="yy", primary_key=("kee",), excluded_columns=("nothing",), sample_weight="weight"
    )
    assert set(problems_of(result)) == {("missing_column", name) for name in ("yy", "kee", "nothing", "weight")}
    assert "float_0" in error_of(result)


def test_keys_that_are_null_or_twice_are_refused(bench: Workbench, table: pa.Table) -> None:
    keys = [None, 5, 5, *table["key"].to_pylist()[3:]]
    source = bench.write(table.drop_columns(["key"]).append_column("key", pa.array(keys, pa.int64())), "train.csv")
    result = failed(bench, source)
    assert problems_of(result) == {("null_key", "key"): 1, ("duplicate_key", "key"): 2}


@pytest.mark.parametrize(
    ("estimator", "params", "message"),
    [
        ("sparse_logistik", {}, "Did you mean 'sparse_logistic'"),
        ("sparse_logistic", {"c": 1}, "no parameter 'c'"),
        ("tests.worker.factories:nothing", {}, "has no 'nothing'"),
        ("not_installed_anywhere:f", {}, "is not installed here"),
        ("tests.worker.factories:dense", {}, "neither a classifier nor a regressor"),
        ("tests.worker.factories:forest", {"trees": 3}, "raised TypeError"),
    ],
)
def test_an_estimator_that_cannot_be_made_is_the_users_error(
    bench: Workbench, source: SourceFiles, estimator: str, params: dict[str, Any], message: str
) -> None:
    result = failed(bench, source, estimator, params=params)
    assert result.error is not None
    assert result.error.kind == "user"
    assert message in error_of(result)


def test_a_classifier_for_a_continuous_target_is_the_users_error(bench: Workbench, source: SourceFiles) -> None:
    result = failed(bench, source, target="float_0")
    assert result.error is not None
    assert result.error.kind == "user"
    assert "float_0" in error_of(result)


def test_a_table_without_rows_is_refused(bench: Workbench, table: pa.Table) -> None:
    assert "too_few_rows" in error_of(failed(bench, bench.write(table.slice(0, 0), "train.csv")))


def test_warnings_of_the_fit_are_kept(bench: Workbench, source: SourceFiles) -> None:
    manifest = bench.train(source, params={"max_iter": 1})
    assert any("ConvergenceWarning" in warning for warning in manifest.warnings)


def test_a_table_as_it_is_can_be_learned_from_and_predicted(bench: Workbench) -> None:
    """Numbers, text codes, categories, booleans, dates, zoned timestamps, and nulls in all of them."""
    rows = 400
    rng = np.random.default_rng(0)
    dates = np.datetime64("2020-01-01") + rng.integers(0, 900, rows).astype("timedelta64[D]")
    mask = rng.random(rows) < 0.1
    table = pa.table(
        {
            "key": pa.array([f"{i:05d}" for i in range(rows)]),
            "zip": pa.array([f"{i % 7:05d}" for i in range(rows)], mask=mask),
            "flag": pa.array(rng.random(rows) < 0.5, mask=mask),
            "day": pa.array(dates.astype("datetime64[D]"), pa.date32(), mask=mask),
            "moment": pa.array(dates.astype("datetime64[us]"), pa.timestamp("us", "UTC"), mask=mask),
            "amount": pa.array(rng.normal(size=rows), mask=mask),
            "nothing": pa.nulls(rows, pa.float64()),
            "y": pa.array(rng.integers(0, 2, rows)),
        }
    )
    for name in ("t.parquet", "t.csv"):
        for estimator in ("sparse_logistic", "hist_gradient_boosting_classifier"):
            manifest = bench.train(bench.write(table, name), estimator)
            kinds = {feature.name: feature.kind for feature in manifest.feature_schema.features}
            assert kinds["zip"] == "categorical", "leading zeros make a code, not a number"
            assert kinds["flag"] == "boolean"
            assert kinds["day"] == kinds["moment"] == "datetime"
            found = bench.predict(bench.write(table, f"again-{name}"), chunks=3)
            assert found["key"].to_pylist() == table["key"].to_pylist()


def test_excluded_columns_are_not_read(bench: Workbench, table: pa.Table) -> None:
    mixed = pa.array([["a", "1", None][i % 3] for i in range(table.num_rows)])
    bench.write(table.append_column("junk", mixed), "1.parquet")
    bench.write(table.append_column("junk", pa.array(range(table.num_rows))), "2.parquet")
    source = bench.source("1.parquet", "2.parquet")
    manifest = bench.train(source, excluded_columns=("junk",), policies={"duplicate_keys": "count"})
    assert "junk" not in [column.name for column in manifest.columns]
    plan, _ = bench.plan(bench.source("1.parquet"))
    assert bench.run_chunk(plan).status == "succeeded"
    assert bench.receipt(plan).problems == ()


@pytest.mark.parametrize(
    "values",
    [
        [datetime(2020, 1, 1 + i % 28, 3, 4, 5, 123_000) for i in range(60)],
        pa.array([1_577_847_845_123_456_789 + i for i in range(60)], pa.timestamp("ns")),
        pa.array([1_577_847_845_123 + i for i in range(60)], pa.timestamp("ms", "Europe/Berlin")),
        pa.array([1_577_847_845 + i for i in range(60)], pa.timestamp("s")),
        pa.array([86_400_000 * i for i in range(60)], pa.date64()),
        pa.array([2**63 + i for i in range(60)], pa.uint64()),
        pa.array([2**60 + i for i in range(60)]),
        pa.array([Decimal(i) / 8 for i in range(60)], pa.decimal128(20, 3)),
        pa.array([None, *range(59)], pa.int8()),
    ],
    ids=["ms", "ns", "ms zoned", "s", "date64", "uint64", "int64", "decimal", "int8"],
)
def test_features_of_any_type_are_replayed_exactly(bench: Workbench, values: Any) -> None:
    if isinstance(values, list):
        values = pa.array(values, pa.timestamp("ms"))
    table = pa.table({"key": range(60), "d": values, "x": [i / 7 for i in range(60)], "y": [i % 2 for i in range(60)]})
    source = bench.write(table, "t.parquet")
    bench.train(source, "hist_gradient_boosting_classifier")
    plan, _ = bench.plan(source)
    result = bench.run_chunk(plan)
    assert result.status == "succeeded", error_of(result)
    assert bench.receipt(plan).parity_max_relative_difference == 0.0


def test_labels_past_the_range_of_int64_are_predicted(bench: Workbench, table: pa.Table) -> None:
    labels = pa.array([2**63 + value for value in table["y"].to_pylist()], pa.uint64())
    bench.train(bench.write(table.drop_columns(["y"]).append_column("y", labels), "t.parquet"))
    found = bench.predict(bench.write(table.slice(0, 50), "p.parquet"), method="predict")
    assert set(found["y_pred"].to_pylist()) <= {2**63, 2**63 + 1}


@pytest.mark.parametrize("folds", [0, 2])
def test_an_estimator_that_raises_while_it_learns_is_the_users_error(
    bench: Workbench, table: pa.Table, folds: int
) -> None:
    infinite = table.append_column("z", pa.array([np.inf] * table.num_rows))
    result = failed(bench, bench.write(infinite, "t.parquet"), cross_validation=folds)
    assert result.error is not None
    assert result.error.kind == "user"
    assert "fit raised ValueError" in error_of(result)


def test_a_method_whose_columns_have_no_names_is_left_out(bench: Workbench, table: pa.Table) -> None:
    few = table.slice(0, 300)
    source = bench.write(
        few.set_column(few.column_names.index("y"), "y", pa.array([i % 4 for i in range(300)])), "t.csv"
    )
    ovo = {"decision_function_shape": "ovo"}
    assert bench.train(source, "sklearn.svm:SVC", params=ovo).methods == ("predict",)
    assert bench.predict(source).column_names == ["key", "y_pred"]


def test_a_version_whose_artifact_is_gone_is_trained_again(bench: Workbench, source: SourceFiles) -> None:
    job = bench.train_job(source)
    first = ModelManifest.from_json(bench.storage.read(bench.run(job).output_uri))
    bench.storage.delete([first.artifact.uri])
    again = bench.run(job)
    assert again.status == "succeeded"
    assert bench.storage.exists(ModelManifest.from_json(bench.storage.read(again.output_uri)).artifact.uri)
    assert bench.predict(bench.source("train.csv"), model=again.output_uri).num_rows == 5_003


def test_a_table_without_features_is_refused(bench: Workbench, table: pa.Table) -> None:
    result = bench.run(bench.train_job(bench.write(table.select(["key", "y"]), "t.parquet")))
    assert problems_of(result) == {("no_features", None): 1}


def test_columns_without_any_value_are_nothing_to_learn_from(bench: Workbench) -> None:
    table = pa.table({"key": [1, 2, 3, 4], "y": [0, 1, 0, 1], "a": pa.nulls(4, pa.string())})
    result = bench.run(bench.train_job(bench.write(table, "t.parquet"), cross_validation=0))
    assert "nothing to learn from" in error_of(result)


def test_a_job_that_does_not_fit_its_format_leaves_a_result_that_says_so(bench: Workbench, source: SourceFiles) -> None:
    job = bench.train_job(source)
    data = job.to_json().replace(b'"deadline_seconds":null', b'"deadline_seconds":-1')
    bench.storage.write(f"{bench.root}/job.json", data)
    assert run_job(f"{bench.root}/job.json", bench.storage) == exit_codes.BROKEN_ENVIRONMENT
    result = JobResult.from_json(bench.storage.read(job.result_uri))
    assert "deadline_seconds" in error_of(result)
