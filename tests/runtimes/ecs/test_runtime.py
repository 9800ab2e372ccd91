from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_sklearn.contract.jobs import PredictJob
from airflow_sklearn.exceptions import NoCapacityError, ThrottledError, UserError
from airflow_sklearn.runtimes.base import JobHandle, JobState, runtime_from_dict
from airflow_sklearn.runtimes.ecs import EcsRuntime
from airflow_sklearn.runtimes.ecs import runtime as module
from airflow_sklearn.system import retry as retrying
from tests.runtimes.conftest import make_job
from tests.runtimes.ecs.conftest import DEFINITION, Access

URI = "s3://acme/ledger/jobs/1.json"


@pytest.fixture
def job(request: pytest.FixtureRequest, tmp_path: Path) -> PredictJob:
    """Of a chunk of the test's own, so that no other test's tasks are found."""
    return make_job(tmp_path, chunk=request.node.name)


def retry_of(job: PredictJob, try_number: int = 2) -> PredictJob:
    return job.model_copy(update={"identity": job.identity.model_copy(update={"try_number": try_number})})


def test_a_container_is_handed_one_uri(runtime: Any, job: PredictJob, aws: Access) -> None:
    runtime(env={"LOG": "1"}).submit(URI, job, survives_parent=True)
    (request,) = aws.asked("RunTask")
    (container,) = request["overrides"]["containerOverrides"]
    assert container["command"] == ["--sha256", job.digest(), URI]
    assert {"name": "LOG", "value": "1"} in container["environment"]
    assert not [entry for entry in container["environment"] if "KEY" in entry["name"]]
    assert request["networkConfiguration"]["awsvpcConfiguration"] == {
        "subnets": ["subnet-1"],
        "securityGroups": [],
        "assignPublicIp": "DISABLED",
    }
    assert request["launchType"] == "FARGATE"


def test_tags_lead_back_to_the_task_and_hold_only_what_tags_may(runtime: Any, job: PredictJob, records: Any) -> None:
    job = job.model_copy(update={"identity": job.identity.model_copy(update={"run_id": "manual__2026 (übung)"})})
    handle = runtime(tags={"team": "growth"}).submit(URI, job, survives_parent=True)
    found = records.client("ecs").describe_tasks(cluster="ml", tasks=[handle.data["task_arn"]], include=["TAGS"])
    tags = {tag["key"]: tag["value"] for tag in found["tasks"][0]["tags"]}
    assert tags["airflow_dag_id"] == "dag"
    assert tags["airflow_map_index"] == "0"
    assert tags["airflow_run_id"] == "manual__2026 _übung_"
    assert tags["airflow_sklearn_chunk"].endswith(job.chunk.id)
    assert tags["team"] == "growth"


def test_the_same_submission_has_one_token_and_another_attempt_another(
    runtime: Any, job: PredictJob, aws: Access
) -> None:
    for uri, refused in ((URI, 0), (URI, 1), ("s3://acme/2.json", 0), (URI, 0)):
        runtime().submit(uri, job, survives_parent=True, capacity_refusals=refused)
    first, again_after_refusal, other, repeated = (request["clientToken"] for request in aws.asked("RunTask"))
    assert first == repeated
    assert len({first, again_after_refusal, other}) == 3
    assert len({request["startedBy"] for request in aws.asked("RunTask")}) == 1
    assert all(len(request["clientToken"]) <= 64 for request in aws.asked("RunTask"))


def test_a_second_submission_with_equal_arguments_is_the_same_request(
    runtime: Any, job: PredictJob, aws: Access, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = retry_of(job)
    place = runtime(capacity_provider_strategy=SPOT, env={"A": "1"}, tags={"team": "growth"})
    handle = place.submit(URI, job, survives_parent=True, capacity_refusals=1)
    # What the first one has started may have run out of memory when the second one comes.
    killed = out_of_memory(records, handle, "2048")
    monkeypatch.setattr(EcsRuntime, "_tasks_of", lambda self, job, status: [killed] if status == "STOPPED" else [])
    place.submit(URI, job, survives_parent=True, capacity_refusals=1)
    first, second = aws.asked("RunTask")
    assert first == second


def test_a_call_without_an_answer_may_be_repeated(
    runtime: Any, job: PredictJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import ReadTimeoutError

    place = runtime()
    monkeypatch.setattr(place._api, "run_task", scripted([ReadTimeoutError(endpoint_url="ecs")]))
    with pytest.raises(ThrottledError, match="not answered"):
        place.submit(URI, job, survives_parent=True)


def test_a_retry_takes_over_the_task_that_runs(runtime: Any, job: PredictJob) -> None:
    handle = runtime().submit(URI, job, survives_parent=True)
    found = runtime().find(retry_of(job))
    assert found.taken_over
    assert (found.job_uri, found.result_uri, found.data) == (handle.job_uri, handle.result_uri, handle.data)


def test_a_task_that_waits_for_its_host_is_taken_over_too(
    runtime: Any, job: PredictJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = runtime()
    handle = place.submit(URI, job, survives_parent=True)
    tasks = [dict(task) for task in place._tasks_of(job, "RUNNING")]
    for task in tasks:
        del task["createdAt"]  # the time at which a task leaves PROVISIONING
    monkeypatch.setattr(EcsRuntime, "_tasks_of", lambda self, job, status: tasks)
    assert runtime().find(retry_of(job)).data == handle.data


def test_a_task_that_has_stopped_or_does_other_work_is_not_taken_over(
    runtime: Any, job: PredictJob, tmp_path: Path
) -> None:
    handle = runtime().submit(URI, job, survives_parent=True)
    assert runtime().find(make_job(tmp_path, chunk="another")) is None
    runtime().cancel(handle)
    assert runtime().find(retry_of(job)) is None


def test_one_call_describes_a_hundred_tasks(runtime: Any, job: PredictJob, aws: Access) -> None:
    place = runtime()
    handle = place.submit(URI, job, survives_parent=True)
    arn = handle.data["task_arn"]
    others = [handle.model_copy(update={"data": {**handle.data, "task_arn": f"{arn[:-5]}{n:05}"}}) for n in range(249)]
    aws.calls.clear()
    statuses = place.poll([*others, handle])
    assert [len(request["tasks"]) for request in aws.asked("DescribeTasks")] == [100, 100, 50]
    assert statuses[-1].state is JobState.RUNNING
    assert {status.state for status in statuses[:-1]} == {JobState.UNKNOWN}, "just submitted: not known yet"


def test_a_task_that_ecs_has_forgotten_is_lost(runtime: Any, job: PredictJob) -> None:
    handle = runtime().submit(URI, job, survives_parent=True)
    data = {**handle.data, "task_arn": f"{handle.data['task_arn'][:-5]}00000"}
    (status,) = runtime().poll([handle.model_copy(update={"data": data, "submitted_at": handle.submitted_at - 301})])
    assert status.state is JobState.LOST
    assert "00000" in status.message


def test_a_throttle_hides_only_what_it_throttled(
    runtime: Any, job: PredictJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TASKS_A_CALL", 1)
    place = runtime()
    handles = [place.submit(f"{URI}{n}", job, survives_parent=True) for n in range(3)]
    describe, calls = place._api.describe_tasks, []

    def throttled_once(**request: Any) -> Any:
        calls.append(request)
        if len(calls) == 2:
            raise OSError("Rate exceeded")
        return describe(**request)

    monkeypatch.setattr(place._api, "describe_tasks", throttled_once)
    assert [status.state for status in place.poll(handles)] == ["running", "unknown", "running"]


def test_a_poll_that_sees_nothing_fails(runtime: Any, job: PredictJob, monkeypatch: pytest.MonkeyPatch) -> None:
    place = runtime()
    handle = place.submit(URI, job, survives_parent=True)

    def throttled(**_: Any) -> Any:
        raise OSError("Rate exceeded")

    monkeypatch.setattr(place._api, "describe_tasks", throttled)
    with pytest.raises(OSError, match="Rate exceeded"):
        place.poll([handle])


def test_equal_specifications_are_registered_once(runtime: Any, job: PredictJob, aws: Access) -> None:
    unlike = {**DEFINITION, "family": "equal", "cpu": 512, "memory": 1024}
    for _ in range(3):
        runtime(task_definition=unlike).submit(URI, job, survives_parent=True)
    assert len(aws.asked("RegisterTaskDefinition")) == 1
    (arn,) = {request["taskDefinition"] for request in aws.asked("RunTask")}
    assert "task-definition/equal-" in arn
    runtime(task_definition={**unlike, "cpu": 256}).submit(URI, job, survives_parent=True)
    assert aws.asked("RunTask")[-1]["taskDefinition"] != arn
    assert "name" not in unlike["containerDefinitions"][0], "the user's object is not changed"


def test_who_loses_the_race_of_registering_finds_what_the_winner_made(
    runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "time", SimpleNamespace(sleep=lambda _: None))
    place = runtime()
    arn = "arn:aws:ecs:us-east-1:1:task-definition/airflow-sklearn-1:1"
    made = {"taskDefinitionArn": arn, "containerDefinitions": [{"name": "worker", "image": "acme/worker:7"}]}
    monkeypatch.setattr(place._api, "describe_task_definition", scripted([no_definition(), {"taskDefinition": made}]))
    monkeypatch.setattr(place._api, "register_task_definition", scripted([lost_race()]))
    assert place.image == "acme/worker:7"


def test_a_race_that_is_lost_again_and_again_may_be_repeated_later(
    runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "time", SimpleNamespace(sleep=lambda _: None))
    place = runtime()
    monkeypatch.setattr(place._api, "describe_task_definition", scripted([no_definition() for _ in range(9)]))
    monkeypatch.setattr(place._api, "register_task_definition", scripted([lost_race() for _ in range(9)]))
    with pytest.raises(ThrottledError, match="Too many concurrent"):
        _ = place.image


@pytest.mark.parametrize("definition", ["airflow-sklearn", DEFINITION])
def test_a_throttle_is_not_taken_for_a_missing_definition(
    runtime: Any, definition: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = runtime(task_definition=definition)
    throttled = ClientError({"Error": {"Code": "ClientException", "Message": "Rate exceeded"}}, "Describe")
    monkeypatch.setattr(place._api, "describe_task_definition", scripted([throttled]))
    with pytest.raises(ThrottledError, match="Rate exceeded"):
        _ = place.image


def no_definition() -> ClientError:
    error = {"Code": "ClientException", "Message": "Unable to describe task definition."}
    return ClientError({"Error": error}, "DescribeTaskDefinition")


def lost_race() -> ClientError:
    said = "Too many concurrent attempts to create a new revision of the specified family."
    return ClientError({"Error": {"Code": "ClientException", "Message": said}}, "RegisterTaskDefinition")


def test_a_registered_definition_is_found_by_its_family(runtime: Any, job: PredictJob, records: Any) -> None:
    containers = [{"name": name, "image": f"acme/{name}", "memory": 512} for name in ("proxy", "job")]
    records.client("ecs").register_task_definition(family="given", containerDefinitions=containers)
    with pytest.raises(UserError, match=r"several containers \(proxy, job\).*container_name"):
        _ = runtime(task_definition="given").image
    assert runtime(task_definition="given", container_name="job").image == "acme/job"
    with pytest.raises(UserError, match="no container 'worker'; it has proxy, job"):
        _ = runtime(task_definition="given", container_name="worker").image
    with pytest.raises(UserError, match="no such task definition"):
        _ = runtime(task_definition="not-there").image
    with pytest.raises(UserError, match=r"needs containerDefinitions.*it has the keys cpu"):
        _ = runtime(task_definition={"cpu": 256}).image


def test_the_log_is_where_the_definition_says_unless_the_runtime_knows_better(runtime: Any, job: PredictJob) -> None:
    handle = runtime().submit(URI, job, survives_parent=True)
    task_id = handle.data["task_arn"].rpartition("/")[2]
    expected = {"group": "/ecs/acme", "stream": f"jobs/worker/{task_id}", "region": "us-east-1"}
    assert handle.data["log"] == expected
    handle = runtime(awslogs_group="/other", awslogs_stream_prefix="p").submit(f"{URI}2", job, survives_parent=True)
    assert handle.data["log"]["group"] == "/other"
    assert handle.data["log"]["stream"].startswith("p/worker/")


def test_log_lines_are_read_once_and_a_stream_that_is_not_there_has_none(
    runtime: Any, job: PredictJob, records: Any
) -> None:
    place = runtime(awslogs_group="/ecs/lines")
    handle = place.submit(URI, job, survives_parent=True)
    assert place.logs(handle) == ([], None)
    where = {"logGroupName": "/ecs/lines", "logStreamName": handle.data["log"]["stream"]}
    logs = records.client("logs")
    logs.create_log_group(logGroupName="/ecs/lines")
    logs.create_log_stream(**where)
    lines, cursor = [], None
    for text in ("one", "two", "three"):
        logs.put_log_events(**where, logEvents=[{"timestamp": int(handle.submitted_at * 1000), "message": text}])
        new, cursor = place.logs(handle, cursor)
        lines.append(new)
    assert lines == [["one"], ["two"], ["three"]]
    assert place.logs(handle, cursor)[0] == []


def test_a_size_of_its_own_is_asked_for(runtime: Any, job: PredictJob, aws: Access) -> None:
    runtime(cpu=2048, memory=8192, ephemeral_storage=50).submit(URI, job, survives_parent=True)
    overrides = aws.asked("RunTask")[0]["overrides"]
    assert (overrides["cpu"], overrides["memory"]) == ("2048", "8192")
    assert overrides["ephemeralStorage"] == {"sizeInGiB": 50}


def test_the_number_of_processes_is_left_to_the_worker(runtime: Any, job: PredictJob, aws: Access) -> None:
    name = "AIRFLOW_SKLEARN_PROCESSES"
    runtime(cpu=2048, memory=8192).submit(URI, job, survives_parent=True)
    runtime(env={name: "3"}).submit(f"{URI}2", job, survives_parent=True)
    default, asked = (request["overrides"]["containerOverrides"][0]["environment"] for request in aws.asked("RunTask"))
    assert name not in {entry["name"] for entry in default}
    assert {"name": name, "value": "3"} in asked


def out_of_memory(records: Any, handle: Any, memory: str) -> dict[str, Any]:
    """What ECS says of a task that was killed for want of memory. The emulator does not kill records: made up here."""
    (task,) = records.client("ecs").describe_tasks(cluster="ml", tasks=[handle.data["task_arn"]])["tasks"]
    container = {**task["containers"][0], "exitCode": 137, "reason": "OutOfMemoryError: Container killed"}
    ended = {"lastStatus": "STOPPED", "stopCode": "EssentialContainerExited", "memory": memory}
    return {**task, **ended, "containers": [container], "overrides": {**task["overrides"], "memory": memory}}


def test_after_an_out_of_memory_kill_the_next_attempt_gets_twice_the_memory(
    runtime: Any, job: PredictJob, aws: Access, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = runtime()
    handle = place.submit(URI, job, survives_parent=True)
    killed = out_of_memory(records, handle, "2048")
    status = module._status(handle, killed)
    assert status.state is JobState.OUT_OF_MEMORY
    assert "of 2,048 MiB" in status.message
    assert "next attempt gets 4,096 MiB" in status.message
    monkeypatch.setattr(EcsRuntime, "_tasks_of", lambda self, job, status: [killed] if status == "STOPPED" else [])
    place.submit(f"{URI}2", retry_of(job), survives_parent=True)
    assert aws.asked("RunTask")[-1]["overrides"]["memory"] == "4096"


def test_memory_grows_to_its_bound_and_then_no_retry_helps(runtime: Any, job: PredictJob, records: Any) -> None:
    place = runtime(max_memory=4096)
    handle = place.submit(URI, job, survives_parent=True)
    assert "gets 4,096 MiB" in module._status(handle, out_of_memory(records, handle, "2048")).message
    at_the_bound = module._status(handle, out_of_memory(records, handle, "4096"))
    assert at_the_bound.state is JobState.FAILED
    assert at_the_bound.exit_code is None, "an exit code would allow a retry"
    assert "max_memory=4096" in at_the_bound.message


def test_cleared_at_the_bound_a_job_gets_the_largest_size_again(
    runtime: Any, job: PredictJob, aws: Access, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = runtime(cpu=256, memory=512, max_memory=4096)
    killed = out_of_memory(records, place.submit(URI, job, survives_parent=True), "4096")
    monkeypatch.setattr(EcsRuntime, "_tasks_of", lambda self, job, status: [killed])
    place.submit(f"{URI}2", retry_of(job), survives_parent=True)
    overrides = aws.asked("RunTask")[-1]["overrides"]
    assert (overrides["cpu"], overrides["memory"]) == ("512", "4096"), "256 units do not go with so much"


# --- on instances: EC2 ---


def on_instances(records: Any, family: str, task: dict[str, Any], container: dict[str, Any]) -> dict[str, Any]:
    """Options of a runtime with a task definition for instances."""
    worker = {"name": "job", "image": "acme/job", **container}
    client = records.client("ecs")
    client.register_task_definition(
        family=family, requiresCompatibilities=["EC2"], containerDefinitions=[worker], **task
    )
    return {"task_definition": family, "launch_type": "EC2", "subnets": [], "max_memory": 262144}


def test_on_instances_memory_is_changed_where_the_definition_has_it(
    runtime: Any, job: PredictJob, aws: Access, records: Any
) -> None:
    of_task = on_instances(records, "of-task", {"cpu": "512", "memory": "2048"}, {})
    of_container = on_instances(records, "of-container", {}, {"memory": 2048, "cpu": 512})
    of_both = on_instances(records, "of-both", {"memory": "2048"}, {"memory": 1536})
    for number, options in enumerate((of_task, of_container, of_both)):
        runtime(**options, cpu=1024, memory=4096).submit(f"{URI}{number}", job, survives_parent=True)
    task, container, both = (request["overrides"] for request in aws.asked("RunTask"))
    assert (task["cpu"], task["memory"]) == ("1024", "4096")
    assert not {"cpu", "memory"} & set(task["containerOverrides"][0])
    assert (container["containerOverrides"][0]["cpu"], container["containerOverrides"][0]["memory"]) == (1024, 4096)
    assert not {"cpu", "memory"} & set(container)
    assert (both["memory"], both["containerOverrides"][0]["memory"]) == ("4096", 3072)


def test_on_instances_any_size_grows_from_what_the_attempt_really_had(
    runtime: Any, job: PredictJob, aws: Access, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = runtime(**on_instances(records, "growing", {}, {"memory": 3000}))
    handle = place.submit(URI, job, survives_parent=True)
    killed = out_of_memory(records, handle, "3000")  # as the definition says
    killed["overrides"] = {"containerOverrides": [{"name": "job", "memory": 6000}]}
    status = module._status(handle, killed)
    assert "of 6,000 MiB" in status.message
    assert "next attempt gets 12,000 MiB" in status.message
    monkeypatch.setattr(EcsRuntime, "_tasks_of", lambda self, job, status: [killed])
    place.submit(f"{URI}2", retry_of(job), survives_parent=True)
    assert aws.asked("RunTask")[-1]["overrides"]["containerOverrides"][0]["memory"] == 12000


def test_a_runtime_for_fargate_judges_a_task_on_an_instance_as_its_own_would(
    runtime: Any, job: PredictJob, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All triggers of one cluster are polled by the runtime of the first one."""
    handle = runtime(**on_instances(records, "large", {}, {"memory": 131072})).submit(URI, job, survives_parent=True)
    other = runtime()
    killed = out_of_memory(records, handle, "131072")  # more than Fargate has
    monkeypatch.setattr(other._api, "describe_tasks", lambda **_: {"tasks": [killed]})
    (status,) = other.poll([handle])
    assert status.state is JobState.OUT_OF_MEMORY
    assert "262,144 MiB" in status.message


def test_a_specification_for_instances_is_registered_for_them(runtime: Any, job: PredictJob, aws: Access) -> None:
    spec = {"family": "mine", "containerDefinitions": [{"image": "acme/job", "memory": 512}]}
    _ = runtime(task_definition=spec, launch_type="EC2", subnets=[]).image
    _ = runtime(task_definition=spec, capacity_provider_strategy=[{"capacityProvider": "group"}]).image
    alone, in_subnets = aws.asked("RegisterTaskDefinition")
    assert alone["requiresCompatibilities"] == in_subnets["requiresCompatibilities"] == ["EC2"]
    assert "networkMode" not in alone
    assert in_subnets["networkMode"] == "awsvpc"


SPOT = [{"capacityProvider": "FARGATE_SPOT", "weight": 3}, {"capacityProvider": "FARGATE", "weight": 1}]
TAIL = [{"capacityProvider": "FARGATE", "weight": 1}]


@pytest.mark.parametrize(
    ("attempt", "refused", "option", "strategy"),
    [
        (1, 0, {}, SPOT),
        (2, 0, {}, TAIL),
        (1, 1, {}, TAIL),
        (2, 0, {"on_demand_from_attempt": 3}, SPOT),
        (9, 9, {"on_demand_from_attempt": None}, SPOT),
    ],
)
def test_spot_comes_first_and_retries_run_on_demand(
    runtime: Any, attempt: int, refused: int, option: dict[str, Any], strategy: Any
) -> None:
    placed = runtime(capacity_provider_strategy=SPOT, **option).placement(attempt, refused)
    assert placed == {"capacityProviderStrategy": strategy}


def test_what_is_wrong_with_a_runtime_is_said_all_at_once_when_it_is_made() -> None:
    with pytest.raises(UserError) as error:
        EcsRuntime(
            launch_type="FARGAET",
            cpu=256,
            memory=4096,
            max_memory=1024,
            ephemeral_storage=5,
            subnets="subnet-1",  # type: ignore[arg-type]
        )
    for part in ("FARGAET", "max_memory=1024", "ephemeral_storage=5", "subnets='subnet-1'"):
        assert part in str(error.value)
    with pytest.raises(UserError, match="memory is 512 or 1024 or 2048 MiB"):
        EcsRuntime(cpu=256, memory=4096)
    with pytest.raises(UserError, match="exclude each other"):
        EcsRuntime(launch_type="EC2", capacity_provider_strategy=SPOT)


def test_numbers_may_be_written_as_text_as_aws_does() -> None:
    made = EcsRuntime(cpu="1024", memory="2048", max_memory=4096, capacity_timeout="60")  # type: ignore[arg-type]
    assert (made.cpu, made.memory, made.capacity_timeout) == (1024, 2048, 60.0)
    with pytest.raises(UserError, match=r"memory='\{\{ size \}\}'.*no template"):
        EcsRuntime(memory="{{ size }}")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"cpu=0\.25.*whole number"):
        EcsRuntime(cpu=0.25)  # type: ignore[arg-type]


def test_subnets_that_were_rendered_to_a_text_are_refused(runtime: Any, job: PredictJob, aws: Access) -> None:
    place = runtime(subnets="{{ var.value.subnets }}")
    place.subnets = "['subnet-1']"  # what Airflow's rendering does
    with pytest.raises(UserError, match="after rendering: it is a list"):
        place.submit(URI, job, survives_parent=True)
    assert aws.asked("RunTask") == []


@pytest.mark.parametrize("key", ["overrides", "tags", "clientToken", "startedBy", "networkConfiguration"])
def test_what_each_job_needs_cannot_be_replaced(key: str) -> None:
    with pytest.raises(UserError, match=f"run_task_kwargs: {key} is set for each job"):
        EcsRuntime(run_task_kwargs={key: {}, "propagateTags": "TASK_DEFINITION"})


def test_overrides_too_large_for_the_api_are_refused_before_it(runtime: Any, job: PredictJob, aws: Access) -> None:
    with pytest.raises(UserError, match=r"8,192.*CERTIFICATE with 9,000"):
        runtime(env={"CERTIFICATE": "x" * 9000, "B": "1"}).submit(URI, job, survives_parent=True)
    assert aws.asked("RunTask") == []


def test_a_task_can_be_stopped_twice_and_when_it_is_forgotten(runtime: Any, job: PredictJob, records: Any) -> None:
    handle = runtime().submit(URI, job, survives_parent=True)
    runtime().cancel(handle)
    runtime().cancel(handle)
    (task,) = records.client("ecs").describe_tasks(cluster="ml", tasks=[handle.data["task_arn"]])["tasks"]
    assert task["desiredStatus"] == "STOPPED"
    assert "stopped with its Airflow task" in task["stoppedReason"]
    runtime().cancel(unknown(handle, age=301))


def unknown(handle: JobHandle, age: float) -> JobHandle:
    """Of a task that ECS does not know."""
    data = {**handle.data, "task_arn": f"{handle.data['task_arn'][:-5]}00000"}
    return handle.model_copy(update={"data": data, "submitted_at": handle.submitted_at - age})


def test_a_task_that_ecs_may_not_know_yet_is_not_taken_for_stopped(
    runtime: Any, job: PredictJob, aws: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(retrying, "time", SimpleNamespace(sleep=slept.append))
    handle = runtime().submit(URI, job, survives_parent=True)
    with pytest.raises(ClientError, match="not found"):
        runtime().cancel(unknown(handle, age=100))
    assert len(aws.asked("StopTask")) == 4
    assert sum(slept) <= 3, "a signal handler has 5 s"


def test_a_throttled_stop_is_tried_again(runtime: Any, job: PredictJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "time", SimpleNamespace(sleep=lambda _: None))
    place = runtime()
    handle = place.submit(URI, job, survives_parent=True)
    answers = [throttle("StopTask"), throttle("StopTask"), {}]
    monkeypatch.setattr(place._api, "stop_task", scripted(answers))
    place.cancel(handle)
    assert answers == []


def throttle(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, operation)


def scripted(answers: list[Any]) -> Any:
    """A call that gives these answers, one after the other; errors are raised."""

    def call(**_: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return call


def test_it_travels_to_the_triggerer_and_shows_no_secret() -> None:
    made = EcsRuntime(cluster="ml", task_definition=DEFINITION, env={"TOKEN": "hush"}, tags={"a": "b"})
    assert runtime_from_dict(made.to_dict(), made.env) == made
    assert repr(made) == "EcsRuntime(cluster='ml', task_definition='a specification', env=['TOKEN'])"


def test_links_open_the_task_and_its_log(runtime: Any, job: PredictJob) -> None:
    place = runtime()
    handle = place.submit(URI, job, survives_parent=True)
    task_id = handle.data["task_arn"].rpartition("/")[2]
    console = "https://us-east-1.console.aws.amazon.com"
    assert place.job_url(handle) == f"{console}/ecs/v2/clusters/ml/tasks/{task_id}/configuration?region=us-east-1"
    assert place.log_url(handle).endswith(f"log-group/$252Fecs$252Facme/log-events/jobs$252Fworker$252F{task_id}")


def test_no_room_is_told_from_a_request_that_never_fits(
    runtime: Any, job: PredictJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = runtime()
    answers = {"tasks": [], "failures": [{"arn": "arn", "reason": "RESOURCE:MEMORY"}]}
    monkeypatch.setattr(place._api, "run_task", lambda **_: answers)
    with pytest.raises(NoCapacityError, match="RESOURCE:MEMORY"):
        place.submit(URI, job, survives_parent=True)
    answers["failures"][0]["reason"] = "ATTRIBUTE"  # type: ignore[index]
    with pytest.raises(UserError, match="ATTRIBUTE"):
        place.submit(URI, job, survives_parent=True)
