"""The policies for EC2: what a job on an instance takes is allowed, and no more. No real IAM is at hand."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_sklearn.aws.iam.__main__ import main
from airflow_sklearn.aws.iam.policies import all_policies
from airflow_sklearn.aws.iam.setting import read_setting
from airflow_sklearn.contract.jobs import JobIdentity, PredictJob
from airflow_sklearn.contract.plan import Chunk
from airflow_sklearn.runtimes.ec2 import Ec2Runtime
from airflow_sklearn.runtimes.ec2.instances import console_output
from airflow_sklearn.runtimes.ec2.job_queue import JobQueue
from airflow_sklearn.storage import Storage
from airflow_sklearn.worker.ec2_host import job_process
from airflow_sklearn.worker.ec2_host.serve import serve
from local_cloud import ministack
from tests.rights import Need, Recorder, Role, refused, s3_needs

AMI = "ami-0c2023a1b2c3d4e5f"  # one that ministack knows
HERE = "us-east-1:000000000000"
LEDGER = "s3://acme/scores/_airflow_sklearn/f"
WHERE: dict[str, Any] = {"ec2": True, "region": "us-east-1", "account": "000000000000"}
FOLDERS: dict[str, Any] = {"models": ["s3://acme/models"], "destinations": ["s3://acme/scores"]}


def roles(**more: Any) -> dict[str, Role]:
    policies = all_policies(read_setting(**{**WHERE, **FOLDERS, **more}))
    return {name: Role(policy) for name, policy in policies.items() if not name.endswith("trust")}


@pytest.fixture(scope="module")
def ec2(cloud: ministack.Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ministack.Cloud]:
    """EC2's interface: instances are rows. (``cloud`` says what is missing if ministack is.)"""
    with ministack.running(tmp_path_factory.mktemp("ec2") / "log", services="ec2,s3,logs,sts") as running:
        running.client("s3").create_bucket(Bucket="acme")
        running.client("logs").create_log_group(logGroupName="/ec2/airflow-sklearn")
        yield running


@pytest.fixture
def job() -> PredictJob:
    """A second attempt at one chunk."""
    return PredictJob.model_construct(
        identity=JobIdentity(dag_id="dag", task_id="predict", run_id="run", try_number=2),
        result_uri=f"{LEDGER}/jobs/c.result.json",
        deadline_seconds=None,
        fingerprint="f",
        ledger=LEDGER,
        chunk=Chunk(id="c", label="part-1.csv", pieces=()),
    )


def needs(operation: str, params: dict[str, Any]) -> Iterator[Need]:
    """After the Service Authorization Reference of EC2 and of CloudWatch Logs."""
    if operation == "RunInstances":
        yield from launch_needs(params)
    elif operation in ("DescribeInstances", "DescribeImages"):
        yield f"ec2:{operation}", "*", {}
    elif operation in ("TerminateInstances", "GetConsoleOutput"):
        for name in params.get("InstanceIds") or [params["InstanceId"]]:
            yield (
                f"ec2:{operation}",
                f"arn:aws:ec2:{HERE}:instance/{name}",
                {"aws__ResourceTag/airflow_sklearn_roster": "1"},
            )
    elif operation in ("GetLogEvents", "CreateLogStream", "PutLogEvents"):
        stream = f"log-group:{params['logGroupName']}:log-stream:{params['logStreamName']}"
        yield f"logs:{operation}", f"arn:aws:logs:{HERE}:{stream}", {}
    else:
        yield from s3_needs(operation, params)


def launch_needs(params: dict[str, Any]) -> Iterator[Need]:
    for spec in params["TagSpecifications"]:
        tags = {f"aws__RequestTag/{tag['Key']}": tag["Value"] for tag in spec["Tags"]}
        resource = f"arn:aws:ec2:{HERE}:{spec['ResourceType']}/new"
        yield "ec2:RunInstances", resource, {**tags, "ec2__MetadataHttpTokens": params["MetadataOptions"]["HttpTokens"]}
        yield "ec2:CreateTags", resource, {"ec2__CreateAction": "RunInstances"}
    for name in (
        "spot-instances-request/new",
        "network-interface/new",
        f"subnet/{params['SubnetId']}",
        "security-group/sg-1",
        "key-pair/ops",
    ):
        yield "ec2:RunInstances", f"arn:aws:ec2:{HERE}:{name}", {}
    yield "ec2:RunInstances", f"arn:aws:ec2:us-east-1::image/{params['ImageId']}", {}
    role = "arn:aws:iam::000000000000:role/airflow-sklearn-instance"
    yield "iam:PassRole", role, {"iam__PassedToService": "ec2.amazonaws.com"}


def runtime(recorder: Recorder) -> Ec2Runtime:
    return Ec2Runtime(
        image="acme/worker:7",
        image_id=AMI,
        instance_types=["m7i.large"],
        subnets=["subnet-1"],
        security_groups=["sg-1"],
        iam_instance_profile="airflow-sklearn-instance",
        key_name="ops",
        jobs_per_instance=2,
    ).bind(recorder)


def test_the_life_of_an_instance_is_allowed_to_airflow(ec2: ministack.Cloud, job: PredictJob) -> None:
    recorder = Recorder(ec2)
    place = runtime(recorder)
    assert place.find(job) is None
    handle = place.submit(f"{LEDGER}/jobs/c.json", job, survives_parent=True)
    place.poll([handle])
    place.logs(handle)
    assert place.find(job) is not None
    place.cancel(handle)
    console_output(recorder.client("ec2"), str(handle.data["instance_id"]))  # ministack has none; it was asked
    expected = {"RunInstances", "DescribeImages", "DescribeInstances", "TerminateInstances", "GetConsoleOutput"}
    assert recorder.operations >= expected | {"GetLogEvents", "PutObject", "GetObject", "ListObjectsV2"}
    assert refused(roles()["airflow"], recorder.calls, needs) == []
    assert refused(roles(destinations=["s3://acme/others"])["airflow"], recorder.calls, needs) != []
    assert refused(roles()["instance"], recorder.calls, needs) != []


def test_what_an_instance_does_beside_its_jobs_is_allowed_to_it(
    ec2: ministack.Cloud, job: PredictJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = runtime(Recorder(ec2)).submit(f"{LEDGER}/jobs/d.json", job, survives_parent=True)
    worker = tmp_path / "worker"
    worker.write_text(f"#!{sys.executable}\nprint('a line')\n")
    worker.chmod(0o755)
    monkeypatch.setattr(job_process, "sys", SimpleNamespace(executable=str(worker)))
    recorder, placement = Recorder(ec2), handle.data["placement"]
    s3, logs = recorder.client("s3"), recorder.client("logs")
    monkeypatch.setattr("boto3.client", lambda *_, **__: logs)
    queue = JobQueue(Storage(lambda: s3), placement["pool"], placement["number"], 2)  # type: ignore[index]
    serve(queue, [], idle_timeout=0, log_group="/ec2/airflow-sklearn", log_region="us-east-1")
    end = queue.end(0)
    assert end is not None
    assert end.exit_code == 0
    assert recorder.operations >= {"GetObject", "PutObject", "HeadObject", "CreateLogStream", "PutLogEvents"}
    assert refused(roles()["instance"], recorder.calls, needs) == []
    assert refused(roles(instance_log_group="/other")["instance"], recorder.calls, needs) != []


def test_an_instance_may_do_what_a_container_of_ecs_may(ec2: ministack.Cloud) -> None:
    both = all_policies(read_setting(**WHERE, **FOLDERS, cluster="ml"))
    assert all(one in both["instance"]["Statement"] for one in both["task"]["Statement"])


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("ec2:RunInstances", "instance/new", {"ec2__MetadataHttpTokens": "required"}),
        ("ec2:RunInstances", "instance/new", {"aws__RequestTag/airflow_sklearn_roster": "1"}),
        ("ec2:RunInstances", "volume/new", {}),
        ("ec2:TerminateInstances", "instance/i-other", {}),
        ("ec2:TerminateInstances", "instance/i-other", {"aws__ResourceTag/Name": "database"}),
        ("ec2:GetConsoleOutput", "instance/i-other", {}),
        ("ec2:CreateTags", "instance/i-other", {}),
        ("ec2:StopInstances", "instance/i-1", {"aws__ResourceTag/airflow_sklearn_roster": "1"}),
    ],
)
def test_airflow_may_not_touch_other_instances_nor_launch_without_the_tag_and_imdsv2(
    action: str, resource: str, context: dict[str, str]
) -> None:
    assert not roles()["airflow"].may(action, f"arn:aws:ec2:{HERE}:{resource}", **context)


def test_only_the_instances_role_is_handed_out_and_only_to_instances() -> None:
    role = roles()["airflow"]
    mine, other = (f"arn:aws:iam::000000000000:role/{name}" for name in ("airflow-sklearn-instance", "admin"))
    assert role.may("iam:PassRole", mine, iam__PassedToService="ec2.amazonaws.com")
    assert not role.may("iam:PassRole", mine, iam__PassedToService="ecs-tasks.amazonaws.com")
    assert not role.may("iam:PassRole", other, iam__PassedToService="ec2.amazonaws.com")


def test_an_instance_deletes_and_publishes_nothing() -> None:
    role = roles()["instance"]
    assert role.may_on_object("PutObject", f"{LEDGER}/jobs/pools/1/ended/000000-000.json")
    assert not role.may_on_object("PutObject", f"{LEDGER}/jobs/c.json")
    assert not role.may_on_object("DeleteObject", f"{LEDGER}/jobs/pools/1/ended/000000-000.json")
    assert not role.may_on_object("PutObject", "s3://acme/scores/p/_manifest.json")


def test_an_instance_launches_others_only_where_it_searches_with_them() -> None:
    launch = ("ec2:RunInstances", f"arn:aws:ec2:{HERE}:instance/new")
    tagged = {"ec2__MetadataHttpTokens": "required", "aws__RequestTag/airflow_sklearn_roster": "1"}
    assert not roles()["instance"].may(*launch, **tagged)
    searching = roles(search_containers=True)["instance"]
    assert searching.may(*launch, **tagged)
    assert searching.may("sqs:CreateQueue", f"arn:aws:sqs:{HERE}:airflow-sklearn-pool-1-tasks")


def test_without_a_cluster_there_are_no_roles_of_ecs(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(all_policies(read_setting(**WHERE, **FOLDERS))) == {"airflow", "instance", "instance-trust"}
    command = ["--region", "us-east-1", "--account", "000000000000", "--model", "s3://acme/models"]
    assert main(["--ec2", *command, "--policy", "task"]) == 2
    assert "--policy task needs --cluster" in capsys.readouterr().err
    assert main(["--cluster", "ml", *command, "--policy", "instance-trust"]) == 2
    assert "--policy instance-trust needs --ec2" in capsys.readouterr().err
    assert main(command) == 2
    assert "give --cluster for ECS, --ec2 for instances, or both" in capsys.readouterr().err


def test_the_template_makes_an_instance_profile(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--ec2", "--region", "us-east-1", "--account", "000000000000", "--model", "s3://acme/models"]
    assert main([*command, "--format", "cloudformation"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert set(made["Resources"]) == {"InstanceRole", "InstanceProfile", "AirflowPolicy"}
    assert made["Resources"]["InstanceProfile"]["Properties"] == {
        "InstanceProfileName": "airflow-sklearn-instance",
        "Roles": [{"Ref": "InstanceRole"}],
    }
    role = made["Resources"]["InstanceRole"]["Properties"]
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "ec2.amazonaws.com"}
