"""Instances, their capacity and Airflow itself fail: every row once after it, or an error that says what happened."""

from __future__ import annotations

from collections.abc import Callable

from local_cloud import docker_engine
from tests.cloud.instance_workload import InstanceWorkload
from tests.cloud.observing import at_the_gate, containers_by_chunk, finish, log_of
from tests.operators.real_airflow import RealAirflow


def hungry_training(workload: InstanceWorkload, runtime: str) -> str:
    """Source of a training task that takes 1,500 MiB."""
    return f"""
SklearnTrainOperator(
    task_id="train", estimator="cloud_models:hungry", estimator_params={{"mebibytes": 1500}}, cross_validation=0,
    source="{workload.uri}/new/*.csv", target="y", primary_key="id", model="{workload.uri}/model",
    runtime={runtime}, deferrable=True, poll_interval=1, retries=4, retry_delay=timedelta(seconds=0),
)
"""


def test_instances_that_end_half_way_are_replaced_and_the_others_are_left_alone(
    airflow: RealAirflow, instances_of: Callable[..., InstanceWorkload], gated_model: str
) -> None:
    workload = instances_of(chunks=4)
    local, ec2 = workload.local, workload.local.cloud.client("ec2")
    body = workload.predict(gated_model, runtime=workload.runtime(spot="True"), deferrable="True", retries="2")
    run = airflow.run("harmed_instances", body)
    at_gate = at_the_gate(airflow, workload, run, count=4)
    assert {one["InstanceLifecycle"] for one in at_gate} == {"spot"}
    killed, ended, interrupted, spared = (one["InstanceId"] for one in at_gate)
    docker_engine.docker("kill", local.container_of_instance(killed))
    ec2.terminate_instances(InstanceIds=[ended])
    local.spot_instance_interruption(interrupted)
    airflow.wait_for("three more instances", lambda: len(workload.tasks()) == 7, pause=1)
    finish(airflow, workload, run)
    assert sorted(containers_by_chunk(workload).values()) == [1, 2, 2, 2]
    by_id = {one["InstanceId"]: one for one in workload.tasks()}
    assert by_id[spared]["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert [one.get("InstanceLifecycle") for one in workload.tasks()[4:]] == [None] * 3, "retries run on demand"
    log = log_of(airflow, run, "score.predict")
    assert f"The instance {killed} has ended: Server.InternalError" in log
    assert f"The instance {ended} was ended, with its Airflow task or by somebody" in log
    assert f"The Spot instance {interrupted} was taken away" in log


def test_a_job_that_runs_out_of_memory_gets_the_next_type(
    airflow: RealAirflow, instances_of: Callable[..., InstanceWorkload]
) -> None:
    workload = instances_of()
    runtime = workload.runtime(larger_instance_types="['t3.small', 't3.medium']")
    run = airflow.run("hungry_instance", hungry_training(workload, runtime))
    assert airflow.wait_for_run(run) == "success"
    assert [one["InstanceType"] for one in workload.tasks()] == ["t3.micro", "t3.small"]
    log = log_of(airflow, run, "train")
    assert "ran out of its memory of 1,024 MiB" in log
    assert "The next attempt gets a t3.small." in log


def test_a_job_that_needs_more_than_the_largest_type_fails_for_good(
    airflow: RealAirflow, instances_of: Callable[..., InstanceWorkload]
) -> None:
    workload = instances_of()
    run = airflow.run("starved_instance", hungry_training(workload, workload.runtime()))
    assert airflow.wait_for_run(run) == "failed"
    assert len(workload.tasks()) == 1, "no retry"
    assert "There is no larger type" in log_of(airflow, run, "train")


def test_user_data_that_fail_are_an_error_with_the_consoles_last_lines(
    airflow: RealAirflow, instances_of: Callable[..., InstanceWorkload], gated_model: str
) -> None:
    workload = instances_of(chunks=1)
    body = workload.predict(
        gated_model, runtime=workload.runtime(image=repr(docker_engine.BASE_IMAGE)), deferrable="True", retries="1"
    )
    run = airflow.run("failing_user_data", body)
    assert airflow.wait_for_run(run) == "failed"
    assert set(containers_by_chunk(workload).values()) == {2}, "it may have been the network: one retry"
    log = log_of(airflow, run, "score.predict")
    assert "ended itself without doing the job" in log
    assert "No module named" in log
    workload.local.wait_until_none_runs()


def test_chunks_share_instances_and_one_attempt_waits_for_capacity(
    airflow: RealAirflow, instances_of: Callable[..., InstanceWorkload], gated_model: str
) -> None:
    workload = instances_of(chunks=5)
    workload.open_gate()
    workload.local.refuse_run_instances("t3.micro", times=2)
    runtime = workload.runtime(jobs_per_instance="3", idle_timeout="60")
    run = airflow.run(
        "shared_instances", workload.predict(gated_model, runtime=runtime, deferrable="True", retries="0")
    )
    finish(airflow, workload, run)
    assert len(workload.tasks()) == 2
    assert "EC2 has no room now" in log_of(airflow, run, "score.predict")
