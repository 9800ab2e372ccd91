"""An estimator whose predictions wait until a test lets them go on. In the test image only."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

import boto3
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

LOG = logging.getLogger("gate")


class GatedClassifier(ClassifierMixin, BaseEstimator):
    """A logistic regression that predicts when the object named by the variable GATE (``s3://bucket/key``) exists."""

    def fit(self, X: Any, y: Any) -> GatedClassifier:
        self.model_ = LogisticRegression(max_iter=200).fit(X, y)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X: Any) -> Any:
        wait_at_the_gate()
        return self.model_.predict_proba(X)

    def predict(self, X: Any) -> Any:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def gated() -> GatedClassifier:
    """A classifier that waits."""
    return GatedClassifier()


def wait_at_the_gate() -> None:
    bucket, _, key = os.environ.get("GATE", "").removeprefix("s3://").partition("/")
    if not bucket:
        return
    client = boto3.client("s3")
    if client.list_objects_v2(Bucket=bucket, Prefix=key)["KeyCount"]:
        return
    LOG.warning("Waiting at the gate.")
    while not client.list_objects_v2(Bucket=bucket, Prefix=key)["KeyCount"]:
        time.sleep(3)  # fifty containers may wait here
