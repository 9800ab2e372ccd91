from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_sklearn.exceptions import BrokenEnvironmentError, UserError
from airflow_sklearn.runtimes.base import (
    JobState,
    Runtime,
    job_key,
    read_worker_arguments,
    runtime_from_dict,
    worker_arguments,
)
from airflow_sklearn.runtimes.ec2 import Ec2Runtime
from airflow_sklearn.runtimes.ecs import EcsRuntime
from airflow_sklearn.runtimes.local.runtime import LocalRuntime
from tests.runtimes.conftest import make_job


def test_a_runtime_survives_json() -> None:
    runtime = LocalRuntime(python="/usr/bin/python3", env={"A": "b"}, processes=2, state_dir="/tmp/state")
    assert runtime_from_dict(json.loads(json.dumps(runtime.to_dict())), {"A": "b", "C": "d"}) == runtime


ECS_DEFINITION = {"family": "f", "containerDefinitions": [{"environment": [{"name": "P", "value": "hunter2"}]}]}
WITH_SECRETS: list[Runtime] = [
    LocalRuntime(env={"PASSWORD": "hunter2"}),
    EcsRuntime(env={"PASSWORD": "hunter2"}, task_definition=ECS_DEFINITION, tags={"t": "hunter2"}),
    Ec2Runtime(image="i", image_id="a", instance_types=["t"], env={"PASSWORD": "hunter2"}),
]


@pytest.mark.parametrize("runtime", WITH_SECRETS, ids=lambda one: type(one).__name__)
def test_values_of_variables_are_in_no_trigger_and_in_no_job(runtime: Runtime) -> None:
    trigger = json.dumps(runtime.described_for_triggers())
    assert "hunter2" not in trigger
    assert type(runtime_from_dict(json.loads(trigger))) is type(runtime)
    assert runtime_from_dict(json.loads(trigger)).poll_key() == runtime.poll_key()
    described = runtime.to_dict()["arguments"]
    assert described["env"] == ["PASSWORD"]


def test_a_container_hands_on_the_variables_that_it_has() -> None:
    described = json.loads(json.dumps(LocalRuntime(env={"B": "2", "A": "1"}).to_dict()))
    found = runtime_from_dict(described, {"A": "1", "B": "2", "HOME": "/"})
    assert found == LocalRuntime(env={"A": "1", "B": "2"})


def test_a_variable_that_a_container_lacks_is_named() -> None:
    described = LocalRuntime(env={"A": "1", "B": "2"}).to_dict()
    with pytest.raises(BrokenEnvironmentError, match="variables B are not set here"):
        runtime_from_dict(described, {"A": "1"})


def test_a_runtime_that_an_earlier_version_described_keeps_its_variables() -> None:
    described = LocalRuntime().to_dict()
    described["arguments"]["env"] = {"A": "1"}
    assert runtime_from_dict(described, {}) == LocalRuntime(env={"A": "1"})
    assert runtime_from_dict(described) == LocalRuntime(env={"A": "1"})


def test_the_worker_s_arguments_are_read_back_and_those_of_earlier_versions_too(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    assert read_worker_arguments(worker_arguments("s3://b/j.json", job)) == ("s3://b/j.json", job.digest())
    assert read_worker_arguments(["s3://b/j.json"]) == ("s3://b/j.json", "")


def test_only_runtimes_are_made_from_dicts() -> None:
    with pytest.raises(UserError, match="no Runtime"):
        runtime_from_dict({"class": "pathlib:Path", "arguments": {}})


def test_binding_leaves_the_users_object_alone() -> None:
    runtime = LocalRuntime()
    bound = runtime.bind(object())  # type: ignore[arg-type]
    assert bound is not runtime
    assert runtime._aws is None
    assert bound == runtime


def test_the_key_is_of_the_work_and_the_task_but_not_of_the_attempt(tmp_path: Path) -> None:
    key = job_key(make_job(tmp_path))
    assert key == job_key(make_job(tmp_path, try_number=2))
    assert key != job_key(make_job(tmp_path, map_index=1))
    assert key != job_key(make_job(tmp_path, chunk="another"))


@pytest.mark.parametrize("state", list(JobState))
def test_all_states_but_three_are_final(state: JobState) -> None:
    assert state.finished == (state not in ("pending", "running", "unknown"))
