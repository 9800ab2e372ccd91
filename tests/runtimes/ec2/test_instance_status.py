from __future__ import annotations

import pytest

from airflow_sklearn.contract.job_queue import JobEnd
from airflow_sklearn.runtimes.base import JobState
from airflow_sklearn.runtimes.ec2.instance_status import is_gone, is_over, status_of_end, status_of_gone


@pytest.mark.parametrize(
    ("end", "state", "message"),
    [
        (JobEnd(exit_code=0), JobState.SUCCEEDED, ""),
        (JobEnd(exit_code=65), JobState.FAILED, "exit code 65"),
        (JobEnd(exit_code=137), JobState.LOST, "was killed"),
        (JobEnd(exit_code=143), JobState.LOST, "stopped from outside"),
        (JobEnd(message="The instance was stopped."), JobState.LOST, "no exit code. The instance was stopped."),
        (JobEnd(exit_code=137, out_of_memory=True, memory=1024), JobState.OUT_OF_MEMORY, "1,024 MiB"),
        (JobEnd(exit_code=71, out_of_memory=True), JobState.OUT_OF_MEMORY, "A larger one."),
    ],
)
def test_how_a_job_ended(end: JobEnd, state: JobState, message: str) -> None:
    status = status_of_end(end, None, "A larger one.")
    assert status.state is state
    assert message in status.message
    assert status.exit_code == end.exit_code


def test_out_of_memory_on_the_largest_type_is_final() -> None:
    status = status_of_end(JobEnd(exit_code=137, out_of_memory=True, memory=1024), None, None)
    assert status.state is JobState.FAILED
    assert status.exit_code is None, "with it a retry would seem right"
    assert "larger_instance_types" in status.message


def test_of_a_job_that_was_stopped_ec2_knows_who_stopped_its_instance() -> None:
    status = status_of_end(JobEnd(exit_code=143), instance("Server.SpotInstanceTermination"), None)
    assert (status.state, status.exit_code) == (JobState.LOST, 143)
    assert "The Spot instance i-1 was taken away" in status.message
    by_itself = status_of_end(JobEnd(exit_code=143), instance("Client.InstanceInitiatedShutdown"), None)
    assert "stopped from outside" in by_itself.message
    done = status_of_end(JobEnd(exit_code=0), instance("Client.UserInitiatedShutdown"), None)
    assert done.state is JobState.SUCCEEDED


def instance(code: str, message: str = "") -> dict[str, object]:
    return {
        "InstanceId": "i-1",
        "State": {"Name": "terminated"},
        "StateReason": {"Code": code, "Message": message or code},
    }


PULL = "[ 12.3] cloud-init[9]: airflow-sklearn: cannot pull acme/worker:7: Error: pull access denied for acme/worker"


@pytest.mark.parametrize(
    ("code", "console", "state", "message"),
    [
        ("Server.SpotInstanceTermination", "", JobState.LOST, "The Spot instance i-1 was taken away"),
        ("Server.SpotInstanceShutdown", "", JobState.LOST, "The Spot instance i-1 was taken away"),
        ("Server.InsufficientInstanceCapacity", "", JobState.NO_CAPACITY, "could not be launched"),
        ("Client.VolumeLimitExceeded", "", JobState.NO_CAPACITY, "EBS volumes"),
        ("Client.InternalError", "", JobState.FAILED, "KMS key"),
        ("Server.InternalError", "", JobState.LOST, "The instance i-1 has ended"),
        ("Client.UserInitiatedShutdown", "", JobState.CANCELLED, "with its Airflow task or by somebody"),
        ("Client.InstanceInitiatedShutdown", PULL, JobState.FAILED, "The image acme/worker:7 cannot be pulled"),
        ("Client.InstanceInitiatedShutdown", PULL + " timeout", JobState.LOST, "could not be pulled this time"),
        ("Client.InstanceInitiatedShutdown", "a\nlast words\n", JobState.LOST, "  last words"),
        ("Client.InstanceInitiatedShutdown", "", JobState.LOST, "says nothing (yet)"),
    ],
)
def test_why_an_instance_ended_before_its_job(code: str, console: str, state: JobState, message: str) -> None:
    status = status_of_gone(instance(code), lambda: console)
    assert status.state is state
    assert message in status.message


def test_an_instance_that_ec2_says_nothing_of_is_lost() -> None:
    status = status_of_gone({"InstanceId": "i-1", "State": {"Name": "terminated"}}, lambda: "")
    assert (status.state, status.message) == (JobState.LOST, "The instance i-1 has ended: EC2 gives no reason")


@pytest.mark.parametrize(
    ("name", "gone", "over"),
    [
        ("pending", False, False),
        ("running", False, False),
        ("shutting-down", True, False),
        ("terminated", True, True),
        ("stopping", True, False),
        ("stopped", True, True),
    ],
)
def test_an_instance_that_was_stopped_is_of_no_use_either(name: str, gone: bool, over: bool) -> None:
    assert is_gone({"State": {"Name": name}}) is gone
    assert is_over({"State": {"Name": name}}) is over


def test_an_instance_whose_image_is_older_than_airflow_says_so() -> None:
    console = "starting acme/worker:7\n__main__.py: error: unrecognized arguments: --plan s3://b/plans/0.json\nends\n"
    status = status_of_gone(instance("Client.InstanceInitiatedShutdown"), lambda: console)
    assert status.state is JobState.FAILED
    assert "Fix: upgrade the image" in status.message
