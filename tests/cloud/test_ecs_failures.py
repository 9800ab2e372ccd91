"""Containers, hosts, APIs and Airflow itself fail: every row once after it, or an error that says what happened."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from local_cloud import docker_engine
from tests.cloud.observing import at_the_gate, containers_by_chunk, finish, log_of
from tests.cloud.workload import Workload, task_definition
from tests.operators.real_airflow import RealAirflow

WAITING = pytest.mark.parametrize("deferrable", ["False", "True"], ids=["waiting", "deferred"])


@WAITING
def test_containers_that_end_half_way_are_replaced_and_the_others_are_left_alone(
    airflow: RealAirflow, workload_of: Callable[..., Workload], gated_model: str, deferrable: str
) -> None:
    workload = workload_of(chunks=4)
    local, ecs = workload.local, workload.local.cloud.client("ecs")
    run = airflow.run(f"harmed_{deferrable}", workload.predict(gated_model, deferrable=deferrable, retries="2"))
    killed, stopped, interrupted, spared = (task["taskArn"] for task in at_the_gate(airflow, workload, run, count=4))
    docker_engine.docker("kill", local.container_of(killed))
    ecs.stop_task(cluster=local.cluster, task=stopped, reason="too expensive")
    local.spot_interruption(interrupted)
    airflow.wait_for("three more containers", lambda: len(workload.tasks()) == 7, pause=1)
    finish(airflow, workload, run)
    assert sorted(containers_by_chunk(workload).values()) == [1, 2, 2, 2]
    assert spared in {task["taskArn"] for task in workload.tasks() if task["containers"][0]["exitCode"] == 0}
    log = log_of(airflow, run, "score.predict")
    assert "The container was killed (exit code 137)" in log
    assert "Somebody stopped the ECS task: too expensive" in log
    assert "The container's host was taken away: Your Spot Task was interrupted." in log


def test_a_job_that_runs_out_of_memory_gets_the_next_size(airflow: RealAirflow, workload: Workload) -> None:
    run = airflow.run(
        "hungry",
        f"""
SklearnTrainOperator(
    task_id="train", estimator="cloud_models:hungry", estimator_params={{"mebibytes": 600}}, cross_validation=0,
    source="{workload.uri}/new/*.csv", target="y", primary_key="id", model="{workload.uri}/model",
    runtime={workload.runtime()}, deferrable=True, poll_interval=1, retries=2, retry_delay=timedelta(seconds=0),
)
""",
    )
    assert airflow.wait_for_run(run) == "success"
    assert [task["memory"] for task in workload.tasks()] == ["512", "1024"]
    log = log_of(airflow, run, "train")
    assert "ran out of its memory of 512 MiB" in log
    assert "The next attempt gets 1,024 MiB" in log


def test_a_job_that_needs_more_than_the_bound_fails_for_good(airflow: RealAirflow, workload: Workload) -> None:
    run = airflow.run(
        "starved",
        f"""
SklearnTrainOperator(
    task_id="train", estimator="cloud_models:hungry", estimator_params={{"mebibytes": 4000}}, cross_validation=0,
    source="{workload.uri}/new/*.csv", target="y", primary_key="id", model="{workload.uri}/model",
    runtime={workload.runtime(max_memory="1024")}, deferrable=True, poll_interval=1, retries=5,
    retry_delay=timedelta(seconds=0),
)
""",
    )
    assert airflow.wait_for_run(run) == "failed"
    assert [task["memory"] for task in workload.tasks()] == ["512", "1024"]
    assert "max_memory=1024" in log_of(airflow, run, "train")


def test_an_image_that_does_not_exist_fails_at_once_and_is_named(
    airflow: RealAirflow, workload: Workload, gated_model: str
) -> None:
    definition = task_definition(workload.local)
    definition["containerDefinitions"][0]["image"] = "acme/no-such-image:7"
    runtime = workload.runtime(task_definition=repr(definition))
    run = airflow.run("no_image", workload.predict(gated_model, runtime=runtime, deferrable="True", retries="5"))
    assert airflow.wait_for_run(run) == "failed"
    log = log_of(airflow, run, "score.")
    assert set(containers_by_chunk(workload).values()) == {1}, log
    assert "The image acme/no-such-image:7 cannot be pulled" in log
    assert "not found" in log


def test_capacity_that_is_refused_is_waited_for_within_one_attempt(
    airflow: RealAirflow, workload: Workload, gated_model: str
) -> None:
    workload.local.refuse_run_task("RESOURCE:MEMORY", times=2)
    run = airflow.run("refused", workload.predict(gated_model, deferrable="True", retries="0"))
    finish(airflow, workload, run)
    assert set(containers_by_chunk(workload).values()) == {1}
    assert log_of(airflow, run, "score.predict").count("no room in the cluster ml: RESOURCE:MEMORY") == 2


@WAITING
def test_throttles_while_polling_neither_fail_nor_stop_healthy_work(
    airflow: RealAirflow, workload: Workload, gated_model: str, deferrable: str
) -> None:
    run = airflow.run(f"throttled_{deferrable}", workload.predict(gated_model, deferrable=deferrable, retries="0"))
    at_the_gate(airflow, workload, run)
    with workload.local.faults.throttle("DescribeTasks") as throttle:
        airflow.wait_for("throttles", lambda: throttle.fired >= 12)
        workload.open_gate()
        workload.local.wait_until_none_runs()
    finish(airflow, workload, run)
    assert set(containers_by_chunk(workload).values()) == {1}


@WAITING
def test_logs_that_cannot_be_read_stop_nothing(
    airflow: RealAirflow, workload: Workload, gated_model: str, deferrable: str
) -> None:
    with workload.local.faults.unavailable("logs", "GetLogEvents") as outage:
        run = airflow.run(f"no_logs_{deferrable}", workload.predict(gated_model, deferrable=deferrable, retries="0"))
        workload.open_gate()
        assert airflow.wait_for_run(run) == "success"
        assert outage.fired
    finish(airflow, workload, run)
    assert set(containers_by_chunk(workload).values()) == {1}
    assert "log cannot be read now" in log_of(airflow, run, "score.predict")
