"""Estimators for tests with containers: ``estimator="cloud_models:slow"``. In the test image only."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression


class SlowClassifier(ClassifierMixin, BaseEstimator):
    """A logistic regression that takes its time.

    :param fit_seconds: waited in ``fit``.
    :param predict_seconds: waited in each call of ``predict_proba``, that is once a batch.
    """

    def __init__(self, fit_seconds: float = 0.0, predict_seconds: float = 0.0) -> None:
        self.fit_seconds = fit_seconds
        self.predict_seconds = predict_seconds

    def fit(self, X: Any, y: Any) -> SlowClassifier:
        time.sleep(self.fit_seconds)
        self.model_ = LogisticRegression(max_iter=200).fit(X, y)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X: Any) -> Any:
        time.sleep(self.predict_seconds)
        return self.model_.predict_proba(X)

    def predict(self, X: Any) -> Any:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class HungryClassifier(SlowClassifier):
    """Takes memory until it has ``mebibytes`` of it, or until it is killed.

    :param where: ``fit`` or ``predict``.
    """

    def __init__(self, mebibytes: int = 100_000, where: str = "fit") -> None:
        super().__init__()
        self.mebibytes = mebibytes
        self.where = where

    def fit(self, X: Any, y: Any) -> HungryClassifier:
        if self.where == "fit":
            self._eat()
        super().fit(X, y)
        return self

    def predict_proba(self, X: Any) -> Any:
        if self.where == "predict":
            self._eat()
        return super().predict_proba(X)

    def _eat(self) -> None:
        eaten = []
        for _ in range(0, self.mebibytes, 16):
            eaten.append(np.ones(16 << 17))  # 16 MiB that are really there, because they are written
        del eaten


def fast(C: float = 1.0) -> LogisticRegression:
    """A classifier that is ready at once."""
    return LogisticRegression(C=C, max_iter=200)


def slow(fit_seconds: float = 0.0, predict_seconds: float = 0.0) -> SlowClassifier:
    """A classifier that waits."""
    return SlowClassifier(fit_seconds, predict_seconds)


def hungry(mebibytes: int = 100_000, where: str = "fit") -> HungryClassifier:
    """A classifier that does not fit in memory."""
    return HungryClassifier(mebibytes, where)
