"""Reasons of trees, by shap. It runs where shap is installed, as in the image of who asks for reasons."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier, RandomForestClassifier

from tests.worker.training.test_explanation import table
from tests.worker.workbench import Workbench

pytest.importorskip("shap")
HERE = "tests.worker.test_tree_reasons"
ALL = 4  # features


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(5, max_depth=4, random_state=0)


def boosting() -> GradientBoostingRegressor:
    return GradientBoostingRegressor(n_estimators=10, random_state=0)


def histograms() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=10)


def with_nulls() -> pa.Table:
    rows = table()
    weak = pa.array([None if n % 5 == 0 else value for n, value in enumerate(rows["weak"].to_pylist())], pa.float64())
    return rows.set_column(rows.column_names.index("weak"), "weak", weak)


@pytest.mark.parametrize(
    ("estimator", "target", "score"),
    [
        ("forest", "y", "y_proba_true"),
        ("histograms", "y", "y_decision"),
        ("boosting", "strong", "strong_pred"),
    ],
)
def test_effects_of_trees_add_up_to_the_score_and_are_the_same_over_any_cut(
    bench: Workbench, estimator: str, target: str, score: str
) -> None:
    source = bench.write(with_nulls(), "table.parquet")
    excluded = ("the city",) if estimator == "histograms" else ()  # it would split by categories
    manifest = bench.train(source, f"{HERE}:{estimator}", target=target, excluded_columns=excluded)
    assert manifest.explained == {target: "trees"}
    asked: dict[str, Any] = {"outputs": [score], "explain": ALL}
    whole, cut = (bench.predict(source, chunks=chunks, **asked) for chunks in (1, 7))
    assert whole.equals(cut)
    effects = np.column_stack([whole[f"{target}_effect_{n}"].fill_null(0.0) for n in range(1, ALL + 1)])
    average = whole[score].to_numpy() - effects.sum(axis=1)
    assert average == pytest.approx(np.full(len(average), average[0]), abs=1e-9)
    assert effects[:, 0].std() > 0


def test_of_several_classes_the_highest_is_explained(bench: Workbench) -> None:
    source = bench.write(table(), "table.parquet")
    bench.train(source, f"{HERE}:forest", target="the city")
    found = bench.predict(source, outputs=["pred", "proba"], explain=ALL)
    effects = np.column_stack([found[f"the city_effect_{n}"].fill_null(0.0) for n in range(1, ALL + 1)]).sum(axis=1)
    labels = found["the city_pred"].to_pylist()
    for label in ("Lima", "Oslo", "Rome"):
        rows = [n for n, predicted in enumerate(labels) if predicted == label]
        average = found[f"the city_proba_{label}"].to_numpy()[rows] - effects[rows]
        assert average == pytest.approx(np.full(len(rows), average[0]), abs=1e-9)
