"""Several targets in one model, through whole jobs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import r2_score, roc_auc_score

from airflow_sklearn.contract.model import ModelManifest, PresetEstimator, SeveralEstimators
from airflow_sklearn.contract.validation import HeldOutRows
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.several_targets import SeveralTargets
from tests.worker.training.test_metrics import document
from tests.worker.training.test_out_of_sample import scores
from tests.worker.workbench import Workbench, error_of

BOTH = SeveralEstimators(
    by_target={
        "a": PresetEstimator(name="sparse_logistic"),
        'größe "x"': PresetEstimator(name="sparse_ridge_regressor"),
    }
)


def customers(rows: int = 300) -> pa.Table:
    """Two classifications with different classes and a number, each null in other rows."""
    rng = np.random.default_rng(0)
    x, kind = rng.normal(size=rows), rng.choice(["p", "q"], rows)
    number = np.arange(rows)
    return (
        pa.table(
            {
                "key": number,
                "x": pa.array(x, mask=number % 11 == 0),
                "kind": kind.tolist(),
                "a": pa.array(np.where(x + rng.normal(size=rows) > 0, "yes", "no"), mask=number % 5 == 0),
                "b": pa.array(np.digitize(x + rng.normal(size=rows), [-1, 1]), mask=number % 5 == 1),
                'größe "x"': pa.array(3 * x + rng.normal(size=rows), mask=number % 5 == 2),
            }
        )
        .append_column("none", pa.nulls(rows, pa.float64()))
        .drop_columns(["none"])
    )


def two(bench: Workbench, **changes: Any) -> ModelManifest:
    options: dict[str, Any] = {"target": ("a", "b"), "excluded_columns": ('größe "x"',), "cross_validation": 3}
    return bench.train(bench.write(customers(), "t.parquet"), **{**options, **changes})


def test_one_artifact_predicts_targets_with_different_classes(bench: Workbench) -> None:
    manifest = two(bench)
    assert [(one.name, one.classes) for one in manifest.feature_schema.targets] == [
        ("a", ("no", "yes")),
        ("b", (0, 1, 2)),
    ]
    assert isinstance(bench.estimator(manifest), SeveralTargets)
    assert manifest.source.rows_used == 300
    found = bench.predict(bench.write(customers(), "new.csv"))
    assert found.column_names == ["key", "a_proba_no", "a_proba_yes", "b_proba_0", "b_proba_1", "b_proba_2"]
    labels = bench.predict(bench.write(customers(), "new.csv"), method="predict")
    assert set(labels["a_pred"].to_pylist()) == {"no", "yes"}
    assert set(labels["b_pred"].to_pylist()) <= {0, 1, 2}


def test_a_row_without_one_target_trains_the_others(bench: Workbench) -> None:
    together, source = two(bench), bench.write(customers(), "t.parquet")
    alone = bench.train(source, target="b", excluded_columns=("a", 'größe "x"'), cross_validation=0)
    few = bench.write(customers().slice(0, 50), "few.parquet")
    found = [
        bench.predict(few, model=f"{bench.root}/model/versions/{one.version}/manifest.json").sort_by("key")
        for one in (together, alone)
    ]
    assert np.allclose(found[0]["b_proba_2"], found[1]["b_proba_2"], rtol=1e-9)


def test_predictions_have_equal_bits_in_any_cut(bench: Workbench) -> None:
    two(bench, estimator=PresetEstimator(name="hist_gradient_boosting_classifier", params={"max_iter": 5}))
    source = bench.write(customers(), "new.csv")
    one, seven, hundred = (bench.predict(source, chunks=chunks).sort_by("key") for chunks in (1, 7, 100))
    assert one.equals(seven)
    assert one.equals(hundred)


def test_classes_and_numbers_are_in_one_model_each_by_its_best_method(bench: Workbench) -> None:
    number = 'größe "x"'
    manifest = two(bench, estimator=BOTH, target=("a", number), excluded_columns=("b",))
    found = bench.predict(bench.write(customers(), "new.csv"))
    assert found.column_names == ["key", "a_proba_no", "a_proba_yes", f"{number}_pred"]
    assert [one.task for one in manifest.feature_schema.targets] == ["classification", "regression"]
    a, size = document(bench, manifest).targets
    table = scores(manifest)
    there = pc.is_valid(table[f"{number}_pred"])
    kept = table.filter(there)
    assert size.values["r_squared"] == pytest.approx(r2_score(kept[number], kept[f"{number}_pred"]))
    assert (a.task, size.task) == ("binary", "regression")
    assert set(manifest.metrics) == {"a.roc_auc", "a.log_loss", "a.accuracy", "a.brier"} | {
        f"{number}.{name}" for name in ("r2", "rmse", "mae")
    }


def test_out_of_sample_rows_are_one_table_with_nulls_where_a_target_is_null(bench: Workbench) -> None:
    manifest = two(bench)
    found = scores(manifest)
    assert found.column_names[:5] == ["key", "a", "fold_a", "a_proba_no", "a_proba_yes"]
    assert found["key"].to_pylist() == list(range(300))
    for name in ("a", "b"):
        nulls = [pc.is_null(found[column]) for column in (name, f"fold_{name}")]
        assert nulls[0].equals(nulls[1])
    kept = found.filter(pc.is_valid(found["a"]))
    expected = roc_auc_score(pc.equal(kept["a"], "yes"), kept["a_proba_yes"])
    a, b = document(bench, manifest).targets
    assert (a.target, a.rows, b.target, b.rows) == ("a", 240, "b", 240)
    assert a.values["roc_auc"] == pytest.approx(expected)


def test_some_of_the_targets_may_be_predicted(bench: Workbench) -> None:
    two(bench)
    source = bench.write(customers(), "new.csv")
    assert bench.predict(source, targets=["b"]).column_names == ["key", "b_proba_0", "b_proba_1", "b_proba_2"]
    assert bench.predict(source, targets=["a"], outputs=["proba:yes"]).column_names == ["key", "a_proba_yes"]
    with pytest.raises(UserError, match=r"There is no 'bb'. Did you mean 'b'\? .*predicts a, b"):
        bench.plan(source, targets=["bb"])


def test_a_target_whose_name_continues_another_ones_gets_columns_of_its_own(bench: Workbench) -> None:
    table = customers().select(["key", "x", "a", "b"]).rename_columns(["key", "x", "a", "a_proba"])
    table = table.set_column(2, "a", pc.if_else(pc.equal(table["a"], "yes"), "pred", table["a"]))
    bench.train(bench.write(table, "t.parquet"), target=("a", "a_proba"))
    found = bench.predict(bench.write(table, "new.parquet"), outputs=["proba", "pred"])
    assert len(set(found.column_names)) == len(found.column_names)
    assert {"a_proba_pred", "a_proba_pred_"} <= set(found.column_names)


def test_a_threshold_and_calibration_are_those_of_the_targets_that_they_fit(bench: Workbench) -> None:
    number = 'größe "x"'
    manifest = two(
        bench,
        estimator=BOTH,
        target=("a", number),
        excluded_columns=("b",),
        threshold="f1",
        calibration="sigmoid",
        class_weight="balanced",
    )
    assert set(manifest.thresholds) == {"a"}
    found = bench.predict(bench.write(customers(), "new.csv"), outputs=["label", "pred", "proba:yes"])
    assert found["a_label"].equals(found["a_pred"])
    decided = pc.greater_equal(found["a_proba_yes"], manifest.thresholds["a"])
    assert pc.if_else(decided, "yes", "no").equals(found["a_pred"])


def test_several_targets_are_validated_on_held_out_rows(bench: Workbench) -> None:
    source = bench.write(customers().slice(200), "other.csv")
    way = HeldOutRows(source=source, objects=bench.storage.expand(source.uris))
    manifest = two(bench, validation=way, cross_validation=1)
    assert [one.rows for one in document(bench, manifest).targets] == [80, 80]
    assert scores(manifest)["key"].to_pylist() == list(range(200, 300))


def test_a_target_that_is_a_feature_or_has_one_class_is_named(bench: Workbench) -> None:
    table = customers().append_column("one", pa.array(["same"] * 300))
    source = bench.write(table, "t.parquet")
    result = bench.run(bench.train_job(source, target=("a", "one")))
    assert "'one' has one class only" in error_of(result)
