from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse as sp
from sklearn.linear_model import LassoCV
from sklearn.model_selection import KFold
from sklearn.utils.estimator_checks import parametrize_with_checks

from airflow_sklearn.models.selection import LassoSelector


@parametrize_with_checks([LassoSelector()])
def test_it_keeps_scikit_learns_rules(estimator: object, check: object) -> None:
    check(estimator)  # type: ignore[operator]


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    X = random.normal(size=(400, 40))
    X[:, 1] = X[:, 0] + random.normal(0, 0.1, 400)
    return X, X[:, :5] @ [1.0, 0.5, -1.0, 0.2, 2.0] + random.normal(size=400)


def test_it_keeps_what_lasso_cv_keeps(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    ours = LassoSelector(random_state=0).fit(X, y)
    penalties = np.geomspace(1, 1 / 1000, 100) * np.abs((X - X.mean(0)).T @ (y - y.mean())).max() / len(y)
    theirs = LassoCV(alphas=penalties, cv=KFold(4, shuffle=True, random_state=0), tol=1e-6).fit(X, y)
    assert ours.penalties_ == pytest.approx([theirs.alpha_])
    assert ours.get_support().tolist() == (theirs.coef_ != 0).tolist()


def test_sparse_and_dense_tables_keep_the_same_columns(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    assert (LassoSelector().fit(sp.csr_matrix(X), y).support_ == LassoSelector().fit(X, y).support_).all()


def test_a_column_is_kept_if_any_class_needs_it(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, _ = data
    y = np.where(X[:, 7] > 0.7, "a", np.where(X[:, 9] > 0.5, "b", "c"))
    assert LassoSelector().fit(X, y).support_[[7, 9]].all()


def test_the_strongest_column_is_kept_where_nothing_helps() -> None:
    random = np.random.default_rng(1)
    assert LassoSelector().fit(random.normal(size=(60, 5)), random.normal(size=60)).support_.any()


def test_only_the_strongest_columns_enter_the_path(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    assert LassoSelector(most=2).fit(X, y).support_.nonzero()[0].tolist() == [0, 4]
