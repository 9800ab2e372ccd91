"""Reasons of trees, and of calibrated and stacked models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    StackingRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from airflow_sklearn.contract.explanation import ModelExplanation
from airflow_sklearn.models.preprocessing import TablePreprocessor
from airflow_sklearn.models.presets import build_preset
from tests.worker.training.test_explanation import table
from tests.worker.workbench import Workbench

HERE = "tests.worker.test_tree_reasons"
ALL = 4  # features


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(5, max_depth=4, random_state=0)


def boosting() -> Any:
    return GradientBoostingRegressor(n_estimators=10, random_state=0)


def boosting_of_classes() -> Any:
    return GradientBoostingClassifier(n_estimators=5, random_state=0)


def histograms() -> Any:
    return HistGradientBoostingClassifier(max_iter=10)


def categories() -> Any:
    return build_preset("hist_gradient_boosting_classifier", {"max_iter": 5})


def best() -> Any:
    estimator = build_preset("best_classifier", {"hist_gradient_boosting__max_iter": 5})
    return estimator.set_params(estimator__extra_trees__estimator__n_estimators=2, estimator__cv=2)


def stack() -> Any:
    scaled = make_pipeline(StandardScaler(), LinearRegression())
    members = [("boosting", boosting()), ("linear", scaled)]
    weighed = StackingRegressor(members, LinearRegression(positive=True), cv=2)
    return make_pipeline(TablePreprocessor(sparse=False, target="numbers"), weighed)


def stack_of_calibrated() -> Any:
    return StackingClassifier([("calibrated", calibrated()), ("forest", forest())], LogisticRegression(), cv=2)


def calibrated() -> Any:
    return CalibratedClassifierCV(LogisticRegression(), cv=3)


def with_nulls() -> pa.Table:
    rows = table().slice(0, 120)
    weak = pa.array([None if n % 5 == 0 else value for n, value in enumerate(rows["weak"].to_pylist())], pa.float64())
    return rows.set_column(rows.column_names.index("weak"), "weak", weak)


@pytest.mark.parametrize(
    ("estimator", "target", "score", "kind"),
    [
        ("forest", "y", "y_proba_true", "trees"),
        ("histograms", "y", "y_decision", "trees"),
        ("categories", "y", "y_decision", "trees"),
        ("boosting", "strong", "strong_pred", "trees"),
        ("stack", "strong", "strong_pred", "stack"),
        ("best", "y", "y_decision", "stack"),
    ],
)
def test_effects_add_up_to_the_score_and_are_the_same_over_any_cut(
    bench: Workbench, estimator: str, target: str, score: str, kind: str
) -> None:
    source = bench.write(with_nulls(), "table.parquet")
    manifest = bench.train(source, f"{HERE}:{estimator}", target=target, cross_validation=0)
    assert manifest.explained == {target: kind}
    asked: dict[str, Any] = {"outputs": [score], "explain": ALL}
    whole, cut = (bench.predict(source, chunks=chunks, **asked) for chunks in (1, 4))
    assert whole.equals(cut)
    effects = np.column_stack([whole[f"{target}_effect_{n}"].fill_null(0.0) for n in range(1, ALL + 1)])
    average = whole[score].to_numpy() - effects.sum(axis=1)
    assert average == pytest.approx(np.full(len(average), average[0]), abs=1e-9)
    assert effects[:, 0].std() > 0


@pytest.mark.parametrize(
    ("estimator", "score"), [("forest", "proba"), ("boosting_of_classes", "decision"), ("best", "decision")]
)
def test_of_several_classes_the_highest_is_explained(bench: Workbench, estimator: str, score: str) -> None:
    source = bench.write(with_nulls(), "table.parquet")
    bench.train(source, f"{HERE}:{estimator}", target="the city", cross_validation=0)
    found = bench.predict(source, outputs=["pred", score], explain=ALL)
    effects = np.column_stack([found[f"the city_effect_{n}"].fill_null(0.0) for n in range(1, ALL + 1)]).sum(axis=1)
    labels = found["the city_pred"].to_pylist()
    assert len(set(labels)) > 1
    for label in set(labels):
        rows = [n for n, predicted in enumerate(labels) if predicted == label]
        average = found[f"the city_{score}_{label}"].to_numpy()[rows] - effects[rows]
        assert average == pytest.approx(np.full(len(rows), average[0]), abs=1e-6)


def test_of_a_calibrated_model_the_mean_score_before_the_calibration_is_explained(bench: Workbench) -> None:
    source = bench.write(with_nulls(), "table.parquet")
    manifest = bench.train(source, f"{HERE}:calibrated", cross_validation=0)
    assert manifest.explained == {"y": "mean"}
    assert manifest.explanation_object is not None
    members = ModelExplanation.from_json(bench.storage.read(manifest.explanation_object.uri)).targets[0].members
    found = bench.predict(source, explain=ALL)
    effects = sum(found[f"y_effect_{n}"].fill_null(0.0).to_numpy() for n in range(1, ALL + 1))
    averages = [one.intercepts[0] + sum(c.mean * c.coefficients[0] for c in one.columns) for one in members]
    fitted = bench.estimator(manifest)
    rows = fitted[:-1].transform(with_nulls().select(["strong", "weak", "noise", "the city"]).to_pandas())
    scores = [one.estimator.decision_function(rows) for one in fitted[-1].calibrated_classifiers_]
    assert np.mean(averages) + effects == pytest.approx(np.mean(scores, axis=0), abs=1e-9)


def test_a_calibration_over_one_model_is_explained_by_this_model(bench: Workbench) -> None:
    source = bench.write(with_nulls(), "table.parquet")
    manifest = bench.train(source, "sparse_logistic", calibration="sigmoid", cross_validation=0)
    assert manifest.explained == {"y": "linear"}
    assert "strong" in bench.predict(source, explain=1)["y_reason_1"].to_pylist()


def test_a_stack_whose_effects_would_not_add_up_is_not_explained(bench: Workbench) -> None:
    source = bench.write(with_nulls(), "table.parquet")
    assert bench.train(source, f"{HERE}:stack_of_calibrated", cross_validation=0).explained == {}
