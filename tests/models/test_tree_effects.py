"""The effects of features in trees are Shapley values: compared with their definition, over all sets of features."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LinearRegression

from airflow_sklearn.models.tree_effects import Tree, TreeEffects
from airflow_sklearn.models.tree_models import has_known_trees, tree_model

ROWS = 60
FEATURES = np.array([0, 1, 2, 2])  # the last two columns are made of one feature


def frame(*, nulls: bool = False, categories: bool = False) -> pd.DataFrame:
    random = np.random.default_rng(3)
    found = pd.DataFrame(random.normal(size=(ROWS, 4)), columns=list("abcd"))
    if nulls:
        found.loc[::5, "a"] = np.nan
    if categories:
        found["b"] = pd.Categorical(random.choice(list("pqrstu"), ROWS))
    return found


def known(tree: Tree, features: np.ndarray, row: np.ndarray, players: set[int], node: int = 0) -> np.ndarray:
    """The tree's answer for a row of which only some features are known."""
    if tree.columns[node] < 0:
        return np.asarray(tree.values[node])
    left, right = int(tree.left[node]), int(tree.right[node])
    if features[tree.columns[node]] in players:
        goes_left = tree.goes_left(row[None], np.array([node]))[0, 0]
        return known(tree, features, row, players, left if goes_left else right)
    parts = [tree.rows[child] * known(tree, features, row, players, child) for child in (left, right)]
    return np.asarray(sum(parts) / tree.rows[node])


def defined(tree: Tree, features: np.ndarray, row: np.ndarray, feature: int) -> np.ndarray:
    """The Shapley value of a feature."""
    others = sorted(set(features.tolist()) - {feature})
    found: Any = 0.0
    for size in range(len(others) + 1):
        weight = math.factorial(size) * math.factorial(len(others) - size) / math.factorial(len(others) + 1)
        for some in itertools.combinations(others, size):
            with_it = known(tree, features, row, {*some, feature})
            found = found + weight * (with_it - known(tree, features, row, set(some)))
    return np.asarray(found)


@pytest.mark.parametrize(
    ("estimator", "rows"),
    [
        (HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=3), {"nulls": True}),
        (HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=3), {"nulls": True, "categories": True}),
        (HistGradientBoostingClassifier(max_iter=1, min_samples_leaf=3), {"categories": True}),
        (RandomForestClassifier(2, random_state=0), {"nulls": True}),
        (ExtraTreesRegressor(2, random_state=0), {}),
        (GradientBoostingClassifier(n_estimators=2, random_state=0), {}),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else "-".join(value),
)
def test_effects_are_shapley_values_and_add_up_to_the_score(estimator: Any, rows: dict[str, bool]) -> None:
    X = frame(**rows)
    y: Any = X["c"].abs() + (X["b"].isin(["p", "r", "s"]) if rows.get("categories") else X["b"])
    classes = 2 if rows.get("nulls") else 3
    y = y if "Regressor" in type(estimator).__name__ else pd.qcut(y, classes, labels=False)
    fitted = estimator.fit(X, y)
    model = tree_model(fitted)
    matrix, features = model.matrix(X), FEATURES[model.columns]
    found, scores = np.zeros((len(model.intercepts), 3, ROWS)), model.intercepts.copy()
    for tree, outputs in model.trees:
        effects = TreeEffects(tree, features)
        effects.add_to(found, matrix, outputs)
        scores[list(outputs)] += effects.averages
    for place in (0, 7, 20):
        for feature in range(3):
            wanted = np.zeros(len(scores))
            for tree, outputs in model.trees:
                wanted[list(outputs)] += defined(tree, features, matrix[place], feature)
            assert found[:, feature, place] == pytest.approx(wanted, abs=1e-12)
    names = ("decision_function", "predict_proba", "predict")
    own = np.asarray(getattr(fitted, next(name for name in names if hasattr(fitted, name)))(X)).reshape(ROWS, -1)
    added = (scores[:, None] + found.sum(axis=1)).T
    assert added == pytest.approx(own[:, -len(scores) :], abs=1e-9)


def test_boosting_that_starts_from_another_model_is_no_sum_over_trees() -> None:
    X, y = frame(), np.arange(ROWS) % 2
    assert has_known_trees(GradientBoostingClassifier(n_estimators=1, init="zero").fit(X, y))
    other = GradientBoostingClassifier(n_estimators=1, init=RandomForestClassifier(1)).fit(X, y)
    assert not has_known_trees(other)
    assert not has_known_trees(LinearRegression().fit(X, y))
