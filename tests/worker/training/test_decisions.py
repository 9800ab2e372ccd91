"""Fit parameters, rare classes, calibration and thresholds, through whole jobs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics import log_loss
from sklearn.model_selection import FixedThresholdClassifier

from airflow_sklearn.contract.model import ModelManifest
from tests.worker.training.test_metrics import document
from tests.worker.training.test_out_of_sample import scores
from tests.worker.workbench import Workbench, error_of

FOREST = "sklearn.ensemble:RandomForestClassifier"


def rare(rows: int = 800) -> pa.Table:
    """A class of one row in eight; text, nulls and numbers; weights."""
    rng = np.random.default_rng(0)
    y = rng.random(rows) < 0.12
    return pa.table(
        {
            "key": range(rows),
            "x": pa.array(rng.normal(size=rows) + y, mask=rng.random(rows) < 0.1),
            "kind of 'row'": pa.array(rng.choice(["é", "select", None], rows).tolist()),
            "z": rng.normal(size=rows) + y,
            "w": rng.random(rows),
            "y": pa.array(np.where(y, "yes", "no")),
        }
    )


def test_a_calibrated_forest_has_better_probabilities_and_equal_bits_in_any_cut(bench: Workbench) -> None:
    source = bench.write(rare(), "t.csv")
    options: dict[str, Any] = {"params": {"n_estimators": 15, "random_state": 0}, "excluded_columns": ("w",)}
    plain = bench.train(source, FOREST, cross_validation=2, **options)
    manifest = bench.train(source, FOREST, cross_validation=2, calibration="isotonic", **options)
    losses = []
    for one in (plain, manifest):
        found = scores(one)
        losses.append(log_loss(found["y"], np.stack([found["y_proba_no"], found["y_proba_yes"]], axis=1)))
    assert losses[1] < losses[0]
    assert manifest.calibration == "isotonic"
    one, seven, hundred = (bench.predict(source, chunks=chunks).sort_by("key") for chunks in (1, 7, 100))
    assert one.equals(seven)
    assert one.equals(hundred)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
def test_each_way_to_calibrate_is_that_of_scikit_learn(bench: Workbench, method: str) -> None:
    result = bench.run(bench.train_job(bench.write(rare(), "t.csv"), calibration=method, excluded_columns=("w",)))
    if method == "temperature" and sklearn.__version__ < "1.8":
        assert "needs scikit-learn 1.8 or newer" in error_of(result)
        return
    manifest = ModelManifest.from_json(bench.storage.read(result.output_uri))
    estimator = bench.estimator(manifest)
    assert isinstance(estimator, CalibratedClassifierCV)
    assert estimator.method == method


def test_weights_reach_the_estimator_within_a_calibration(bench: Workbench) -> None:
    table = rare()
    table = table.set_column(4, "w", pa.array(np.where(table["y"].to_numpy(False) == "yes", 8.0, 1.0)))
    source = bench.write(table, "t.parquet")
    logistic = "sklearn.linear_model:LogisticRegression"
    options: dict[str, Any] = {"calibration": "sigmoid"}
    weighted = bench.train(source, logistic, sample_weight="w", **options)
    plain = bench.train(source, logistic, excluded_columns=("w",), **options)
    inner = [bench.estimator(one).calibrated_classifiers_[0].estimator.steps[-1][1] for one in (weighted, plain)]
    assert inner[0].intercept_ > inner[1].intercept_ + 1
    assert not [one for one in weighted.warnings if "sample_weight" in one]


def test_linear_machines_get_probabilities_by_calibration(bench: Workbench) -> None:
    source = bench.write(rare(), "t.csv")
    manifest = bench.train(source, "sklearn.svm:LinearSVC", calibration="sigmoid", excluded_columns=("w",))
    assert "predict_proba" in manifest.methods


def test_a_tuned_threshold_is_recorded_and_decides_predictions_in_any_cut(bench: Workbench) -> None:
    source = bench.write(rare(), "t.csv")
    options: dict[str, Any] = {"excluded_columns": ("w",), "cross_validation": 3}
    plain = bench.train(source, **options)
    manifest = bench.train(source, threshold="f1", **options)
    threshold = manifest.thresholds["y"]
    assert threshold < 0.4
    assert isinstance(bench.estimator(manifest), FixedThresholdClassifier)
    f1 = [document(bench, one).targets[0].values["f1"] for one in (plain, manifest)]
    assert f1[1] > f1[0]
    probabilities = bench.predict(source, method="predict_proba").sort_by("key")["y_proba_yes"].to_numpy()
    for chunks in (1, 7):
        labels = bench.predict(source, method="predict", chunks=chunks).sort_by("key")["y_pred"].to_pylist()
        assert labels == np.where(probabilities >= threshold, "yes", "no").tolist()


def test_a_given_threshold_needs_no_validation_and_decides_by_decision_values_too(bench: Workbench) -> None:
    source = bench.write(rare(), "t.csv")
    manifest = bench.train(source, "sklearn.svm:LinearSVC", threshold=-0.7, excluded_columns=("w",))
    decisions = bench.predict(source, method="decision_function").sort_by("key")["y_decision"].to_numpy()
    labels = bench.predict(source, method="predict").sort_by("key")["y_pred"].to_pylist()
    assert labels == np.where(decisions >= -0.7, "yes", "no").tolist()
    assert manifest.thresholds == {"y": -0.7}


def balanced_share(bench: Workbench, manifest: ModelManifest) -> float:
    return document(bench, manifest).targets[0].values["pop_incidence_pred"][1]


@pytest.mark.parametrize("estimator", ["sparse_logistic", "hist_gradient_boosting_classifier"])
def test_balanced_classes_are_predicted_more_often_in_validation_too(bench: Workbench, estimator: str) -> None:
    source = bench.write(rare(), "t.csv")
    options: dict[str, Any] = {"excluded_columns": ("w",), "cross_validation": 2}
    plain, balanced = (bench.train(source, estimator, class_weight=w, **options) for w in (None, "balanced"))
    assert balanced_share(bench, balanced) > balanced_share(bench, plain) + 0.05


def test_any_parameter_of_fit_may_come_from_a_column(bench: Workbench) -> None:
    source = bench.write(rare(), "t.csv")
    by_name = bench.train(source, fit_params={}, sample_weight="w", cross_validation=2)
    manifest = bench.train(source, "tests.worker.factories:Remembering", fit_params={"note": "w"}, cross_validation=2)
    assert "w" not in manifest.feature_schema.feature_names
    assert bench.estimator(manifest).steps[-1][1].note_ == pytest.approx(rare()["w"].to_pylist())
    assert by_name.sample_weight == "w"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fit_params": {"nose": "w"}}, "LogisticRegression.fit takes no 'nose'. It takes sample_weight"),
        ({"fit_params": {"sample_wieght": "w"}}, "Did you mean 'sample_weight'"),
        ({"threshold": "f1"}, "there is none. Fix: validate, or give a number"),
        ({"target": "x", "estimator": "sparse_ridge_regressor", "calibration": "sigmoid"}, "calibration='sigmoid' is "),
        ({"target": "three", "threshold": 0.3}, "'three' has 3 classes, and a threshold decides between two"),
    ],
    ids=["unknown", "misspelled", "unvalidated", "regression", "three classes"],
)
def test_what_cannot_be_is_said_with_the_fix(bench: Workbench, options: dict[str, Any], message: str) -> None:
    estimator = options.pop("estimator", "sparse_logistic")
    table = rare().append_column("three", pa.array([i % 3 for i in range(800)]))
    result = bench.run(bench.train_job(bench.write(table, "t.csv"), estimator, **options))
    assert message in error_of(result)


def test_a_class_too_rare_for_calibration_is_named_with_its_rows(bench: Workbench) -> None:
    table = rare()
    labels = ["rare" if i < 6 else label for i, label in enumerate(table["y"].to_pylist())]
    source = bench.write(table.set_column(5, "y", pa.array(labels)), "t.csv")
    result = bench.run(bench.train_job(source, calibration="sigmoid", cross_validation=3))
    assert "{'rare': 4}" in error_of(result)


def test_a_column_for_fit_that_is_not_there_is_told_under_the_name_of_the_parameter(bench: Workbench) -> None:
    source = bench.write(rare(100), "t.csv")
    result = bench.run(bench.train_job(source, fit_params={"note": "nowhere"}, sample_weight="nothing"))
    said = error_of(result)
    assert "named in fit_params['note']" in said
    assert "named in sample_weight, or fit_params['sample_weight']" in said
