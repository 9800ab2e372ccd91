"""That the local cloud does what Amazon ECS does, where tests of the package rely on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import botocore.exceptions
import pytest

from local_cloud import docker_engine
from local_cloud.container_cloud import ContainerCloud
from local_cloud.waiting import PATIENCE

PYTHON = ["python", "-u", "-c"]
WAIT = "import time; print('waiting', flush=True); time.sleep(600)"
#: Ends with 143 on SIGTERM, as the worker does.
WAIT_POLITELY = f"import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); {WAIT}"
IGNORE_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAIT}"

Run = Callable[..., str]


@pytest.fixture(scope="module")
def ecs(container_cloud: ContainerCloud) -> Any:
    return container_cloud.cloud.client("ecs")


@pytest.fixture(scope="module")
def definition(container_cloud: ContainerCloud, ecs: Any) -> str:
    """A task definition that runs the Python program given as command."""
    ecs.register_task_definition(**container_cloud.task_definition("python", entryPoint=PYTHON, stopTimeout=2))
    return "python"


@pytest.fixture
def run(container_cloud: ContainerCloud, ecs: Any, definition: str) -> Run:
    """Start a program in a task; its ARN."""

    def start(program: str, overrides: dict[str, Any] | None = None, **more: Any) -> str:
        answer = ecs.run_task(**request(container_cloud, program, overrides, taskDefinition=definition) | more)
        assert answer["failures"] == []
        return answer["tasks"][0]["taskArn"]

    return start


def request(
    cloud: ContainerCloud, program: str = "pass", overrides: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """For RunTask."""
    return {
        "cluster": cloud.cluster,
        "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": list(cloud.subnets)}},
        "overrides": {"containerOverrides": [{"name": "worker", "command": [program]}], **(overrides or {})},
        **more,
    }


def described(ecs: Any, arn: str, **more: Any) -> dict[str, Any]:
    return ecs.describe_tasks(cluster="ml", tasks=[arn], **more)["tasks"][0]


def wait_for(ecs: Any, arn: str, status: str = "STOPPED", seconds: float = PATIENCE) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while (task := described(ecs, arn))["lastStatus"] != status:
        assert time.monotonic() < deadline, task
        assert status == "STOPPED" or task["lastStatus"] != "STOPPED", task
        time.sleep(0.05)
    return task


def log_lines(cloud: ContainerCloud, arn: str, until: str, seconds: float = PATIENCE) -> list[str]:
    """A task's log lines, when ``until`` is among them."""
    logs, stream = cloud.cloud.client("logs"), f"python/worker/{arn.rsplit('/')[-1]}"
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = logs.get_log_events(logGroupName=cloud.log_group, logStreamName=stream, startFromHead=True)
            lines = [event["message"] for event in answer["events"]]
        except logs.exceptions.ResourceNotFoundException:
            lines = []
        if until in lines:
            return lines
        assert time.monotonic() < deadline, lines
        time.sleep(0.1)


def wait_until_it_waits(cloud: ContainerCloud, arn: str) -> None:
    log_lines(cloud, arn, until="waiting")


def refused(code: str) -> Any:
    return pytest.raises(botocore.exceptions.ClientError, match=code)


# --- How tasks end ---


def test_a_container_runs_and_its_exit_code_is_the_tasks(ecs: Any, run: Run) -> None:
    task = wait_for(ecs, run("import sys; sys.exit(65)"))
    assert task["containers"][0]["exitCode"] == 65
    assert (task["stopCode"], task["stoppedReason"]) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )


def test_its_output_is_in_its_log_stream(container_cloud: ContainerCloud, ecs: Any, run: Run) -> None:
    arn = run("for i in range(1000): print('line', i)")
    assert log_lines(container_cloud, arn, until="line 999") == [f"line {i}" for i in range(1000)]


def test_a_container_over_its_memory_is_killed_with_that_reason(ecs: Any, run: Run) -> None:
    task = wait_for(ecs, run("held = []\nwhile True: held.append(b'x' * 10_000_000)"))
    assert task["containers"][0]["exitCode"] == 137
    assert "OutOfMemoryError" in task["containers"][0]["reason"]


def test_overrides_of_a_task_change_its_memory(ecs: Any, run: Run) -> None:
    takes_600_mib = "held = [b'x' * (100 << 20) for _ in range(6)]"
    arn = run(takes_600_mib, overrides={"cpu": "256", "memory": "1024"})
    task = wait_for(ecs, arn)
    assert (task["containers"][0]["exitCode"], task["memory"]) == (0, "1024")
    assert wait_for(ecs, run(takes_600_mib))["containers"][0]["exitCode"] == 137


def test_stopping_a_task_terminates_it_and_says_who(container_cloud: ContainerCloud, ecs: Any, run: Run) -> None:
    arn = run(WAIT_POLITELY)
    wait_until_it_waits(container_cloud, arn)
    stopping = ecs.stop_task(cluster="ml", task=arn, reason="the test wants it")["task"]
    assert (stopping["desiredStatus"], stopping["lastStatus"]) == ("STOPPED", "DEACTIVATING")
    task = wait_for(ecs, arn)
    assert (task["containers"][0]["exitCode"], task["stopCode"]) == (143, "UserInitiated")
    assert task["stoppedReason"] == "the test wants it"


def test_a_container_that_ignores_sigterm_is_killed(container_cloud: ContainerCloud, ecs: Any, run: Run) -> None:
    arn = run(IGNORE_SIGTERM)
    wait_until_it_waits(container_cloud, arn)
    ecs.stop_task(cluster="ml", task=arn)
    assert wait_for(ecs, arn)["containers"][0]["exitCode"] == 137


def test_a_spot_interruption(container_cloud: ContainerCloud, ecs: Any, run: Run) -> None:
    arn = run(WAIT_POLITELY)
    wait_until_it_waits(container_cloud, arn)
    container_cloud.spot_interruption(arn)
    task = wait_for(ecs, arn)
    assert (task["stopCode"], task["stoppedReason"]) == ("SpotInterruption", "Your Spot Task was interrupted.")
    assert task["containers"][0]["exitCode"] == 143


def test_a_container_killed_from_outside(container_cloud: ContainerCloud, ecs: Any, run: Run) -> None:
    arn = run(WAIT)
    wait_until_it_waits(container_cloud, arn)
    docker_engine.docker("kill", container_cloud.container_of(arn))
    task = wait_for(ecs, arn)
    assert (task["containers"][0]["exitCode"], task["stopCode"]) == (137, "EssentialContainerExited")


def test_a_container_removed_from_outside_ends_its_task(container_cloud: ContainerCloud, ecs: Any, run: Run) -> None:
    arn = run(WAIT)
    wait_until_it_waits(container_cloud, arn)
    docker_engine.docker("rm", "--force", container_cloud.container_of(arn))
    assert wait_for(ecs, arn)["containers"][0].get("exitCode") in (None, 137)


def test_a_task_stopped_before_it_starts_leaves_no_container(
    container_cloud: ContainerCloud, ecs: Any, run: Run
) -> None:
    arn = run(WAIT)
    ecs.stop_task(cluster="ml", task=arn)
    wait_for(ecs, arn)
    container_cloud.wait_until_none_runs()


def test_an_image_that_does_not_exist(container_cloud: ContainerCloud, ecs: Any, run: Run) -> None:
    ecs.register_task_definition(**container_cloud.task_definition("no-image", image="no-such-image:1"))
    task = wait_for(ecs, run("pass", taskDefinition="no-image"))
    assert (task["stopCode"], task["containers"][0].get("exitCode")) == ("TaskFailedToStart", None)
    assert task["stoppedReason"].startswith("CannotPullContainerError: ")
    assert "no-such-image:1" in task["stoppedReason"]


def test_an_entry_point_that_does_not_exist(container_cloud: ContainerCloud, ecs: Any, run: Run) -> None:
    ecs.register_task_definition(**container_cloud.task_definition("no-entry", entryPoint=["no-such-program"]))
    task = wait_for(ecs, run("pass", taskDefinition="no-entry"))
    assert (task["stopCode"], task["containers"][0].get("exitCode")) == ("TaskFailedToStart", None)
    assert task["stoppedReason"].startswith("CannotStartContainerError: ")


def test_a_log_group_that_does_not_exist(container_cloud: ContainerCloud, ecs: Any, run: Run) -> None:
    log = {"logDriver": "awslogs", "options": {"awslogs-group": "/no/such", "awslogs-stream-prefix": "x"}}
    ecs.register_task_definition(**container_cloud.task_definition("no-log", logConfiguration=log))
    task = wait_for(ecs, run("pass", taskDefinition="no-log"))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("ResourceInitializationError: failed to validate logger args")


def test_a_task_that_ecs_has_forgotten(container_cloud: ContainerCloud, ecs: Any, run: Run) -> None:
    arn = run("pass")
    wait_for(ecs, arn)
    container_cloud.forget(arn)
    answer = ecs.describe_tasks(cluster="ml", tasks=[arn])
    assert (answer["tasks"], answer["failures"]) == ([], [{"arn": arn, "reason": "MISSING"}])


def test_twenty_tasks_at_once_all_end(ecs: Any, run: Run) -> None:
    arns = [run(f"import sys; sys.exit({number})") for number in range(20)]
    assert [wait_for(ecs, arn)["containers"][0]["exitCode"] for arn in arns] == list(range(20))


# --- What a container finds ---


def test_credentials_come_from_the_task_role_only(container_cloud: ContainerCloud, ecs: Any, run: Run) -> None:
    program = """
import os, boto3
print([name for name in os.environ if "ACCESS_KEY" in name or "TOKEN" in name or "FULL_URI" in name])
session = boto3.Session()
print(session.get_credentials().method)
session.client("s3").put_object(Bucket="airflow-sklearn", Key="from/a/container", Body=b"text")
print("done")
"""
    arn = run(program)
    wait_for(ecs, arn)
    assert log_lines(container_cloud, arn, until="done") == ["[]", "container-role", "done"]
    found = container_cloud.cloud.client().get_object(Bucket=container_cloud.bucket, Key="from/a/container")
    assert found["Body"].read() == b"text"


def test_the_metadata_address_knows_the_image(container_cloud: ContainerCloud, ecs: Any, run: Run) -> None:
    program = """
import json, os, urllib.request
about = json.load(urllib.request.urlopen(os.environ["ECS_CONTAINER_METADATA_URI_V4"]))
print(about["Image"], about["ImageID"])
print("done")
"""
    arn = run(program)
    digest = wait_for(ecs, arn)["containers"][0]["imageDigest"]
    assert digest.startswith("sha256:")
    assert log_lines(container_cloud, arn, until="done")[0] == f"{container_cloud.image} {digest}"


def test_a_container_runs_as_an_ordinary_user(container_cloud: ContainerCloud, ecs: Any, run: Run) -> None:
    arn = run("import os; print(os.getuid() > 0); print('done')")
    assert log_lines(container_cloud, arn, until="done")[0] == "True"


# --- RunTask ---


def test_one_client_token_makes_one_task(container_cloud: ContainerCloud, ecs: Any, run: Run) -> None:
    first = run("pass", clientToken="token-1")
    assert run("pass", clientToken="token-1") == first
    wait_for(ecs, first)
    assert run("pass", clientToken="token-1") == first
    assert run("pass", clientToken="token-2") != first


def test_one_client_token_with_two_requests_is_a_conflict(run: Run) -> None:
    first = run("pass", clientToken="token-3")
    with refused("ConflictException") as error:
        run("print('something else')", clientToken="token-3")
    assert error.value.response["resourceIds"] == [first]


def test_a_refusal_for_want_of_room(container_cloud: ContainerCloud, ecs: Any, definition: str, run: Run) -> None:
    container_cloud.refuse_run_task("RESOURCE:MEMORY", times=2)
    for _ in range(2):
        answer = ecs.run_task(**request(container_cloud, taskDefinition=definition, clientToken="token-4"))
        assert answer["tasks"] == []
        assert [failure["reason"] for failure in answer["failures"]] == ["RESOURCE:MEMORY"]
    run("pass", clientToken="token-4")


def test_a_refusal_as_an_error(container_cloud: ContainerCloud, run: Run) -> None:
    container_cloud.refuse_run_task("Capacity is unavailable at this time.", times=1, error="ClientException")
    with refused("Capacity is unavailable at this time"):
        run("pass")
    run("pass")


def test_a_cluster_that_does_not_exist(ecs: Any, run: Run) -> None:
    with refused("ClusterNotFoundException"):
        run("pass", cluster="another")
    with refused("ClusterNotFoundException"):
        ecs.describe_tasks(cluster="another", tasks=["x"])


def test_overrides_that_are_too_long(run: Run) -> None:
    with refused("Container Overrides length must be at most 8192"):
        run("#" * 8192)


def test_a_size_that_fargate_does_not_have(container_cloud: ContainerCloud, ecs: Any, run: Run) -> None:
    with refused("No Fargate configuration exists for given values: 256 CPU, 4096 memory"):
        run("pass", overrides={"memory": "4096"})
    with refused("No Fargate configuration exists"):
        ecs.register_task_definition(**container_cloud.task_definition("odd", cpu=256, memory=4096))


def test_a_fargate_task_without_subnets(run: Run) -> None:
    with refused("Network Configuration must be provided"):
        run("pass", networkConfiguration={})


def test_tags_that_aws_does_not_take(run: Run) -> None:
    with refused("InvalidParameterException"):
        run("pass", tags=[{"key": "run", "value": "manual__2026-01-01T00:00:00+00:00 (1)"}])


# --- Looking for tasks ---


def test_tasks_are_found_by_who_started_them_also_when_they_have_stopped(
    container_cloud: ContainerCloud, ecs: Any, run: Run
) -> None:
    done, waits = run("pass", startedBy="dag-1/task"), run(WAIT_POLITELY, startedBy="dag-1/task")
    run("pass", startedBy="dag-2/task")
    wait_for(ecs, done)
    wait_for(ecs, waits, "RUNNING")
    found = {
        status: ecs.list_tasks(cluster="ml", startedBy="dag-1/task", desiredStatus=status)["taskArns"]
        for status in ("RUNNING", "STOPPED")
    }
    assert found == {"RUNNING": [waits], "STOPPED": [done]}
    ecs.stop_task(cluster="ml", task=waits)


def test_a_described_task_has_its_overrides_and_on_demand_its_tags(ecs: Any, run: Run) -> None:
    tags = [{"key": "dag", "value": "flights"}]
    arn = run("pass", tags=tags, startedBy="me")
    task = described(ecs, arn, include=["TAGS"])
    assert (task["tags"], task["startedBy"]) == (tags, "me")
    assert task["overrides"]["containerOverrides"][0]["command"] == ["pass"]
    assert described(ecs, arn)["tags"] == []


def test_a_hundred_tasks_are_described_at_once_and_no_more(ecs: Any) -> None:
    assert len(ecs.describe_tasks(cluster="ml", tasks=["x"] * 100)["failures"]) == 100
    with refused("InvalidParameterException"):
        ecs.describe_tasks(cluster="ml", tasks=["x"] * 101)


# --- The end ---


def test_no_container_is_left(container_cloud: ContainerCloud, ecs: Any, run: Run) -> None:
    arn = run(WAIT)
    wait_until_it_waits(container_cloud, arn)
    assert container_cloud.containers()
    container_cloud.remove_containers()
    assert container_cloud.containers(running_only=False) == []
