"""What a model has learned of its features, beside the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from airflow_sklearn.contract.explanation import ModelExplanation, TargetExplanation
from tests.worker.workbench import Workbench

ROWS = 500


def table() -> pa.Table:
    """``strong`` decides, ``weak`` helps a little, ``noise`` does nothing."""
    random = np.random.default_rng(0)
    strong, weak, noise = random.normal(size=(3, ROWS))
    city = random.choice(["Oslo", "Rome", "Lima"], ROWS)
    score = 3 * strong + weak + 2 * (city == "Rome") + random.normal(size=ROWS) / 2
    columns = {"key": np.arange(ROWS), "strong": strong, "weak": weak, "noise": noise, "the city": city, "y": score > 0}
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def users_own() -> Any:
    columns = make_column_transformer((OneHotEncoder(), ["the city"]), (StandardScaler(), ["noise", "strong", "weak"]))
    return make_pipeline(columns, LogisticRegression())


def mixed() -> Any:
    columns = make_column_transformer((StandardScaler(), ["noise", "strong", "weak"]))
    return make_pipeline(columns, PCA(2), LogisticRegression())


def pairs() -> Any:
    return make_pipeline(make_column_transformer((StandardScaler(), ["strong", "weak"])), SVC(kernel="linear"))


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(10, random_state=0)


def explained(bench: Workbench, estimator: str, **changes: Any) -> TargetExplanation:
    manifest = bench.train(bench.write(table(), "table.parquet"), estimator, **changes)
    stored = manifest.explanation_object
    assert stored is not None, manifest.not_made
    document = ModelExplanation.from_json(bench.storage.read(stored.uri))
    assert document.version == manifest.version
    return document.targets[0]


@pytest.mark.parametrize("estimator", ["sparse_logistic", "tests.worker.training.test_explanation:users_own"])
def test_coefficients_of_a_linear_model_have_names_and_add_up_to_its_score(bench: Workbench, estimator: str) -> None:
    found = explained(bench, estimator)
    assert (found.kind, found.outputs, found.importance_method) == ("linear", ("true",), "coefficients")
    assert found.importances[0].feature == "strong"
    by_feature = {column.feature for column in found.columns}
    assert by_feature == {"strong", "weak", "noise", "the city"}
    assert [column.feature for column in found.columns if "Rome" in column.name] == ["the city"]
    decisions = bench.predict(bench.source("table.parquet"), outputs=["decision"])["y_decision"].to_numpy()
    weights = sum(column.mean * column.coefficients[0] for column in found.columns)
    assert weights + found.intercepts[0] == pytest.approx(decisions.mean(), rel=1e-9)


def test_a_linear_model_alone_is_explained_by_its_features(bench: Workbench) -> None:
    changes = {"excluded_columns": ("the city",), "preprocessing": "none"}
    found = explained(bench, "sklearn.linear_model:RidgeClassifier", **changes)
    assert (found.kind, found.exact) == ("linear", True)
    assert [column.name for column in found.columns] == ["strong", "weak", "noise"]


def test_pairs_of_classes_are_no_linear_model(bench: Workbench) -> None:
    found = explained(bench, "tests.worker.training.test_explanation:pairs", target="the city")
    assert (found.kind, found.exact) == ("other", False)


def test_columns_that_a_selection_leaves_out_have_no_weight(bench: Workbench) -> None:
    found = explained(bench, "sparse_logistic")
    assert {"strong", "the city"} <= set(found.used_features)
    unused = {"strong", "weak", "noise", "the city"} - set(found.used_features)
    assert all(not any(column.coefficients) for column in found.columns if column.feature in unused)


def test_a_forest_says_itself_how_much_features_count(bench: Workbench) -> None:
    found = explained(bench, "tests.worker.training.test_explanation:forest")
    assert (found.kind, found.importance_method) == ("trees", "impurity")
    assert found.importances[0].feature == "strong"
    assert sum(one.value for one in found.importances) == pytest.approx(1.0)


def test_a_model_without_importances_gets_them_on_held_out_rows(bench: Workbench) -> None:
    estimator, params = "hist_gradient_boosting_classifier", {"max_iter": 20}
    found = explained(bench, estimator, params=params, cross_validation=2)
    assert (found.importance_method, found.scoring) == ("permutation", "neg_log_loss")
    by_feature = {one.feature: one.value for one in found.importances}
    assert found.importances[0].feature == "strong"
    assert by_feature["strong"] > 10 * abs(by_feature["noise"])
    assert explained(bench, estimator, params=params, cross_validation=0).importances == ()


def test_a_step_that_mixes_columns_gives_columns_of_no_one_feature(bench: Workbench) -> None:
    found = explained(bench, "tests.worker.training.test_explanation:mixed")
    assert [column.feature for column in found.columns] == ["", ""]
