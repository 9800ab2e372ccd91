"""Planning a prediction logs how the software differs from that of training, before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_sklearn import LocalRuntime, SklearnPlanOperator
from airflow_sklearn.contract.model import ModelManifest
from airflow_sklearn.exceptions import BrokenEnvironmentError
from airflow_sklearn.runs.model_store import resolve_model
from airflow_sklearn.storage import Storage
from airflow_sklearn.system.software import version_differences


@pytest.fixture
def other_model(model: str, tmp_path: Any) -> str:
    """A model that scikit-learn 1.0.0 has trained."""
    manifest, _, _ = resolve_model(Storage(), model)
    packages = {**manifest.versions.packages, "scikit-learn": "1.0.0"}
    versions = manifest.versions.model_copy(update={"packages": packages})
    uri = f"file://{tmp_path}/manifest.json"
    Storage().write(uri, manifest.model_copy(update={"versions": versions}).to_json())
    return uri


def plan(model: str, folder: Any, **changes: Any) -> SklearnPlanOperator:
    arguments = {"source": f"{folder}/x.csv", "destination": f"{folder}/scores", "runtime": LocalRuntime()}
    return SklearnPlanOperator(task_id="plan", model=model, **{**arguments, **changes})


def test_other_versions_are_refused_by_name(other_model: str, tmp_path: Any) -> None:
    with pytest.raises(BrokenEnvironmentError, match=r"LocalRuntime\(\) is not(?s:.*)learn .* here, 1.0.0"):
        plan(other_model, tmp_path)._check_software()


def test_the_policy_lets_them_pass(other_model: str, tmp_path: Any) -> None:
    plan(other_model, tmp_path, policies={"version_mismatch": "warn"})._check_software()
    plan(other_model, tmp_path, runtime=None)._check_software()


def test_the_same_versions_pass(model: str, tmp_path: Any) -> None:
    plan(model, tmp_path)._check_software()


def test_only_what_is_known_is_compared(model: str) -> None:
    manifest: ModelManifest = resolve_model(Storage(), model)[0]
    assert version_differences(manifest.versions, {}) == []
    assert version_differences(manifest.versions, {"python": "2.7.1"}) == [
        f"Python 2.7.1 here, {manifest.versions.python} at training"
    ]
    assert version_differences(manifest.versions, {"numpy": ""})[0].startswith("numpy is not installed here")


def test_the_task_group_plans_with_its_runtime(run_dag: Callable[..., Any], table: Any, other_model: str) -> None:
    from tests.operators.conftest import predict

    run = run_dag(predict(table, model=other_model))
    assert run.state == "failed"
    assert run.states("score.predict") in ({-1: "upstream_failed"}, {})
