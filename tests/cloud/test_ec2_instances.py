"""``Ec2Runtime`` on instances of the local cloud, without an Airflow: what they do, and what they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_sklearn.contract.jobs import JobIdentity, JobResult, TrainJob
from airflow_sklearn.exceptions import NoCapacityError, UserError
from airflow_sklearn.runtimes.base import JobHandle, JobState, JobStatus
from airflow_sklearn.runtimes.ec2 import Ec2Runtime, heartbeats
from airflow_sklearn.runtimes.ec2.job_data import placement_of
from airflow_sklearn.runtimes.ec2.job_queue import beats
from airflow_sklearn.storage import Storage, join, parent
from local_cloud import docker_engine
from local_cloud.container_cloud import ContainerCloud
from tests.cloud.instance_workload import TYPE, InstanceWorkload, workloads
from tests.operators.conftest import plain_train_job
from tests.waiting import wait_for

SLOW = "cloud_models:slow"
Submit = Callable[..., JobHandle]


@pytest.fixture
def workload(container_cloud: ContainerCloud) -> Iterator[InstanceWorkload]:
    with workloads(container_cloud) as make:
        yield make(chunks=1)


@pytest.fixture
def job_of(workload: InstanceWorkload) -> Callable[..., tuple[str, TrainJob]]:
    """``job_of("a", fit_seconds=600)``: a training job that is stored, and its URI. All lie in one folder."""
    storage = Storage(lambda: workload.local.direct.client("s3"))

    def make(
        name: str = "a", estimator: str = SLOW, attempt: int = 1, deadline: float | None = None, **params: Any
    ) -> tuple[str, TrainJob]:
        plain, uri = plain_train_job(storage, estimator, f"{workload.uri}/new/*.csv", f"{workload.uri}/model")
        named = f"{name}-{attempt}"
        job = plain.model_copy(
            update={
                "identity": JobIdentity(dag_id="dag", task_id="train", run_id="run", map_index=0, try_number=attempt),
                "result_uri": join(parent(uri), f"{named}.result.json"),
                "version": f"{plain.version}{name}",
                "estimator": plain.estimator.model_copy(update={"params": params}),
                "deadline_seconds": deadline,
            }
        )
        job_uri = join(parent(uri), f"{named}.json")
        storage.write(job_uri, job.to_json())
        return job_uri, job

    return make


def submitted(runtime: Ec2Runtime, made: tuple[str, TrainJob]) -> JobHandle:
    return runtime.submit(*made, survives_parent=True)


def wait_for_end(runtime: Ec2Runtime, handle: JobHandle) -> JobStatus:
    """How a job ended."""

    def look() -> JobStatus | None:
        status = runtime.poll([handle])[0]
        return status if status.state.finished else None

    status = wait_for(look, lambda: f"the job's end: {runtime.logs(handle)}", pause=0.3)
    assert status is not None
    return status


def wait_for_line(runtime: Ec2Runtime, handle: JobHandle, text: str) -> list[str]:
    """All lines of a job's log, when one with the text is among them."""

    def look() -> list[str]:
        lines = runtime.logs(handle)[0]
        return lines if any(text in line for line in lines) else []

    return wait_for(look, lambda: runtime.logs(handle), pause=0.3)


def instance_of(workload: InstanceWorkload, handle: JobHandle) -> dict[str, Any]:
    return next(one for one in workload.tasks() if one["InstanceId"] == handle.data["instance_id"])


def wait_until_terminated(workload: InstanceWorkload, handle: JobHandle) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        instance = instance_of(workload, handle)
        return instance if instance["State"]["Name"] == "terminated" else None

    instance = wait_for(look, lambda: instance_of(workload, handle)["State"], pause=0.3)
    assert instance is not None
    return instance


def test_an_instance_does_its_job_logs_it_and_ends_itself(workload: InstanceWorkload, job_of: Any) -> None:
    runtime = workload.bound()
    handle = submitted(runtime, job_of())
    assert wait_for_end(runtime, handle).state is JobState.SUCCEEDED
    lines = wait_for_line(runtime, handle, "Exit code 0.")
    assert sum("Succeeded after" in line for line in lines) == 1
    storage = Storage(lambda: workload.local.direct.client("s3"))
    assert placement_of(handle).number in beats(storage, placement_of(handle).pool), "it said that it lived"
    instance = wait_until_terminated(workload, handle)
    assert instance["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert instance["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    tags = {tag["key"]: tag["value"] for tag in instance["tags"]}
    assert (tags["airflow_dag_id"], tags["airflow_run_id"], tags["airflow_try_number"]) == ("dag", "run", "1")
    assert workload.local.containers() == []


def test_a_worker_holds_no_keys_but_those_of_the_instances_role(workload: InstanceWorkload, job_of: Any) -> None:
    runtime = workload.bound()
    handle = submitted(runtime, job_of(fit_seconds=600))
    wait_for_line(runtime, handle, "Read 300 rows")
    (worker,) = workload.local.workers_of_instance(str(handle.data["instance_id"]))
    environment = docker_engine.docker("inspect", "--format", '{{join .Config.Env "\\n"}}', worker)
    assert "AWS_DEFAULT_REGION=" in environment
    assert "KEY" not in environment
    assert "SECRET" not in environment
    runtime.cancel(handle)


def test_the_same_submission_is_one_instance_and_is_found_by_a_retry(workload: InstanceWorkload, job_of: Any) -> None:
    first = submitted(workload.bound(), job_of(fit_seconds=600))
    again = submitted(workload.bound(), job_of(fit_seconds=600))
    assert first.data["instance_id"] == again.data["instance_id"]
    found = workload.bound().find(job_of(fit_seconds=600, attempt=2)[1])
    assert found is not None
    assert found.taken_over
    assert (found.job_uri, found.data) == (first.job_uri, again.data)
    assert len(workload.tasks()) == 1
    workload.bound().cancel(first)
    assert workload.bound().find(job_of(fit_seconds=600, attempt=3)[1]) is None


def test_an_instance_whose_launch_nobody_wrote_down_is_found(
    workload: InstanceWorkload, job_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> object:
        raise KeyboardInterrupt

    runtime = workload.bound()
    made = job_of(fit_seconds=600)
    with monkeypatch.context() as patch:
        patch.setattr("airflow_sklearn.runtimes.ec2.job_queue.JobQueue.set_instance", die)
        with pytest.raises(KeyboardInterrupt):
            submitted(runtime, made)
    (instance,) = workload.tasks("RUNNING")
    found = workload.bound().find(job_of(attempt=2, fit_seconds=600)[1])
    assert found is not None
    assert found.data["instance_id"] == instance["InstanceId"]
    workload.bound().cancel(found)


def test_where_the_first_type_has_no_capacity_the_next_is_launched(workload: InstanceWorkload, job_of: Any) -> None:
    workload.local.refuse_run_instances("t3.nano", times=9)
    runtime = workload.bound(instance_types=["t3.nano", "t3.micro"])
    handle = submitted(runtime, job_of())
    assert instance_of(workload, handle)["InstanceType"] == "t3.micro"
    assert wait_for_end(runtime, handle).state is JobState.SUCCEEDED
    workload.local.refuse_run_instances("t3.nano", "t3.micro", times=9)
    with pytest.raises(NoCapacityError, match=r"t3.nano on demand in any zone: InsufficientInstanceCapacity") as caught:
        submitted(runtime, job_of("b"))
    assert "t3.micro on demand" in str(caught.value)
    workload.local.refuse_run_instances("t3.nano", times=0)
    handle = submitted(runtime, job_of("b"))
    assert wait_for_end(runtime, handle).state is JobState.SUCCEEDED


def test_spot_instances_first_then_on_demand(workload: InstanceWorkload, job_of: Any) -> None:
    runtime = workload.bound(spot=True)
    spot = submitted(runtime, job_of(fit_seconds=600))
    assert instance_of(workload, spot)["InstanceLifecycle"] == "spot"
    workload.local.spot_instance_interruption(str(spot.data["instance_id"]))
    status = wait_for_end(runtime, spot)
    assert status.state is JobState.LOST
    wait_until_terminated(workload, spot)
    retried = submitted(runtime, job_of(fit_seconds=0, attempt=2))
    assert "InstanceLifecycle" not in instance_of(workload, retried)
    workload.local.refuse_run_instances("t3.micro", times=9, market="spot")
    fallen_back = submitted(runtime, job_of("b"))
    assert "InstanceLifecycle" not in instance_of(workload, fallen_back)
    workload.local.refuse_run_instances("t3.micro", times=0)
    assert [wait_for_end(runtime, one).state for one in (retried, fallen_back)] == [JobState.SUCCEEDED] * 2


def test_a_launch_template_gives_what_is_not_said(workload: InstanceWorkload, job_of: Any) -> None:
    data = {"ImageId": workload.local.ami, "InstanceType": "t3.small"}
    workload.local.direct.client("ec2").create_launch_template(
        LaunchTemplateName=workload.name, LaunchTemplateData=data
    )
    runtime = workload.bound(image_id=None, instance_types=[], launch_template=workload.name)
    handle = submitted(runtime, job_of())
    assert instance_of(workload, handle)["InstanceType"] == "t3.small"
    assert wait_for_end(runtime, handle).state is JobState.SUCCEEDED
    with pytest.raises(UserError, match="launch template does not exist"):
        submitted(workload.bound(image_id=None, instance_types=[], launch_template="no-such"), job_of("b"))


def test_an_image_that_cannot_be_pulled_is_named_with_the_cause(workload: InstanceWorkload, job_of: Any) -> None:
    runtime = workload.bound(image="127.0.0.1:1/no-such-worker:7")
    handle = submitted(runtime, job_of())
    status = wait_for_end(runtime, handle)
    assert status.state is JobState.LOST, "nobody listens there: it may be better the next time"
    assert "The image 127.0.0.1:1/no-such-worker:7 could not be pulled" in status.message
    wait_until_terminated(workload, handle)


def test_a_container_that_cannot_start_leaves_its_words_on_the_console(workload: InstanceWorkload, job_of: Any) -> None:
    runtime = workload.bound(image=docker_engine.BASE_IMAGE)  # Python, and no airflow-sklearn
    handle = submitted(runtime, job_of())
    status = wait_for_end(runtime, handle)
    assert status.state is JobState.LOST
    assert "ended itself without doing the job" in status.message
    assert "No module named" in status.message
    assert wait_until_terminated(workload, handle)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


def test_a_job_past_its_deadline_ends_itself_and_its_instance(workload: InstanceWorkload, job_of: Any) -> None:
    # Minutes of the local cloud have three seconds: the instance's own clock comes long after the job's deadline.
    runtime = workload.bound(idle_timeout=7200)
    handle = submitted(runtime, job_of(deadline=10, fit_seconds=600))
    status = wait_for_end(runtime, handle)
    assert (status.state, status.exit_code) == (JobState.FAILED, 124)
    wait_until_terminated(workload, handle)


def test_an_instance_that_hangs_is_switched_off_at_its_deadline(
    workload: InstanceWorkload, job_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in the container can run any more; the instance's own clock can. (A minute there has three seconds.)"""
    monkeypatch.setattr(Ec2Runtime, "startup_allowance", 0.0)
    monkeypatch.setattr("airflow_sklearn.runtimes.ec2.launcher._SPARE_LIFE", 0.0)
    runtime = workload.bound(idle_timeout=0)
    handle = submitted(runtime, job_of(deadline=900, fit_seconds=900))  # 15 minutes: 45 s
    (worker,) = wait_for(lambda: workload.local.workers_of_instance(str(handle.data["instance_id"])), "the worker")
    docker_engine.docker("pause", worker)
    status = wait_for_end(runtime, handle)
    assert status.state is JobState.LOST
    wait_until_terminated(workload, handle)


def test_an_instance_that_never_boots_is_ended_and_its_job_goes_to_another(
    workload: InstanceWorkload, job_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeats, "_EVERY", 0.5)
    runtime = workload.bound(startup_allowance=5.0)
    workload.local.launch_blank(TYPE)
    handle = submitted(runtime, job_of(attempt=1))
    status = wait_for_end(runtime, handle)
    assert status.state is JobState.LOST
    assert "its worker has not begun" in status.message
    wait_for(lambda: not workload.tasks("RUNNING"), "the blank instance to end")
    retry = runtime.find(job_of(attempt=2)[1])
    assert retry is None, "nobody takes over what is lost"
    patient = workload.bound()
    assert wait_for_end(patient, submitted(patient, job_of(attempt=2))).state is JobState.SUCCEEDED


def test_jobs_share_instances_as_many_as_they_fill(workload: InstanceWorkload, job_of: Any) -> None:
    made = [job_of(f"job{number}") for number in range(5)]
    with ThreadPoolExecutor(5) as threads:  # as mapped tasks do, all at once
        places = list(threads.map(lambda one: (workload.bound(jobs_per_instance=2, idle_timeout=20), one), made))
        handles = list(threads.map(lambda place: submitted(*place), places))
    assert len({handle.data["instance_id"] for handle in handles}) == 3
    runtime = workload.bound(jobs_per_instance=2)
    assert [wait_for_end(runtime, handle).state for handle in handles] == [JobState.SUCCEEDED] * 5
    assert len(workload.tasks()) == 3
    storage = Storage(lambda: workload.local.direct.client("s3"))
    results = [JobResult.from_json(storage.read(job.result_uri)) for _, job in made]
    assert [result.status for result in results] == ["succeeded"] * 5
    for handle in handles:
        assert sum("Exit code" in line for line in wait_for_line(runtime, handle, "Exit code 0.")) == 1
        wait_until_terminated(workload, handle)


def test_one_of_several_jobs_can_be_cancelled_running_or_waiting(workload: InstanceWorkload, job_of: Any) -> None:
    runtime = workload.bound(jobs_per_instance=4, idle_timeout=2)
    running, waiting, spared = (
        submitted(runtime, job_of(name, fit_seconds=seconds))
        for name, seconds in (("running", 600), ("waiting", 600), ("spared", 0))
    )
    assert running.data["instance_id"] == waiting.data["instance_id"] == spared.data["instance_id"]
    wait_for_line(runtime, running, "Read 300 rows")
    assert "come before it" in runtime.poll([spared])[0].message
    runtime.cancel(waiting)
    runtime.cancel(running)
    assert wait_for_end(runtime, spared).state is JobState.SUCCEEDED
    assert [runtime.poll([one])[0].exit_code for one in (running, waiting)] == [143, 143]
    wait_until_terminated(workload, spared)


def test_cancelling_the_last_job_ends_the_instance_at_once(workload: InstanceWorkload, job_of: Any) -> None:
    runtime = workload.bound(jobs_per_instance=3, idle_timeout=600)
    handles = [submitted(runtime, job_of(name, fit_seconds=600)) for name in "ab"]
    for handle in handles:
        runtime.cancel(handle)
    assert wait_until_terminated(workload, handles[0])["StateReason"]["Code"] == "Client.UserInitiatedShutdown"


def test_no_job_waits_for_an_instance_that_has_gone(workload: InstanceWorkload, job_of: Any) -> None:
    runtime = workload.bound(jobs_per_instance=3, idle_timeout=2)
    first = submitted(runtime, job_of("a", fit_seconds=600))
    docker_engine.docker("kill", workload.local.container_of_instance(str(first.data["instance_id"])))
    assert wait_for_end(runtime, first).state is JobState.LOST
    second = submitted(runtime, job_of("b"))
    assert second.data["instance_id"] != first.data["instance_id"]
    assert wait_for_end(runtime, second).state is JobState.SUCCEEDED
