"""Handles and descriptions of runtimes are stored: in triggers, events and files. What they are called there stays."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_sklearn.runtimes import registry
from airflow_sklearn.runtimes.base import JobHandle, Runtime, runtime_from_dict
from airflow_sklearn.runtimes.ec2.job_data import Ec2JobData
from airflow_sklearn.runtimes.ecs.job_data import EcsJobData
from airflow_sklearn.runtimes.job_data import JobData
from airflow_sklearn.runtimes.local.job_data import LocalJobData

LOG = {"group": "/ecs/acme", "stream": "jobs/worker/1", "region": "eu-west-1"}
PLACEMENT = {
    "format": "airflow-sklearn/placement/1",
    "pool": "s3://acme/jobs/pools/0123456789abcdef",
    "number": "000000",
    "place": 1,
    "places": 3,
    "job_uri": "s3://acme/jobs/a.json",
    "result_uri": "s3://acme/jobs/a.result.json",
    "submitted_at": 1.5,
}
STORED: list[tuple[type[JobData], dict[str, Any]]] = [
    (
        EcsJobData,
        {
            "task_arn": "arn:aws:ecs:eu-west-1:111122223333:task/ml/1",
            "region": "eu-west-1",
            "container": "worker",
            "memory_bound": 8192,
            "on_fargate": True,
            "log": LOG,
        },
    ),
    (
        Ec2JobData,
        {
            "instance_id": "i-1",
            "region": "eu-west-1",
            "placement": PLACEMENT,
            "larger": None,
            "startup_allowance": 900.0,
            "log": None,
        },
    ),
    (
        LocalJobData,
        {
            "folder": "/tmp/state/key-1",
            "detached": True,
            "host": "laptop",
            "pid": 7,
            "started": 1.5,
            "group": 7,
            "parent_pid": 6,
            "parent_started": 1.0,
        },
    ),
]
HANDLE = {
    "key": "k",
    "job_uri": "s3://acme/j.json",
    "result_uri": "s3://acme/r.json",
    "job_sha256": "0" * 64,
    "submitted_at": 1.5,
    "taken_over": False,
    "refused": 2,
    "asked_since": 0.5,
}


@pytest.mark.parametrize(("kind", "data"), STORED, ids=["ecs", "ec2", "local"])
def test_a_stored_handle_is_read_and_written_with_the_same_names(kind: type[JobData], data: dict[str, Any]) -> None:
    handle = JobHandle.model_validate({**HANDLE, "data": data})
    assert handle.capacity_refusals == 2
    again = handle.model_copy(update={"data": kind.of(handle).stored()})
    assert again.model_dump(mode="json") == {**HANDLE, "data": data}


@pytest.mark.parametrize(("kind", "data"), STORED, ids=["ecs", "ec2", "local"])
def test_what_another_version_says_beside_does_no_harm(kind: type[JobData], data: dict[str, Any]) -> None:
    handle = JobHandle.model_validate({**HANDLE, "data": {**data, "later": 1}})
    assert kind.of(handle).stored() == data


@pytest.mark.parametrize(
    ("name", "path", "arguments"),
    [
        ("local", "airflow_sklearn.runtimes.local:LocalRuntime", {}),
        ("ecs", "airflow_sklearn.runtimes.ecs.runtime:EcsRuntime", {"cluster": "ml"}),
        ("ec2", "airflow_sklearn.runtimes.ec2.runtime:Ec2Runtime", {"image": "worker", "launch_template": "ml"}),
    ],
)
def test_a_runtime_is_described_by_the_name_that_it_always_had(name: str, path: str, arguments: dict[str, Any]) -> None:
    runtime = registry.load(name)(**arguments)
    assert runtime.to_dict()["class"] == path
    assert runtime_from_dict(runtime.to_dict(), env={}) == runtime


def test_a_subclass_is_described_by_its_own_name() -> None:
    class Mine(registry.load("local")):  # type: ignore[misc]
        pass

    assert isinstance(Mine(), Runtime)
    assert Mine().to_dict()["class"].endswith("Mine")
