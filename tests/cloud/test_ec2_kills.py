"""Whoever stops a task, and whatever it waits in: its instance ends too. Of Airflow itself: test_ecs_kills.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cloud.instance_workload import InstanceWorkload
from tests.cloud.killed_worker import run_whose_worker_is_killed
from tests.cloud.observing import at_the_gate, finish, log_of, standing
from tests.operators.real_airflow import RealAirflow


@pytest.fixture
def workload(instances_of: Callable[..., InstanceWorkload]) -> InstanceWorkload:
    """One chunk."""
    return instances_of(chunks=1)


@pytest.mark.parametrize("deferrable", ["False", "True"], ids=["waiting", "deferred"])
def test_a_task_that_a_person_fails_ends_its_instance(
    airflow: RealAirflow, workload: InstanceWorkload, gated_model: str, deferrable: str
) -> None:
    run = airflow.run(f"failed_instance_{deferrable}", workload.predict(gated_model, deferrable=deferrable))
    (instance,) = at_the_gate(airflow, workload, run, count=1)
    airflow.wait_for_state(run, "score.predict", "deferred" if deferrable == "True" else "running", 0)
    airflow.mark(run, "score.predict", "failed", 0)
    workload.local.wait_until_none_runs()
    (ended,) = workload.tasks("STOPPED")
    assert ended["InstanceId"] == instance["InstanceId"]
    assert ended["StateReason"]["Code"] == "Client.UserInitiatedShutdown"


@pytest.mark.usefixtures("one_at_a_time")
def test_an_instance_whose_airflow_is_gone_ends_itself_at_its_deadline(
    airflow: RealAirflow, workload: InstanceWorkload, gated_model: str
) -> None:
    # Minutes of the local cloud have three seconds: the instance's own clock comes long after the worker's deadline.
    runtime = workload.runtime(idle_timeout="3600")
    body = workload.predict(gated_model, runtime=runtime, deferrable="True", deadline="timedelta(seconds=40)")
    run = airflow.run("instance_deadline", body)
    at_the_gate(airflow, workload, run, count=1)
    airflow.wait_for_state(run, "score.predict", "deferred", 0)
    with airflow.without_triggerer():
        workload.local.wait_until_none_runs()
        (ended,) = workload.tasks("STOPPED")
        assert ended["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert airflow.wait_for_run(run) == "failed"
    log = log_of(airflow, run, "score.predict")
    assert "ran past its deadline of 40 s" in log, standing(workload)


def test_a_worker_that_is_killed_before_it_defers_has_its_instance_taken_over(
    airflow: RealAirflow, workload: InstanceWorkload, gated_model: str
) -> None:
    run = run_whose_worker_is_killed(airflow, workload, gated_model)
    airflow.wait_for_state(run, "score.predict", "deferred", 0)
    finish(airflow, workload, run)
    assert len(workload.tasks()) == 1
    assert "taking over" in log_of(airflow, run, "score.predict")
