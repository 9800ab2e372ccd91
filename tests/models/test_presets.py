from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import is_classifier
from sklearn.ensemble import StackingClassifier
from sklearn.metrics import r2_score, roc_auc_score

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.presets import PRESETS, build_preset

#: Parameters that keep tests short.
SHORT: dict[str, dict[str, Any]] = {
    "gradient_boosting": {"n_estimators": 40},
    "random_forest": {"n_estimators": 20},
    "extra_trees": {"n_estimators": 60},
    "stacking_classifier": {
        "sparse_logistic__Cs": 2,
        "sparse_logistic__tol": 0.01,
        "final_estimator__meta-estimator__Cs": 2,
        "gradient_boosting_classifier__n_estimators": 5,
        "random_forest_classifier__n_estimators": 5,
    },
    "stacking_regressor": {"gradient_boosting_regressor__n_estimators": 5, "random_forest_regressor__n_estimators": 5},
    "hist_gradient_boosting": {"max_iter": 30},
    "multilayer_perceptron": {"max_iter": 30},
    "best": {"hist_gradient_boosting__max_iter": 10, "extra_trees__estimator__n_estimators": 10},
}


def short(name: str) -> dict[str, Any]:
    return next((params for prefix, params in SHORT.items() if name.startswith(prefix)), {})


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_learns_from_a_real_table_and_learns_the_same_again(
    name: str, table: pa.Table, labels: np.ndarray
) -> None:
    held = table.slice(400)
    answers = []
    for _ in range(2):
        pipeline = build_preset(name, short(name)).fit(table.slice(0, 400), labels[:400])
        answers.append(pipeline.predict_proba(held)[:, 1] if is_classifier(pipeline) else pipeline.predict(held))
    assert answers[0].tobytes() == answers[1].tobytes()
    if is_classifier(pipeline):
        assert roc_auc_score(labels[400:], answers[0]) > 0.78
    else:
        assert r2_score(labels[400:], answers[0]) > 0.2


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", [name for name in PRESETS if is_classifier(PRESETS[name].build())])
def test_a_preset_learns_several_classes_by_name(name: str, table: pa.Table) -> None:
    carriers = np.array(table["carrier"].to_pylist(), dtype=object)
    told = table.append_column("hint", pa.array([f"to {carrier}" for carrier in carriers]))
    pipeline = build_preset(name, short(name)).fit(told.slice(0, 300), carriers[:300])
    assert pipeline.classes_.tolist() == ["AA", "B6", "UA"]
    assert (pipeline.predict(told.slice(300)) == carriers[300:]).mean() > 0.9


@pytest.mark.parametrize("name", PRESETS)
def test_artifacts_hold_scikit_learns_classes_and_ours_only(name: str, table: pa.Table, labels: np.ndarray) -> None:
    pipeline = build_preset(name, short(name)).fit(table.slice(0, 200), labels[:200])
    found: set[str] = set()

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            found.add(module.partition(".")[0])
            return super().find_class(module, name)

    Unpickler(io.BytesIO(pickle.dumps(pipeline))).load()
    assert found <= {"sklearn", "airflow_sklearn", "numpy", "scipy", "builtins", "copyreg", "functools", "_loss"}


def test_histogram_boosting_takes_categories_as_categories_and_nulls_as_nulls(
    table: pa.Table, labels: np.ndarray
) -> None:
    pipeline = build_preset("hist_gradient_boosting_classifier", {"max_iter": 5}).fit(table, labels)
    names = pipeline[0].get_feature_names_out().tolist()
    assert [names[i] for i in np.flatnonzero(pipeline[-1].is_categorical_)] == ["city", "carrier"]
    assert np.isnan(pipeline[0].transform(table)["distance"]).sum() == table["distance"].null_count


def test_histogram_boosting_learns_of_nominal_levels_whatever_their_names() -> None:
    random = np.random.default_rng(0)
    level = random.integers(0, 200, 4000)
    y = random.normal(size=200)[level] + random.normal(0, 0.3, 4000)
    table = pa.table({"shop": [f"s{i}" for i in level]})
    pipeline = build_preset("hist_gradient_boosting_regressor").fit(table.slice(0, 3000), y[:3000])
    assert r2_score(y[3000:], pipeline.predict(table.slice(3000))) > 0.85


def test_histogram_boosting_takes_more_levels_than_it_has_bins() -> None:
    random = np.random.default_rng(0)
    level = random.integers(0, 400, 8000)
    y = random.normal(size=400)[level] + random.normal(0, 0.3, 8000)
    table = pa.table({"shop": [f"s{i}" for i in level]})
    pipeline = build_preset("hist_gradient_boosting_regressor")
    with pytest.warns(UserWarning, match=r"mean of the target \(levels\): {'shop': 400}"):
        pipeline.fit(table.slice(0, 6000), y[:6000])
    assert r2_score(y[6000:], pipeline.predict(table.slice(6000))) > 0.85


def test_sparse_presets_select_columns() -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(500, 30))
    table = pa.table({f"x{i}": X[:, i] for i in range(30)})
    pipeline = build_preset("sparse_linear_regressor").fit(table, X[:, 3] - X[:, 7] + random.normal(0, 0.5, 500))
    kept = pipeline[:-1].get_feature_names_out().tolist()
    assert {"x3", "x7"} <= set(kept)
    assert len(kept) < 25


def test_stacks_have_the_presets_names() -> None:
    stack = build_preset("stacking_classifier")[-1]
    assert isinstance(stack, StackingClassifier)
    assert [name for name, _ in stack.estimators] == [
        "sparse_logistic",
        "gradient_boosting_classifier",
        "random_forest_classifier",
    ]
    assert stack.final_estimator.steps[-1][0] == "meta-estimator"


def test_parameters_go_to_the_final_step_and_into_a_transformed_target() -> None:
    assert build_preset("sparse_logistic", {"C": 0.1})[-1].C == 0.1
    assert build_preset("multilayer_perceptron_regressor", {"alpha": 0.5})[-1].regressor.alpha == 0.5


def test_presets_are_built_anew() -> None:
    build_preset("sparse_logistic", {"C": 0.1})
    assert build_preset("sparse_logistic")[-1].C == 499999950


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_searched_exists(name: str) -> None:
    preset = PRESETS[name]
    parameters = preset.build()[-1].get_params()
    assert set(preset.distributions) <= set(parameters)
    assert preset.cost is None or preset.cost[0] in parameters


def test_an_unknown_preset_lists_those_that_there_are() -> None:
    with pytest.raises(UserError, match=r"Did you mean 'sparse_logistic'.*hist_gradient_boosting_classifier"):
        build_preset("sparse_logistics")


def test_an_unknown_parameter_lists_those_that_there_are() -> None:
    with pytest.raises(UserError, match=r"'max_iters'.*Did you mean 'max_iter'.*'solver'"):
        build_preset("sparse_logistic", {"max_iters": 3})
