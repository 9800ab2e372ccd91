"""Estimators that users write themselves, for tests: ``tests.worker.factories:name``."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import zlib
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, StackingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def dense() -> Any:
    """Impute, scale and one-hot encode, densely, as users do."""
    return make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), make_column_selector(dtype_exclude="number")),
    )


def dense_logistic() -> Pipeline:
    return make_pipeline(dense(), LogisticRegression(max_iter=200))


def dense_ridge() -> Pipeline:
    return make_pipeline(dense(), Ridge())


def forest(n_jobs: int = 1) -> Pipeline:
    return make_pipeline(dense(), RandomForestClassifier(20, max_depth=8, random_state=0, n_jobs=n_jobs))


def mlp() -> Pipeline:
    return make_pipeline(dense(), MLPClassifier((32, 16), max_iter=5, random_state=0))


def stack() -> Pipeline:
    parts = [
        ("linear", LogisticRegression(max_iter=50)),
        ("bayes", GaussianNB()),
        ("forest", RandomForestClassifier(5, random_state=0)),
    ]
    return make_pipeline(dense(), StackingClassifier(parts, cv=3))


class Slow(ClassifierMixin, BaseEstimator):
    """Takes as many seconds for every call of ``predict_proba`` as the environment variable SLOW_SECONDS says."""

    def __init__(self, fail_on_predict: bool = False) -> None:
        self.fail_on_predict = fail_on_predict

    def fit(self, X: Any, y: Any) -> Slow:
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> np.ndarray:
        return np.full(len(X), self.classes_[-1])

    def predict_proba(self, X: Any) -> np.ndarray:
        if self.fail_on_predict:
            raise ZeroDivisionError("the user's estimator divides by zero")
        time.sleep(float(os.environ.get("SLOW_SECONDS", "0")))
        return np.tile([0.25, 0.75], (len(X), 1))


def slow(fail_on_predict: bool = False) -> Pipeline:
    return make_pipeline("passthrough", Slow(fail_on_predict))


class Hungry(Slow):
    """Runs out of memory when it fits, or when it predicts."""

    def __init__(self, method: str = "fit") -> None:
        self.method = method

    def fit(self, X: Any, y: Any) -> Hungry:
        if self.method == "fit":
            np.empty(1 << 60, dtype=np.uint8)
        super().fit(X, y)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        if os.environ.get("HUNGRY") == "error":
            np.empty(1 << 60, dtype=np.uint8)
        if os.environ.get("HUNGRY") == "killed" and multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        if os.environ.get("HUNGRY") == "eats" and multiprocessing.parent_process() is not None:
            eaten = [np.ones(1 << 23) for _ in range(1 << 10)]  # 64 GiB, 64 MiB at a time
            del eaten
        return np.tile([0.25, 0.75], (len(X), 1))


def hungry(method: str = "fit") -> Pipeline:
    return make_pipeline("passthrough", Hungry(method))


def dtypes_of(frame: Any) -> list[str]:
    """The dtypes of a frame's columns, categories and their order among them."""
    return [f"{name}: {dtype!r}" for name, dtype in frame.dtypes.items()]


def hash_of(frame: Any) -> float:
    return float(zlib.crc32("\n".join(dtypes_of(frame)).encode()))


class Dtypes(RegressorMixin, BaseEstimator):
    """Answers with a number for the dtypes that it is handed."""

    def fit(self, X: Any, y: Any) -> Dtypes:
        self.dtypes_ = dtypes_of(X)
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), hash_of(X))


def by_dtype() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5, random_state=0)


def nan_taker() -> Pipeline:
    """Takes nulls, and columns by their names."""
    return make_pipeline(
        make_column_transformer((SimpleImputer(keep_empty_features=True), ["x", "promo"])), LogisticRegression()
    )


class Remembering(ClassifierMixin, BaseEstimator):
    """Keeps a parameter of ``fit``."""

    def fit(self, X: Any, y: Any, note: Any = None) -> Remembering:
        self.classes_, self.note_ = np.unique(y), list(note)
        return self

    def predict(self, X: Any) -> np.ndarray:
        return np.repeat(self.classes_[:1], len(X))


class NeedsManyRows(LogisticRegression):
    """Fails on the rows of a fold."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NeedsManyRows:
        if len(y) < 400:
            raise ValueError(f"only {len(y)} rows")
        return super().fit(X, y, sample_weight)
