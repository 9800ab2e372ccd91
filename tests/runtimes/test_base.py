from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runtimes.base import JobState, job_key, runtime_from_dict
from airflow_sklearn.runtimes.local import LocalRuntime
from tests.runtimes.conftest import make_job


def test_a_runtime_survives_json() -> None:
    runtime = LocalRuntime(python="/usr/bin/python3", env={"A": "b"}, processes=2, state_dir="/tmp/state")
    assert runtime_from_dict(json.loads(json.dumps(runtime.to_dict()))) == runtime


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
