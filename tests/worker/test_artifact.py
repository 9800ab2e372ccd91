"""The fitted estimator's bytes, stored and loaded."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from airflow_sklearn.exceptions import BrokenEnvironmentError
from airflow_sklearn.storage import Storage
from airflow_sklearn.worker.artifact import load_estimator, store_estimator


def test_a_model_of_many_arrays_opens_one_file_and_predicts_the_same(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(50, 3))
    forest = RandomForestClassifier(60, random_state=0).fit(X, X[:, 0] > 0)
    forest.extra_ = [np.arange(0), np.arange(12.0).reshape(3, 4, order="F"), np.array(["a", None], dtype=object)]
    artifact, _ = store_estimator(Storage(), forest, f"file://{tmp_path}/model")
    before = len(os.listdir("/proc/self/fd"))
    loaded = load_estimator(Storage(), artifact, str(tmp_path))
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    assert (loaded.predict_proba(X) == forest.predict_proba(X)).all()
    assert loaded.extra_[0].shape == (0,)
    assert (loaded.extra_[1] == forest.extra_[1]).all()
    assert loaded.extra_[1].flags.f_contiguous
    assert loaded.extra_[2].tolist() == ["a", None]
    with pytest.raises(ValueError, match="read-only"):
        loaded.extra_[1][0, 0] = 1.0


def test_an_artifact_that_cannot_be_mapped_is_not_blamed_on_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    artifact, _ = store_estimator(Storage(), RandomForestClassifier(2), f"file://{tmp_path}/model")
    monkeypatch.setattr("joblib.load", full)
    with pytest.raises(BrokenEnvironmentError, match="Too many open files") as error:
        load_estimator(Storage(), artifact, str(tmp_path))
    assert "packages" not in str(error.value)
