"""Airflow's side records how an attempt at a chunk ended, where its worker could not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_sklearn import SklearnPredictOperator
from airflow_sklearn.airflow_compat import AirflowFailException
from airflow_sklearn.contract.attempt import AttemptEnd
from airflow_sklearn.contract.jobs import JobError, JobResult
from airflow_sklearn.contract.plan import Plan
from airflow_sklearn.exceptions import JobLostError, NoCapacityError
from airflow_sklearn.operators.base import final_errors
from airflow_sklearn.runs.attempts import now, read_attempts, record
from airflow_sklearn.runtimes.base import JobState
from airflow_sklearn.storage import Storage
from tests import factories
from tests.operators.fakes import Script, ScriptedRuntime, status, task_context


@pytest.fixture
def script(request: pytest.FixtureRequest) -> Script:
    return ScriptedRuntime.scripts[request.node.name]


def predict(plan: Plan, uri: str, request: pytest.FixtureRequest) -> Any:
    chunk = {"plan": uri, "id": plan.chunks[0].id, "label": "c"}
    runtime = ScriptedRuntime(name=request.node.name)
    operator = SklearnPredictOperator(task_id="predict", chunk=chunk, runtime=runtime, aws_conn_id=None)
    with final_errors():
        return operator.work({**task_context(), "map_index_template": "x"})


def ends(plan: Plan) -> list[AttemptEnd]:
    return [one.end for one in read_attempts(Storage(), plan.ledger, (), most=10)[0] if one.end]


@pytest.mark.parametrize("state", [JobState.LOST, JobState.OUT_OF_MEMORY])
def test_the_end_of_a_container_that_is_gone_is_told_by_airflow(
    tmp_path: Path, request: pytest.FixtureRequest, script: Script, state: JobState
) -> None:
    plan, uri = factories.csv_plan(Storage(), f"file://{tmp_path}")
    script.polls = [status(state, message="The host was reclaimed.")]
    with pytest.raises(JobLostError):
        predict(plan, uri, request)
    (end,) = ends(plan)
    assert "The host was reclaimed." in Storage().read(f"{plan.ledger}/report.html").decode()
    assert (end.cause, end.told_by, end.job) == (str(state), "airflow", "dag/task/run/-1/1")
    assert end.message == "The host was reclaimed."


def test_the_workers_own_word_stays(tmp_path: Path, request: pytest.FixtureRequest, script: Script) -> None:
    plan, uri = factories.csv_plan(Storage(), f"file://{tmp_path}")
    script.polls = [status(JobState.FAILED, exit_code=65)]

    def worker() -> None:
        job = script.submitted[-1]
        error = JobError(kind="data", type="DataError", message="a column is missing")
        Storage().write(job.replace(".json", ".result.json"), JobResult(status="failed", error=error).to_json())
        name = job.rpartition("/")[2].removesuffix(".json")
        told = AttemptEnd(chunk_id=name[:16], ended_at=now(), cause="data", message="mine", told_by="worker")
        record(Storage(), plan.ledger, name, told)

    script.on_submit = worker
    with pytest.raises(AirflowFailException):
        predict(plan, uri, request)
    assert [(end.told_by, end.message) for end in ends(plan)] == [("worker", "mine")]


def test_a_job_that_found_no_room_is_an_attempt_too(
    tmp_path: Path, request: pytest.FixtureRequest, script: Script
) -> None:
    def no_room() -> None:
        raise NoCapacityError("RESOURCE:MEMORY: no instance has room.")

    plan, uri = factories.csv_plan(Storage(), f"file://{tmp_path}")
    script.on_submit = no_room
    with pytest.raises(NoCapacityError):
        predict(plan, uri, request)
    assert [(end.cause, end.told_by) for end in ends(plan)] == [("no_capacity", "airflow")]
