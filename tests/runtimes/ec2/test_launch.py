"""What EC2 is asked for. Instances are records here; those that boot are in ``tests/cloud/test_ec2_instances.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from airflow_sklearn.contract.job_queue import JobEnd, QueueInstance
from airflow_sklearn.contract.jobs import PredictJob
from airflow_sklearn.exceptions import NoCapacityError, ThrottledError, UserError
from airflow_sklearn.runtimes.base import JobHandle, JobState, JobStatus
from airflow_sklearn.runtimes.ec2 import Ec2Runtime, heartbeats, instances, ownership
from airflow_sklearn.runtimes.ec2 import launcher as module
from airflow_sklearn.runtimes.ec2 import status as ec2_status
from airflow_sklearn.runtimes.ec2.errors import NotHereError, SpentTokenError
from airflow_sklearn.runtimes.ec2.job_queue import JobQueue
from airflow_sklearn.runtimes.ec2.launch import Offer, UnansweredError, launch, offers
from airflow_sklearn.storage import Storage
from local_cloud import ministack
from tests.runtimes.conftest import make_job

AMI = "ami-0c2023a1b2c3d4e5f"  # one that ministack knows; its root device is /dev/xvda
GOOD: dict[str, Any] = {"image": "acme/worker:7", "image_id": AMI, "instance_types": ["m7i.large"]}


class Access:
    """The local AWS as a connection would give it; remembers what was asked, as boto3 was given it."""

    def __init__(self, cloud: ministack.Cloud) -> None:
        self.cloud, self.calls = cloud, list[tuple[str, dict[str, Any]]]()

    def client(self, service: str, region_name: str | None = None, *, attempts: int | None = None) -> Any:
        client = self.cloud.client(service, attempts)
        client.meta.events.register_first(f"provide-client-params.{service}", self._note)
        return client

    def environment(self) -> dict[str, str]:
        raise AssertionError("an instance gets no keys")

    def asked(self, operation: str) -> list[dict[str, Any]]:
        return [params for name, params in self.calls if name == operation]

    def _note(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.calls.append((model.name, dict(params)))


@pytest.fixture(scope="module")
def records(cloud: ministack.Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ministack.Cloud]:
    """A local AWS whose instances are rows. (``cloud`` says what is missing if ministack is.)"""
    with ministack.running(tmp_path_factory.mktemp("ec2") / "log", services="ec2,s3,sts") as records:
        records.client("s3").create_bucket(Bucket="acme")
        yield records


@pytest.fixture
def aws(records: ministack.Cloud) -> Access:
    return Access(records)


@pytest.fixture
def runtime(aws: Access) -> Callable[..., Ec2Runtime]:
    return lambda **options: Ec2Runtime(**{**GOOD, **options}).bind(aws)


@pytest.fixture
def job_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., tuple[str, PredictJob]]:
    """``job_of(1)``: one of a folder of the test's own, and its URI; it is not stored."""

    def make(number: int = 0, attempt: int = 1) -> tuple[str, PredictJob]:
        folder = f"s3://acme/{tmp_path.name}/jobs"
        job = make_job(tmp_path, chunk=f"chunk{number}", try_number=attempt, map_index=number).model_copy(
            update={"result_uri": f"{folder}/{number}-{attempt}.result.json"}
        )
        return f"{folder}/{number}-{attempt}.json", job

    return make


def submitted(runtime: Ec2Runtime, made: tuple[str, PredictJob]) -> JobHandle:
    return runtime.submit(*made, survives_parent=True)


def test_an_instance_is_locked_down_and_ends_with_its_work(
    runtime: Callable[..., Ec2Runtime], job_of: Any, aws: Access
) -> None:
    submitted(
        runtime(
            subnets=["subnet-1"],
            security_groups=["sg-1"],
            iam_instance_profile="worker",
            volume_size=40,
            tags={"team": "growth"},
            run_instances_kwargs={"Monitoring": {"Enabled": True}},
        ),
        job_of(),
    )
    (request,) = aws.asked("RunInstances")
    assert (request["MinCount"], request["MaxCount"], request["InstanceType"]) == (1, 1, "m7i.large")
    assert request["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert request["MetadataOptions"] == {
        "HttpEndpoint": "enabled",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
    }
    disk = {"Encrypted": True, "DeleteOnTermination": True, "VolumeType": "gp3", "VolumeSize": 40}
    assert request["BlockDeviceMappings"] == [{"DeviceName": "/dev/xvda", "Ebs": disk}]
    assert "KeyName" not in request, "nobody logs in"
    assert (request["SubnetId"], request["SecurityGroupIds"]) == ("subnet-1", ["sg-1"])
    assert request["IamInstanceProfile"] == {"Name": "worker"}
    assert request["Monitoring"] == {"Enabled": True}
    by_kind = {spec["ResourceType"]: {tag["Key"]: tag["Value"] for tag in spec["Tags"]}
               for spec in request["TagSpecifications"]}  # fmt: skip
    assert by_kind["instance"] == by_kind["volume"]
    tags = by_kind["instance"]
    assert (tags["airflow_dag_id"], tags["airflow_map_index"], tags["team"]) == ("dag", "0", "growth")
    assert tags["airflow_sklearn_chunk"] == "chunk0 chunk0"
    assert len(request["ClientToken"]) <= 64
    assert "KEY" not in request["UserData"]
    assert "--env AWS_DEFAULT_REGION=us-east-1" in request["UserData"]


def test_a_public_address_is_asked_for_with_the_interface(
    runtime: Callable[..., Ec2Runtime], job_of: Any, aws: Access
) -> None:
    submitted(runtime(subnets=["subnet-1"], security_groups=["sg-1"], assign_public_ip=True), job_of())
    (request,) = aws.asked("RunInstances")
    assert request["NetworkInterfaces"] == [
        {"DeviceIndex": 0, "AssociatePublicIpAddress": True, "SubnetId": "subnet-1", "Groups": ["sg-1"]}
    ]
    assert not {"SubnetId", "SecurityGroupIds"} & set(request), "EC2 takes them in one place only"


def test_a_launch_template_keeps_its_own_volume(runtime: Callable[..., Ec2Runtime], job_of: Any, aws: Access) -> None:
    place = runtime(launch_template="lt-123", launch_template_version="$Latest", image_id=None, instance_types=[])
    submitted(place, job_of())
    (request,) = aws.asked("RunInstances")
    assert request["LaunchTemplate"] == {"LaunchTemplateId": "lt-123", "Version": "$Latest"}
    assert not {"ImageId", "InstanceType", "BlockDeviceMappings", "SubnetId"} & set(request)


def test_the_root_device_of_an_ami_without_an_id_must_be_said(
    runtime: Callable[..., Ec2Runtime], job_of: Any, aws: Access
) -> None:
    parameter = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    with pytest.raises(UserError, match="root_device_name='/dev/xvda'"):
        submitted(runtime(image_id=parameter), job_of())
    submitted(runtime(image_id=parameter, root_device_name="/dev/xvda"), job_of())
    assert aws.asked("RunInstances")[0]["ImageId"] == parameter


def test_an_ami_that_is_not_there_is_named(runtime: Callable[..., Ec2Runtime], job_of: Any) -> None:
    with pytest.raises(UserError, match="ami-0123456789abcdeff"):
        submitted(runtime(image_id="ami-0123456789abcdeff"), job_of())


def test_data_on_local_disks_are_refused(runtime: Callable[..., Ec2Runtime], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="all data are in S3"):
        runtime().submit(f"file://{tmp_path}/job.json", make_job(tmp_path), survives_parent=True)


def test_the_kinds_are_asked_for_in_their_order() -> None:
    runtime = Ec2Runtime(**{**GOOD, "instance_types": ["a", "b"], "subnets": ["1", "2"], "spot": True})
    wanted = [
        f"{'spot' if one.spot else 'od'} {one.instance_type}{one.subnet}" for one in offers(runtime, 1, ["a", "b"])
    ]
    assert wanted == ["spot a1", "spot a2", "spot b1", "spot b2", "od a1", "od a2", "od b1", "od b2"]
    assert {one.spot for one in offers(runtime, 2, ["a"])} == {False}
    runtime.on_demand_from_attempt = None
    assert {one.spot for one in offers(runtime, 9, ["a"])} == {True}


class Refusing:
    """A client whose zones have nothing."""

    def __init__(self, *for_good: bool) -> None:
        self.for_good = iter(for_good)

    def run_instances(self, **_: Any) -> Any:
        raise NotHereError("nothing here", for_good=next(self.for_good))


def test_when_nothing_is_to_be_had_all_that_was_tried_is_said() -> None:
    runtime, wanted = Ec2Runtime(**GOOD), [Offer(False, "a", "1"), Offer(True, "b", None)]
    with pytest.raises(NoCapacityError, match="a on demand in 1: nothing here\n  - b Spot in any zone: nothing here"):
        launch(Refusing(False, True), runtime, wanted, "token", {})
    with pytest.raises(UserError, match="nor will have"):
        launch(Refusing(True, True), runtime, wanted, "token", {})


class Silent:
    """A client that launches what is asked for, and whose first answer of the second kind is lost."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def run_instances(self, **request: Any) -> Any:
        self.asked.append(request["InstanceType"])
        if self.asked == ["a", "b"]:
            raise ReadTimeoutError(endpoint_url="ec2")
        if request["InstanceType"] == "a" and len(self.asked) == 1:
            raise NotHereError("nothing here", for_good=False)
        return {"Instances": [{"InstanceId": f"i-{request['ClientToken']}"}]}


def test_after_a_lost_answer_the_same_is_asked_for_and_nothing_before_it() -> None:
    """Of the first kind there may be one by now, but the second may have been launched already."""
    runtime, wanted, client = Ec2Runtime(**GOOD), [Offer(False, "a", None), Offer(False, "b", None)], Silent()
    with pytest.raises(UnansweredError) as caught:
        launch(client, runtime, wanted, "token", {})
    assert caught.value.offer == 1
    launch(client, runtime, wanted, "token", {}, first=caught.value.offer)
    assert client.asked == ["a", "b", "b"]


def test_a_lost_answer_is_remembered_by_the_runtime(
    runtime: Callable[..., Ec2Runtime], job_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    firsts: list[int] = []

    def launched(*_: Any, first: int = 0) -> str:
        firsts.append(first)
        if len(firsts) == 1:
            raise UnansweredError("no answer", 2)
        return "i-1"

    monkeypatch.setattr(module, "launch", launched)
    place, made = runtime(), job_of()
    with pytest.raises(ThrottledError):
        submitted(place, made)
    assert submitted(place, made).data["instance_id"] == "i-1"
    assert firsts == [0, 2]


def test_a_token_whose_instance_has_ended_gives_way_to_another_place(
    runtime: Callable[..., Ec2Runtime], job_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens: list[str] = []

    def launched(client: Any, runtime: Any, wanted: Any, token: str, *_: Any, **__: Any) -> str:
        tokens.append(token)
        if len(tokens) == 1:
            raise SpentTokenError("it has ended")
        return "i-2"

    monkeypatch.setattr(module, "launch", launched)
    assert submitted(runtime(), job_of()).data["instance_id"] == "i-2"
    assert len(set(tokens)) == 2


def test_an_instance_that_ec2_has_forgotten_is_not_taken_over(
    runtime: Callable[..., Ec2Runtime], job_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended long ago without a word. At first, EC2 may just not know it yet."""
    monkeypatch.setattr(module, "launch", lambda *_, **__: "i-0123456789abcdef0")
    submitted(runtime(), job_of())
    assert runtime().find(job_of(0, attempt=2)[1]) is not None
    monkeypatch.setattr(ownership, "_MISSING_AT_FIRST", 0.0)
    assert runtime().find(job_of(0, attempt=2)[1]) is None


def test_a_job_that_is_given_up_is_not_done_by_an_instance_that_comes_later(
    runtime: Callable[..., Ec2Runtime], job_of: Any, aws: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: Any, **__: Any) -> str:
        raise NoCapacityError("no room")

    monkeypatch.setattr(module, "launch", no_room)
    place, (uri, job) = runtime(jobs_per_instance=2), job_of()
    with pytest.raises(NoCapacityError):
        place.submit(uri, job, survives_parent=True)
    place.abandon(uri)
    place.abandon("s3://acme/another.json")  # that was never asked for
    placement = place._launcher._requests[uri].placement
    assert JobQueue(Storage(lambda: aws.cloud.client()), placement.pool, placement.number, 2).is_cancelled(0)


def test_the_same_submission_is_the_same_request(runtime: Callable[..., Ec2Runtime], job_of: Any, aws: Access) -> None:
    for place in (runtime(), runtime()):
        for _ in range(2):
            submitted(place, job_of())
    other = submitted(runtime(), job_of(0, attempt=2))
    requests = aws.asked("RunInstances")
    assert len(requests) == 2, "where the launch is written down, EC2 is not asked again"
    assert requests[0]["ClientToken"] != requests[1]["ClientToken"]
    assert other.data["instance_id"]


def test_jobs_of_one_instance_ask_for_it_in_the_same_words(
    runtime: Callable[..., Ec2Runtime], job_of: Any, aws: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobQueue, "instance", lambda self: None)  # nobody has written the launch down yet
    monkeypatch.setattr(JobQueue, "set_instance", lambda self, launched: launched)
    handles = [submitted(runtime(jobs_per_instance=3), job_of(number)) for number in range(4)]
    first, second, third, fourth = aws.asked("RunInstances")
    assert first == second == third
    assert fourth["ClientToken"] != first["ClientToken"]
    assert [(one.data["placement"]["number"], one.data["placement"]["place"]) for one in handles] == [
        ("000000", 0), ("000000", 1), ("000000", 2), ("000001", 0),
    ]  # fmt: skip
    tags = {tag["Key"] for tag in first["TagSpecifications"][0]["Tags"]}
    assert not {"airflow_map_index", "airflow_try_number", "airflow_sklearn_chunk"} & tags


def test_an_instance_of_another_kind_that_somebody_launched_meanwhile_is_the_one(
    runtime: Callable[..., Ec2Runtime], job_of: Any, aws: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = QueueInstance(instance_id="i-theirs", launched_at=0.0)
    monkeypatch.setattr(JobQueue, "instance", lambda self: None)
    monkeypatch.setattr(JobQueue, "set_instance", lambda self, launched: theirs)
    handle = submitted(runtime(jobs_per_instance=2), job_of())
    assert handle.data["instance_id"] == "i-theirs"
    assert len(aws.asked("TerminateInstances")) == 1, "ours is not needed"


def test_jobs_with_other_deadlines_or_settings_do_not_share(runtime: Callable[..., Ec2Runtime], job_of: Any) -> None:
    uri, job = job_of(1)
    pools = {
        place.submit(uri, changed, survives_parent=True).data["placement"]["pool"]
        for place, changed in (
            (runtime(jobs_per_instance=2), job),
            (runtime(jobs_per_instance=2, env={"A": "1"}), job),
            (runtime(jobs_per_instance=2), job.model_copy(update={"deadline_seconds": 60.0})),
        )
    }
    assert len(pools) == 3


def test_after_attempts_that_ran_out_of_memory_the_type_is_larger(
    runtime: Callable[..., Ec2Runtime], job_of: Any, aws: Access
) -> None:
    place = runtime(larger_instance_types=["m7i.xlarge", "m7i.2xlarge"])
    for attempt in range(1, 5):
        handle = submitted(place, job_of(0, attempt))
        placement = handle.data["placement"]
        queue = JobQueue(Storage(lambda: aws.cloud.client()), placement["pool"], placement["number"], 1)
        queue.set_end(0, JobEnd(exit_code=137, out_of_memory=True))
    assert [request["InstanceType"] for request in aws.asked("RunInstances")] == [
        "m7i.large", "m7i.xlarge", "m7i.2xlarge", "m7i.2xlarge",
    ]  # fmt: skip
    status = place.poll([handle])[0]
    assert status.state is JobState.FAILED
    assert "no larger type" in status.message


def test_one_listing_a_pool_and_one_call_for_200_instances(
    runtime: Callable[..., Ec2Runtime], job_of: Any, aws: Access
) -> None:
    place = runtime()
    handle = submitted(place, job_of())
    many = [handle.model_copy(update={"data": {**handle.data, "instance_id": f"i-{n:017x}"}}) for n in range(401)]
    aws.calls.clear()
    statuses = place.poll([handle, *many])
    assert statuses[0] == JobStatus(state=JobState.RUNNING)
    assert {status.state for status in statuses[1:]} == {JobState.UNKNOWN}, "EC2 may not know new ones yet"
    assert [name for name, _ in aws.calls] == ["DescribeInstances"] * 3 + ["ListObjectsV2"]


def test_who_stopped_a_job_is_asked_again_where_its_instance_ended_after_the_look(
    runtime: Callable[..., Ec2Runtime], job_of: Any, aws: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = runtime()
    ended, healthy = submitted(place, job_of(0)), submitted(place, job_of(1))
    listed = ec2_status.ended_slots

    def end_it_meanwhile(storage: Storage, pool: str) -> set[str]:
        aws.cloud.client("ec2").terminate_instances(InstanceIds=[str(ended.data["instance_id"])])
        placement = ec2_status.placement_of(ended)
        name = ec2_status.slot_name(placement.number, placement.slot)
        storage.write(ec2_status.end_uri(placement.pool, name), JobEnd(exit_code=143).to_json())
        return listed(storage, pool)

    monkeypatch.setattr(ec2_status, "ended_slots", end_it_meanwhile)
    aws.calls.clear()
    statuses = place.poll([ended, healthy])
    assert statuses[0].exit_code == 143
    assert f"The instance {ended.data['instance_id']} has ended" in statuses[0].message
    assert statuses[1].state is JobState.RUNNING
    first, again = (one["Filters"][0]["Values"] for one in aws.asked("DescribeInstances"))
    assert (len(first), again) == (2, [ended.data["instance_id"]])


def test_an_instance_that_ec2_has_forgotten_is_lost(
    runtime: Callable[..., Ec2Runtime], job_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = runtime()
    handle = submitted(place, job_of())
    gone = handle.model_copy(update={"data": {**handle.data, "instance_id": "i-00000000000000001"}})
    monkeypatch.setattr(ownership, "_MISSING_AT_FIRST", 0.0)
    status = place.poll([gone])[0]
    assert status.state is JobState.LOST
    assert "knows no instance i-00000000000000001 any more" in status.message
    place.cancel(gone)  # no error


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[Ec2Runtime, JobHandle, float], JobStatus]:
    """``pass_time(place, handle, 600)``: polls for so many seconds of a clock of the test's own, or until it ends."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(heartbeats, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def poll(place: Ec2Runtime, handle: JobHandle, seconds: float) -> JobStatus:
        give_up, status = clock.now + seconds, place.poll([handle])[0]
        while clock.now < give_up and not status.state.finished:
            clock.now += 120.0
            status = place.poll([handle])[0]
        return status

    return poll


def test_an_instance_whose_worker_never_begins_is_ended_and_its_jobs_are_lost(
    runtime: Callable[..., Ec2Runtime], job_of: Any, aws: Access, pass_time: Any
) -> None:
    """EC2 says that it runs; no user data were run, or Docker hangs, or there is no network."""
    place = runtime(jobs_per_instance=3, startup_allowance=600)
    first, second = submitted(place, job_of(0)), submitted(place, job_of(1))
    assert pass_time(place, second, 600) == JobStatus(
        state=JobState.PENDING, message=f"1 jobs come before it on {first.data['instance_id']}."
    )
    status = pass_time(place, second, 120)
    assert status.state is JobState.LOST
    assert "720 s later its worker has not begun" in status.message
    assert "startup_allowance" in status.message
    assert "console" in status.message
    assert place.poll([first])[0].state in (JobState.LOST, JobState.CANCELLED), "all of them are lost"
    again = submitted(place, job_of(0, attempt=2))
    assert again.data["instance_id"] != first.data["instance_id"], "no job comes to it any more"
    state = aws.client("ec2").describe_instances(InstanceIds=[first.data["instance_id"]])
    assert state["Reservations"][0]["Instances"][0]["State"]["Name"] in ("shutting-down", "terminated")


def test_an_instance_that_falls_silent_is_noticed_within_minutes(
    runtime: Callable[..., Ec2Runtime], job_of: Any, aws: Access, pass_time: Any
) -> None:
    place = runtime()
    handle = submitted(place, job_of())
    placement = handle.data["placement"]
    queue = JobQueue(Storage(lambda: aws.cloud.client()), placement["pool"], placement["number"], 1)
    for _ in range(2):
        queue.beat()
        assert pass_time(place, handle, 480).state is JobState.RUNNING
    status = pass_time(place, handle, 360)
    assert status.state is JobState.LOST
    assert "Nothing has been heard of the instance" in status.message


def test_a_job_that_has_ended_is_not_lost_with_an_instance_that_falls_silent(
    runtime: Callable[..., Ec2Runtime], job_of: Any, aws: Access, pass_time: Any
) -> None:
    place = runtime(jobs_per_instance=2)
    done, other = submitted(place, job_of(0)), submitted(place, job_of(1))
    placement = done.data["placement"]
    queue = JobQueue(Storage(lambda: aws.cloud.client()), placement["pool"], placement["number"], 2)
    queue.set_end(0, JobEnd(exit_code=0))
    assert pass_time(place, other, 2000).state is JobState.LOST
    assert place.poll([done])[0].state is JobState.SUCCEEDED


def test_instances_of_an_older_version_are_not_expected_to_be_heard(
    runtime: Callable[..., Ec2Runtime], job_of: Any, pass_time: Any
) -> None:
    place = runtime()
    handle = submitted(place, job_of())
    old = {name: value for name, value in handle.data.items() if name != "startup_allowance"}
    assert pass_time(place, handle.model_copy(update={"data": old}), 1800).state is JobState.RUNNING


def test_a_silent_instance_that_cannot_be_ended_is_lost_all_the_same(
    runtime: Callable[..., Ec2Runtime], job_of: Any, pass_time: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def throttled(*_: object, **__: object) -> None:
        raise ThrottledError("Rate exceeded")

    monkeypatch.setattr(instances, "terminate", throttled)
    place = runtime()
    handle = submitted(place, job_of())
    assert pass_time(place, handle, 1080).state is JobState.LOST


def test_trouble_with_one_service_hides_nothing_of_the_rest(
    runtime: Callable[..., Ec2Runtime], job_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = runtime()
    handle = submitted(place, job_of())
    elsewhere = {**handle.data["placement"], "pool": "s3://no-such-bucket/pools/1"}  # type: ignore[dict-item]
    other = handle.model_copy(update={"data": {**handle.data, "placement": elsewhere}})
    assert [one.state for one in place.poll([handle, other])] == [JobState.RUNNING, JobState.UNKNOWN]
    with pytest.raises(Exception, match="no-such-bucket"):
        place.poll([other])


def test_links_open_the_instance_and_the_jobs_log(runtime: Callable[..., Ec2Runtime], job_of: Any) -> None:
    place = runtime()
    handle = submitted(place, job_of())
    assert place.job_url(handle).endswith(f"#InstanceDetails:instanceId={handle.data['instance_id']}")
    assert "log-group/$252Fec2$252Fairflow-sklearn/log-events/worker$252F" in place.log_url(handle)
    assert runtime(awslogs_group="").log_url(submitted(runtime(awslogs_group=""), job_of(1))) == ""
