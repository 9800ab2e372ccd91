"""Ways to validate, through whole jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from airflow_sklearn.contract.model import ModelManifest
from airflow_sklearn.contract.search import Search
from airflow_sklearn.contract.validation import GroupFolds, HeldOutRows, TimeFolds
from tests.worker.training.test_out_of_sample import scores
from tests.worker.workbench import Workbench, error_of, problems_of

NEIGHBOUR = "sklearn.neighbors:KNeighborsClassifier"


def visits(rows: int = 400) -> pa.Table:
    """Several visits of each customer, whose label is the same in all of them and follows from nothing else."""
    rng = np.random.default_rng(0)
    customer = np.arange(rows) // 8
    label = rng.integers(0, 2, rows // 8)[customer]
    taste = rng.normal(size=rows // 8)[customer] + rng.normal(scale=1e-3, size=rows)
    day = pa.array(np.datetime64("2024-01-01") + rng.permutation(rows) // 2)
    return pa.table({"key": range(rows), "taste": taste, "customer": customer, "day": day, "y": label})


def test_a_model_that_knows_its_customers_is_found_out_by_groups(bench: Workbench) -> None:
    source = bench.write(visits(), "t.csv")
    shuffled = bench.train(source, NEIGHBOUR, cross_validation=4, excluded_columns=("customer", "day"))
    options: dict[str, Any] = {"excluded_columns": ("day",), "validation": GroupFolds("customer")}
    grouped = bench.train(source, NEIGHBOUR, cross_validation=4, **options)
    assert shuffled.metrics["accuracy"] > 0.95
    assert grouped.metrics["accuracy"] < 0.7
    assert grouped.feature_schema.feature_names == ("taste",)
    assert grouped.validation == GroupFolds("customer")
    folds = scores(grouped)["fold"].to_numpy()
    by_customer = [set(folds[visits()["customer"].to_numpy() == one]) for one in range(50)]
    assert all(len(found) == 1 for found in by_customer)


def test_by_time_only_later_rows_are_scored(bench: Workbench) -> None:
    way = TimeFolds("day", folds=3, gap=timedelta(days=10))
    manifest = bench.train(bench.write(visits(), "t.parquet"), cross_validation=3, validation=way)
    found = scores(manifest)
    days = visits()["day"].take(found["key"])
    assert found.num_rows == manifest.out_of_sample.rows == 300
    assert (
        pc.min(days).as_py()
        == pc.quantile(visits()["day"].cast(pa.int32()), 0.25, interpolation="higher")[0]
        .cast(pa.int32())
        .cast(pa.date32())
        .as_py()
    )
    assert "day" in manifest.feature_schema.feature_names
    last = pc.equal(found["fold"], 3)
    assert pc.min(days.filter(last)).as_py() > pc.max(days.filter(pc.invert(last))).as_py()


def held_out(bench: Workbench, table: pa.Table, name: str) -> dict[str, Any]:
    source = bench.write(table, name)
    return {
        "cross_validation": 1,
        "validation": HeldOutRows(source=source, objects=bench.storage.expand(source.uris)),
    }


@pytest.mark.parametrize("name", ["other.csv", "other.parquet"])
def test_rows_of_another_source_are_scored_by_the_model_itself(bench: Workbench, table: pa.Table, name: str) -> None:
    other = table.slice(4000)
    manifest: ModelManifest = bench.train(bench.write(table.slice(0, 4000), "t.csv"), **held_out(bench, other, name))
    found = scores(manifest)
    assert found["key"].to_pylist() == other["key"].to_pylist()
    assert manifest.metrics["roc_auc"] == roc_auc_score(other["y"], found["y_proba_1"])
    assert manifest.metrics_std["roc_auc"] is None
    predicted = bench.predict(bench.write(other, "again.parquet"))
    assert np.allclose(predicted["y_proba_1"], found["y_proba_1"], rtol=1e-12)


def test_held_out_rows_without_a_column_or_with_a_new_class_are_refused(bench: Workbench, table: pa.Table) -> None:
    source = bench.write(table.slice(0, 1000), "t.csv")
    narrow = table.slice(1000).drop_columns(["float_1", "y"])
    result = bench.run(bench.train_job(source, **held_out(bench, narrow, "narrow.csv")))
    assert set(problems_of(result)) == {("missing_column", "float_1"), ("missing_column", "y")}
    classes = table.slice(1000, 3).set_column(table.column_names.index("y"), "y", pa.array([0, 1, 7]))
    result = bench.run(bench.train_job(source, **held_out(bench, classes, "classes.csv")))
    assert "classes that no training row has (class: rows): {7: 1}" in error_of(result)


@pytest.mark.parametrize(
    ("way", "fault"),
    [
        (GroupFolds("customer"), ("null_group", "customer")),
        (GroupFolds("custmer"), ("missing_column", "custmer")),
        (TimeFolds("day"), ("null_time", "day")),
        (TimeFolds("day", gap=3), ("wrong_type", "day")),
        (TimeFolds("word"), ("wrong_type", "word")),
    ],
    ids=str,
)
def test_columns_that_decide_no_folds_are_named(bench: Workbench, way: Any, fault: tuple[str, str]) -> None:
    table = visits().append_column("word", pa.array(["a", "b"] * 200))
    hole = pa.array([i == 5 for i in range(400)])
    for name in ("customer", "day"):
        column = pc.if_else(hole, None, table[name])
        table = table.set_column(table.column_names.index(name), name, column)
    result = bench.run(bench.train_job(bench.write(table, "t.parquet"), cross_validation=4, validation=way))
    assert fault in problems_of(result)


def test_linear_models_without_probabilities_keep_their_decision_values(bench: Workbench) -> None:
    table = pa.table({"key": range(300), "x": np.tile([0.0, 1, 2], 100), "y": np.tile(["a", "b", "c"], 100)})
    table = table.append_column("z", pa.array(np.random.default_rng(0).normal(size=300)))
    manifest = bench.train(bench.write(table, "t.csv"), "sklearn.linear_model:RidgeClassifier", cross_validation=3)
    assert scores(manifest).column_names == ["key", "y", "fold", "y_pred", *(f"y_decision_{c}" for c in "abc")]
    assert 0.5 < (manifest.metrics["roc_auc_macro"] or 0) <= 1


def test_a_search_does_not_see_a_customer_on_both_sides_either(bench: Workbench) -> None:
    asked = Search(method="grid", params={"n_neighbors": [1, 60]}, scoring="accuracy", cv=3)
    options: dict[str, Any] = {"parameter_search": asked, "validation": GroupFolds("customer", folds=2)}
    manifest = bench.train(bench.write(visits(), "t.csv"), NEIGHBOUR, excluded_columns=("day",), **options)
    (found,) = manifest.search_results
    assert found.best_score is not None
    assert found.best_score < 0.7, "the nearest neighbour is the customer's own other visit, if the folds allow it"


def test_a_calibration_keeps_to_groups_and_time_and_forgets_the_rows(bench: Workbench) -> None:
    source = bench.write(visits(), "t.csv")
    for way in (GroupFolds("customer", folds=2), TimeFolds("day", folds=2, gap=timedelta(days=2))):
        options: dict[str, Any] = {"params": {"n_neighbors": 1}, "calibration": "sigmoid", "validation": way}
        options["cross_validation"] = 2
        excluded = ("day",) if isinstance(way, GroupFolds) else ("customer",)
        manifest = bench.train(source, NEIGHBOUR, excluded_columns=excluded, **options)
        fitted = bench.estimator(manifest)
        assert not manifest.not_made
        assert isinstance(fitted.cv, StratifiedKFold)
        assert manifest.metrics["log_loss"] is not None
        if isinstance(way, GroupFolds):
            assert manifest.metrics["log_loss"] < 0.8, (
                "calibrated on the customer's own visits it would be sure, and wrong"
            )


def test_too_few_moments_for_the_folds_of_a_calibration_are_told_before_anything_is_fitted(bench: Workbench) -> None:
    rows = visits().set_column(3, "day", pa.array([n % 4 for n in range(400)]))
    options: dict[str, Any] = {"calibration": "sigmoid", "validation": TimeFolds("day", folds=2), "cross_validation": 2}
    said = error_of(bench.run(bench.train_job(bench.write(rows, "t.csv"), NEIGHBOUR, **options)))
    assert "calibration fits in 5 folds" in said
    assert "TimeFolds('day')" in said
