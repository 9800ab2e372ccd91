"""scikit-learn gives the same results over containers as over joblib's own processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV, cross_val_score

from airflow_sklearn.joblib_backend import WorkerPool

X, Y = make_classification(300, 8, random_state=0)
GRID = {"C": [0.01, 0.1, 1.0, 10.0]}


def scores_of(search: Any) -> np.ndarray:
    """With what each fit scored in each fold."""
    names = sorted(name for name in search.cv_results_ if name.startswith("split"))
    return np.array([*(search.cv_results_[name] for name in names), search.predict_proba(X)[: len(GRID["C"]), 1]])


def grid(**arguments: Any) -> np.ndarray:
    return scores_of(GridSearchCV(LogisticRegression(), GRID, cv=3, **arguments).fit(X, Y))


WORK: dict[str, Callable[[], Any]] = {
    "GridSearchCV": grid,
    "GridSearchCV, n_jobs=-1": lambda: grid(n_jobs=-1),
    "RandomizedSearchCV": lambda: scores_of(
        RandomizedSearchCV(LogisticRegression(), GRID, n_iter=4, cv=3, random_state=0).fit(X, Y)
    ),
    "HalvingGridSearchCV": lambda: [
        HalvingGridSearchCV(LogisticRegression(), GRID, cv=3, random_state=0).fit(X, Y).cv_results_["mean_test_score"]
    ],
    "cross_val_score": lambda: cross_val_score(LogisticRegression(), X, Y, cv=5),
    "permutation_importance": lambda: (
        permutation_importance(LogisticRegression().fit(X, Y), X, Y, n_repeats=3, random_state=0).importances
    ),
    "RandomForestClassifier": lambda: RandomForestClassifier(20, random_state=0).fit(X, Y).predict_proba(X),
    "a frame": lambda: cross_val_score(LogisticRegression(), pd.DataFrame(X).add_prefix("c"), pd.Series(Y), cv=3),
    "a sparse matrix": lambda: cross_val_score(LogisticRegression(), sparse.csr_matrix(X), Y, cv=3),
}


@pytest.mark.parametrize("name", WORK)
def test_the_same_results_as_with_loky(shared_pool: WorkerPool, name: str) -> None:
    with parallel_config("loky", n_jobs=2):
        expected = WORK[name]()
    # Every array counts as large, so that these small ones are stored and mapped as large ones are.
    with parallel_config("containers", pool=shared_pool, n_jobs=2, max_nbytes=1):
        found = WORK[name]()
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
