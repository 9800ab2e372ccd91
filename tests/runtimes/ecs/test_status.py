"""What ECS says of stopped tasks, in the words of its documentation and of ``DescribeTasks``."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_sklearn.runtimes.base import JobState, JobStatus
from airflow_sklearn.runtimes.ecs.status import OUR_REASON, status_of

EXITED = "Essential container in task exited"


def stopped(stop_code: str, reason: str, *, exit_code: int | None = None, container_reason: str = "") -> JobStatus:
    container: dict[str, Any] = {"name": "worker", "image": "acme/worker:7"}
    if exit_code is not None:
        container["exitCode"] = exit_code
    if container_reason:
        container["reason"] = container_reason
    task = {
        "lastStatus": "STOPPED",
        "stopCode": stop_code,
        "stoppedReason": reason,
        "memory": "2048",
        "containers": [{"name": "sidecar", "exitCode": 0}, container],
    }
    return status_of(task, "worker")


@pytest.mark.parametrize(
    ("status", "state", "said"),
    [
        (stopped("EssentialContainerExited", EXITED, exit_code=0), "succeeded", ""),
        (stopped("EssentialContainerExited", EXITED, exit_code=65), "failed", "exit code 65"),
        (stopped("EssentialContainerExited", EXITED, exit_code=71), "out_of_memory", "2,048 MiB"),
        (
            stopped(
                "EssentialContainerExited",
                EXITED,
                exit_code=137,
                container_reason="OutOfMemoryError: Container killed due to memory usage",
            ),
            "out_of_memory",
            "OutOfMemoryError",
        ),
        (stopped("EssentialContainerExited", EXITED, exit_code=137), "lost", "killed"),
        (stopped("EssentialContainerExited", EXITED, exit_code=143), "lost", "stopped from outside"),
        (stopped("SpotInterruption", "Your Spot Task was interrupted.", exit_code=143), "lost", "interrupted"),
        (stopped("TerminationNotice", "The instance is being terminated"), "lost", "taken away"),
        (
            stopped("EssentialContainerExited", "Host EC2 (instance i-0abc) terminated.", exit_code=137),
            "lost",
            "i-0abc",
        ),
        (stopped("UserInitiated", f"{OUR_REASON}stopped ended", exit_code=143), "cancelled", "with its"),
        (stopped("UserInitiated", "cleaning up spot tasks", exit_code=137), "cancelled", "cleaning up spot tasks"),
        (
            stopped("TaskFailedToStart", "Capacity is unavailable at this time. Please try again later"),
            "no_capacity",
            "unavailable",
        ),
        (stopped("TaskFailedToStart", "Timeout waiting for network interface provisioning to complete."),
         "no_capacity", "network interface"),
        (
            stopped(
                "TaskFailedToStart",
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref "
                "acme/worker:7: acme/worker:7: not found",
            ),
            "failed",
            "image acme/worker:7 cannot be pulled",
        ),
        (
            stopped(
                "TaskFailedToStart",
                "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref "
                "acme/worker:7: failed to do request: dial tcp 10.0.0.1:443: i/o timeout",
            ),
            "lost",
            "this time",
        ),
        (
            stopped("TaskFailedToStart", "ResourceInitializationError: unable to pull secrets or registry auth"),
            "lost",
            "execution role",
        ),
        (
            stopped("TaskFailedToStart", EXITED, container_reason="CannotStartContainerError: exec: no such file"),
            "failed",
            "no such file",
        ),
        (stopped("", ""), "lost", "no exit code"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_the_reason_decides_what_a_retry_should_do(status: JobStatus, state: str, said: str) -> None:
    assert status.state == state
    assert said in status.message


@pytest.mark.parametrize("word", ["access denied", "pull access denied for acme/worker, repository does not exist"])
def test_a_registry_that_denies_is_no_want_of_network_interfaces(word: str) -> None:
    status = stopped("TaskFailedToStart", f"CannotPullContainerError: Error response from daemon: {word}")
    assert status.state is JobState.FAILED
    assert status.exit_code is None, "no exit code: no retry"


INIT = "ResourceInitializationError: "
PULL = "CannotPullContainerError: pull image manifest has been retried 5 time(s): "


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        (f"{PULL}image Manifest does not contain descriptor matching platform 'linux/amd64'", "failed"),
        (f"{PULL}failed to resolve ref x/y:1: unexpected status from HEAD request: 403 Forbidden", "failed"),
        (f"{PULL}failed to resolve ref x/y:1: unexpected status from HEAD request: 503 Service Unavailable", "lost"),
        ("CannotPullContainerError: failed to extract layer sha256:x: no space left on device", "lost"),
        (
            "CannotPullECRContainerError: AccessDeniedException: User is not authorized to perform: "
            "ecr:GetAuthorizationToken",
            "failed",
        ),
        (
            f"{INIT}unable to pull secrets or registry auth: execution resource retrieval failed: "
            "AccessDeniedException: User is not authorized to perform: ecr:GetAuthorizationToken",
            "failed",
        ),
        (
            f"{INIT}failed to validate logger args: create stream has been retried 1 times: failed to create "
            "Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist.",
            "failed",
        ),
        (
            f"{INIT}failed to create new container runtime task: failed to create shim task: OCI runtime create "
            'failed: exec: "python": executable file not found in $PATH',
            "failed",
        ),
        (
            f"{INIT}unable to pull secrets or registry auth: execution resource retrieval failed: RequestError: send "
            "request failed caused by: Post api.ecr: dial tcp 10.0.0.1:443: i/o timeout",
            "lost",
        ),
        ("CannotCreateContainerError: Error response from daemon: no space left on device", "lost"),
        ("CannotStartContainerError: Error response from daemon: fork/exec: cannot allocate memory", "lost"),
        (
            "Unexpected EC2 error while attempting to Create Network Interface with public IP assignment disabled in "
            "subnet 'subnet-0a': UnauthorizedOperation",
            "failed",
        ),
        (
            "Unexpected EC2 error while attempting to Create Network Interface in subnet 'subnet-0a': "
            "InsufficientFreeAddressesInSubnet",
            "no_capacity",
        ),
        (
            "ECS was unable to assume the role 'arn:aws:iam::1:role/x' that was provided for this task. Please verify "
            "that the role being passed has the proper trust relationship and permissions.",
            "failed",
        ),
        ("Timeout waiting for EphemeralStorage provisioning to complete.", "no_capacity"),
    ],
)
def test_what_hinders_a_start_is_told_from_what_passes(reason: str, state: str) -> None:
    status = stopped("TaskFailedToStart", reason)
    assert status.state == state
    assert reason in status.message
    assert status.exit_code is None
