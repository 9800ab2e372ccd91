"""Whoever stops a task, and whatever it waits in: its container stops too."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cloud.killed_worker import run_whose_worker_is_killed
from tests.cloud.observing import at_the_gate, containers_by_chunk, finish, log_of
from tests.cloud.workload import Workload
from tests.operators.real_airflow import RealAirflow

WAITING = pytest.mark.parametrize("deferrable", ["False", "True"], ids=["waiting", "deferred"])


@pytest.fixture
def workload(workload_of: Callable[..., Workload]) -> Workload:
    """One chunk."""
    return workload_of(chunks=1)


def state_of_waiting(deferrable: str) -> str:
    return "deferred" if deferrable == "True" else "running"


@pytest.mark.both_airflows
@WAITING
def test_a_task_that_a_person_fails_stops_its_container(
    airflow: RealAirflow, workload: Workload, gated_model: str, deferrable: str
) -> None:
    run = airflow.run(f"marked_failed_{deferrable}", workload.predict(gated_model, deferrable=deferrable))
    (task,) = at_the_gate(airflow, workload, run, count=1)
    airflow.wait_for_state(run, "score.predict", state_of_waiting(deferrable), 0)
    airflow.mark(run, "score.predict", "failed", 0)
    workload.local.wait_until_none_runs()
    (stopped,) = workload.tasks("STOPPED")
    assert stopped["taskArn"] == task["taskArn"]
    assert "stopped with its Airflow task" in stopped["stoppedReason"]


@WAITING
def test_a_dag_run_that_is_stopped_stops_its_container(
    airflow: RealAirflow, workload: Workload, gated_model: str, deferrable: str
) -> None:
    run = airflow.run(f"stopped_run_{deferrable}", workload.predict(gated_model, deferrable=deferrable))
    at_the_gate(airflow, workload, run, count=1)
    airflow.wait_for_state(run, "score.predict", state_of_waiting(deferrable), 0)
    airflow.fail_run(run)
    workload.local.wait_until_none_runs()
    assert len(workload.tasks()) == 1


@pytest.mark.usefixtures("one_at_a_time")
@WAITING
def test_a_task_past_its_execution_timeout_stops_its_container(
    airflow: RealAirflow, workload: Workload, gated_model: str, deferrable: str
) -> None:
    kwargs = "{'execution_timeout': timedelta(seconds=40)}"
    body = workload.predict(gated_model, deferrable=deferrable, predict_kwargs=kwargs)
    run = airflow.run(f"timed_out_{deferrable}", body)
    assert airflow.wait_for_run(run) == "failed"
    workload.local.wait_until_none_runs()
    assert len(workload.tasks()) == 1


@pytest.mark.usefixtures("one_at_a_time")
def test_a_worker_past_its_deadline_stops_itself_though_airflow_is_not_there(
    airflow: RealAirflow, workload: Workload, gated_model: str
) -> None:
    body = workload.predict(gated_model, deferrable="True", deadline="timedelta(seconds=40)")
    run = airflow.run("deadline", body)
    at_the_gate(airflow, workload, run, count=1)
    airflow.wait_for_state(run, "score.predict", "deferred", 0)
    with airflow.without_triggerer():
        workload.local.wait_until_none_runs()
        (task,) = workload.tasks("STOPPED")
        assert task["containers"][0]["exitCode"] == 124
    assert airflow.wait_for_run(run) == "failed"
    assert "ran past its deadline of 40 s" in log_of(airflow, run, "score.predict")


@WAITING
def test_a_cleared_task_goes_on_with_its_container_or_with_one_anew(
    airflow: RealAirflow, workload: Workload, gated_model: str, deferrable: str
) -> None:
    """The next attempt and the end of the one before race: it takes the container over, or finds it stopped."""
    run = airflow.run(f"cleared_{deferrable}", workload.predict(gated_model, deferrable=deferrable))
    at_the_gate(airflow, workload, run, count=1)
    airflow.wait_for_state(run, "score.predict", state_of_waiting(deferrable), 0)
    airflow.command("tasks", "clear", "--yes", "--task-regex", "score.predict", "--downstream", run.dag_id)
    airflow.wait_for("the next attempt", lambda: run.attempts("score.predict") >= 2)
    at_the_gate(airflow, workload, run, count=1)
    finish(airflow, workload, run)
    assert sum(containers_by_chunk(workload).values()) <= 2


def test_a_worker_that_is_killed_after_run_task_and_before_it_defers_has_its_container_taken_over(
    airflow: RealAirflow, workload: Workload, gated_model: str
) -> None:
    run = run_whose_worker_is_killed(airflow, workload, gated_model)
    airflow.wait_for_state(run, "score.predict", "deferred", 0)
    finish(airflow, workload, run)
    assert len(workload.tasks()) == 1
    assert "taking over" in log_of(airflow, run, "score.predict")
