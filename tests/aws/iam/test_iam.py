"""The policies, and proof that they fit: what real runs ask of S3 and ECS is recorded, and looked up in them.

Whole runs from table to table are in ``tests/operators/test_rights.py``.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3.s3.inject
import pytest
from boto3.s3.transfer import TransferConfig

from airflow_sklearn.aws.iam.__main__ import main
from airflow_sklearn.aws.iam.policies import all_policies
from airflow_sklearn.aws.iam.setting import read_setting
from airflow_sklearn.contract.data import CsvOptions, OutputFiles, SourceFiles
from airflow_sklearn.contract.jobs import JobIdentity, JobResult, PredictJob
from airflow_sklearn.contract.model import ModelManifest
from airflow_sklearn.contract.plan import Chunk, Plan
from airflow_sklearn.contract.train_settings import TrainSettings
from airflow_sklearn.datasets.base import Attempt
from airflow_sklearn.datasets.out_of_sample import publish_out_of_sample
from airflow_sklearn.datasets.planning import make_plan
from airflow_sklearn.datasets.registry import destination_of
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runs.ledger import Ledger, read_plan
from airflow_sklearn.runs.model_store import find_version
from airflow_sklearn.runs.train_job import make_train_job
from airflow_sklearn.runs.verify import verify
from airflow_sklearn.runtimes.ec2 import Ec2Runtime
from airflow_sklearn.runtimes.ecs import EcsRuntime, fargate
from airflow_sklearn.runtimes.outcome import read_result
from airflow_sklearn.storage import Storage
from airflow_sklearn.worker.run import run_job
from local_cloud import ministack
from tests.factories import publish
from tests.rights import Need, Recorder, Role, as_list, refused, s3_needs

ACCOUNT = "111122223333"
WHERE: dict[str, Any] = {"cluster": "ml", "region": "eu-west-1", "account": ACCOUNT}
FOLDERS: dict[str, Any] = {
    "data": ["s3://acme/customers/"],
    "models": ["s3://acme/models/churn"],
    "destinations": ["s3://acme/scores"],
}
COMMAND = ["--cluster", "ml", "--region", "eu-west-1", "--account", ACCOUNT]
#: Actions for which a service knows no resource, or (ListTasks) none that a listing of a whole cluster has.
WITHOUT_RESOURCE = {
    "ec2:DescribeImages",
    "ec2:DescribeInstances",
    "ecr:GetAuthorizationToken",
    "ecs:DescribeTaskDefinition",
    "ecs:ListTasks",
    "redshift-data:CancelStatement",
    "redshift-data:DescribeStatement",
    "redshift-data:GetStatementResult",
}
STAGING: dict[str, Any] = {"staging": ["s3://acme/redshift"]}
WORKGROUP = "01234567-89ab-cdef-0123-456789abcdef"
SECRET = f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:redshift-AbCdEf"
#: Every statement that there is is in one of them.
EVERYTHING: tuple[dict[str, Any], ...] = (
    {**WHERE, **FOLDERS, **STAGING, "registers": True, "kms_keys": [f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/k"],
     "workgroups": [WORKGROUP], "clusters": ["analytics"]},
    {**WHERE, **FOLDERS, "pools": ["s3://acme/pools"], "search_containers": True},
    {**WHERE, **FOLDERS, **STAGING, "clusters": ["analytics"], "users": ["airflow"], "secrets": [SECRET]},
    {**WHERE, **FOLDERS, "ec2": True},
)  # fmt: skip


def roles(**more: Any) -> dict[str, Role]:
    policies = all_policies(read_setting(**{**WHERE, **FOLDERS, **more}))
    return {name: Role(policy) for name, policy in policies.items() if not name.endswith("trust")}


def everything() -> Iterator[tuple[str, dict[str, Any]]]:
    """Policies with every statement that there is."""
    for options in EVERYTHING:
        yield from all_policies(read_setting(**options)).items()


class Run:
    """Trains, plans, predicts and commits, as the operators and the container do, each side with its own client."""

    def __init__(self, cloud: ministack.Cloud, bucket: str) -> None:
        self.root, self.admin = f"s3://{bucket}", cloud.client()
        self.on_airflow, self.in_container = Recorder(cloud), Recorder(cloud)
        self.airflow, self.container = Storage(self.on_airflow.client), Storage(self.in_container.client)
        self.bucket = bucket

    def put(self, name: str, start: int, stop: int) -> None:
        rows = "".join(f"{i},{(i * 37 % 101) / 10},{int(i * 37 % 101 > 50)}\n" for i in range(start, stop))
        self.admin.put_object(Bucket=self.bucket, Key=f"data/{name}", Body=f"id,x,y\n{rows}".encode())

    def remove(self, part_of_name: str) -> None:
        """Somebody, or a lifecycle rule, removes objects."""
        found = self.admin.list_objects_v2(Bucket=self.bucket)["Contents"]
        names = [entry["Key"] for entry in found if part_of_name in entry["Key"]]
        assert names
        for name in names:
            self.admin.delete_object(Bucket=self.bucket, Key=name)

    def train(self) -> ModelManifest:
        from sklearn.linear_model import LogisticRegression

        job, uri = make_train_job(
            self.airflow,
            settings=TrainSettings(target="y", primary_key=("id",), cross_validation=2),
            identity=JobIdentity(),
            attempt=uuid.uuid4().hex,
            estimator=LogisticRegression(),
            estimator_params={},
            source=SourceFiles(uris=(f"{self.root}/data/*.csv",), file_format="csv"),
            model=f"{self.root}/models/churn",
            software="",
            image="",
            deadline_seconds=None,
        )
        found = find_version(self.airflow, job.model, job.version)
        if found is None:
            self.airflow.write(uri, job.to_json())
            assert run_job(uri, self.container) == 0
            found = find_version(self.airflow, job.model, job.version)
        assert found
        return ModelManifest.from_json(self.airflow.read(found[0]))

    def plan(self, **more: Any) -> tuple[Plan, str]:
        _, uri = make_plan(
            self.airflow,
            model=f"{self.root}/models/churn",
            source=SourceFiles(
                uris=(f"{self.root}/data/",), file_format="csv", csv=CsvOptions(newlines_in_values=True)
            ),
            destination=OutputFiles(uri=f"{self.root}/scores", file_format="parquet"),
            partition="date=2026-01-01",
            chunk_size=3_000,
            **more,
        )
        return read_plan(self.airflow, uri), uri

    def predict(self, plan: Plan) -> None:
        ledger = Ledger(self.airflow, plan.ledger)
        for chunk in plan.chunks:
            if ledger.read_receipt(chunk.id, plan.fingerprint):
                continue
            attempt = uuid.uuid4().hex
            job = PredictJob(
                result_uri=ledger.result_uri(chunk.id, attempt),
                spec=plan.spec,
                fingerprint=plan.fingerprint,
                ledger=plan.ledger,
                chunk=chunk,
            )
            self.airflow.write(ledger.job_uri(chunk.id, attempt), job.to_json())
            assert read_result(self.airflow, job.result_uri) is None
            assert run_job(ledger.job_uri(chunk.id, attempt), self.container) == 0
            assert isinstance(read_result(self.airflow, job.result_uri), JobResult)
            assert ledger.read_receipt(chunk.id, plan.fingerprint)

    def publish(self, plan: Plan, uri: str) -> int:
        manifest, _ = publish(self.airflow, plan, verify(self.airflow, plan, uri))
        return manifest.rows

    def publish_scores(self, manifest: ModelManifest) -> int:
        """The out-of-sample scores, beside the predictions."""
        place = OutputFiles(uri=f"{self.root}/scores", file_format="parquet")
        publish_out_of_sample(Attempt(self.airflow, JobIdentity()), manifest, destination_of(place), run="r")
        assert manifest.out_of_sample
        return manifest.out_of_sample.rows

    def roles(self, **more: Any) -> dict[str, Role]:
        folders = {
            "data": [f"{self.root}/data/"],
            "models": [f"{self.root}/models/churn"],
            "destinations": [f"{self.root}/scores"],
        }
        return roles(**{**folders, **more})

    def refused(self, given: Mapping[str, Role]) -> list[str]:
        return [
            *refused(given["airflow"], self.on_airflow.calls, s3_needs),
            *refused(given["task"], self.in_container.calls, s3_needs),
        ]


@pytest.fixture
def run(cloud: ministack.Cloud, bucket: str) -> Run:
    made = Run(cloud, bucket)
    made.put("a.csv", 0, 300)
    made.put("b.csv", 300, 600)
    return made


# --- What runs ask for is allowed ---


def test_a_whole_run_and_one_that_replaces_it_are_allowed(run: Run) -> None:
    assert run.publish_scores(run.train()) == 600
    plan, uri = run.plan()
    run.predict(plan)
    assert run.publish(plan, uri) == 600
    run.put("b.csv", 300, 700)
    plan, uri = run.plan()
    run.predict(plan)
    assert run.publish(plan, uri) == 700
    assert {"ListObjectsV2", "HeadObject", "GetObject", "PutObject", "CopyObject", "DeleteObjects"} <= (
        run.on_airflow.operations
    )
    assert {"HeadObject", "GetObject", "PutObject"} <= run.in_container.operations
    assert run.refused(run.roles()) == []


def test_what_is_larger_goes_up_and_over_in_pieces_and_is_allowed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3.s3.inject, "TransferConfig", lambda: TransferConfig(multipart_threshold=1))
    run.train()
    plan, uri = run.plan()
    run.predict(plan)
    run.publish(plan, uri)
    assert {"CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"} <= run.in_container.operations
    uploaded = [params["Key"] for name, params in run.in_container.calls if name == "UploadPart"]
    for folder in ("/parts/", "/artifact-", "/out_of_sample/"):
        assert any(folder in key for key in uploaded), f"nothing in {folder} goes up in pieces: mend the test"
    assert {"CreateMultipartUpload", "UploadPartCopy", "CompleteMultipartUpload"} <= run.on_airflow.operations
    assert run.refused(run.roles()) == []


def test_an_upload_or_a_copy_that_breaks_may_be_ended(run: Run) -> None:
    given = run.roles()
    part, artifact = f"scores/_airflow_sklearn/f/parts/{'0' * 64}.parquet", "models/churn/versions/v/artifact-0.joblib"
    for name in (part, artifact, "models/churn/versions/v/out_of_sample/0.parquet"):
        assert given["task"].may_on_object("AbortMultipartUpload", f"{run.root}/{name}")
    assert given["airflow"].may_on_object("AbortMultipartUpload", f"{run.root}/scores/p/part-00000-0.parquet")


def test_mending_what_was_lost_is_allowed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts and artifacts that are gone are made again; a publication that died is taken over."""
    run.train()
    run.remove("/artifact-")
    run.train()
    plan, uri = run.plan()
    run.predict(plan)
    run.remove("/parts/")
    run.predict(plan)
    with monkeypatch.context() as broken:
        broken.setattr(run.airflow, "copy", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):  # the machine is gone: nothing is cleaned up
            run.publish(plan, uri)
    assert run.publish(plan, uri) == 600
    replaced = [params["Key"] for _, params in [*run.on_airflow.calls, *run.in_container.calls] if "IfMatch" in params]
    for name in ("/manifest.json", "/_publishing.json"):
        assert any(name in key for key in replaced), f"this run does not replace {name}: mend the test"
    assert run.refused(run.roles()) == []


def test_folders_that_hold_several_models_and_destinations_will_do(run: Run) -> None:
    run.train()
    plan, uri = run.plan()
    run.predict(plan)
    run.publish(plan, uri)
    assert run.refused(run.roles(models=[f"{run.root}/models"], destinations=[f"{run.root}/"])) == []
    assert run.refused(run.roles(models=[f"{run.root}/model"])) != []


def test_a_ledger_elsewhere_is_allowed_when_it_is_named(run: Run) -> None:
    run.train()
    plan, uri = run.plan(ledger=f"{run.root}/ledgers")
    run.predict(plan)
    run.publish(plan, uri)
    assert run.refused(run.roles()) != []
    assert run.refused(run.roles(ledgers=[f"{run.root}/ledgers"])) == []


# --- What nobody asks for is not ---


@pytest.mark.parametrize("side", ["airflow", "task", "execution", "redshift"])
@pytest.mark.parametrize(
    ("action", "uri"),
    [
        ("GetObject", "s3://acme/salaries/all.csv"),
        ("GetObject", "s3://acme/customers_of_others/all.csv"),
        ("GetObject", "s3://other/customers/all.csv"),
        ("PutObject", "s3://acme/customers/all.csv"),
        ("DeleteObject", "s3://acme/customers/all.csv"),
        ("DeleteObject", "s3://acme/models/churn/versions/v/manifest.json"),
        ("DeleteObject", "s3://acme/scores/_airflow_sklearn/f/receipts/c.json"),
        ("DeleteObject", "s3://acme/scores/somebodys.csv"),
        ("PutObject", "s3://acme/scores/p/somebodys.csv"),
        ("PutObjectAcl", "s3://acme/scores/p/part-00000-0.parquet"),
        ("GetObjectVersion", "s3://acme/customers/all.csv"),
        ("GetObject", "s3://acme/redshift/somebodys.csv"),
        ("GetObject", "s3://acme/redshift_of_others/unloads/t/0/1/q/rows/0000_part_00.parquet"),
        ("DeleteObject", "s3://acme/redshift/tables/t/_airflow_sklearn/f/parts/0.parquet"),
        ("DeleteObject", "s3://acme/models/churn/versions/v/out_of_sample/0.parquet"),
    ],
)
def test_no_side_may_do_what_no_run_does(side: str, action: str, uri: str) -> None:
    assert not roles(**STAGING)[side].may_on_object(action, uri)


@pytest.mark.parametrize(
    ("action", "uri"),
    [
        ("DeleteObject", "s3://acme/scores/p/part-00000-0.parquet"),
        ("DeleteObject", "s3://acme/scores/_airflow_sklearn/f/parts/0.parquet"),
        ("PutObject", "s3://acme/scores/p/part-00000-0.parquet"),
        ("PutObject", "s3://acme/scores/p/_manifest.json"),
        ("GetObject", "s3://acme/scores/p/part-00000-0.parquet"),
        ("PutObject", "s3://acme/scores/_airflow_sklearn/f/plans/0.json"),
        ("PutObject", "s3://acme/scores/_airflow_sklearn/f/proofs/0.json"),
        ("PutObject", "s3://acme/models/churn/estimators/0.pkl"),
        ("PutObject", "s3://acme/redshift/unloads/t/0/1/q/rows/0000_part_00.parquet"),
        ("PutObject", "s3://acme/redshift/unloads/t/0/snapshot.json"),
        ("DeleteObject", "s3://acme/redshift/unloads/t/0/1/q/rows/0000_part_00.parquet"),
        ("GetObject", "s3://acme/redshift/tables/t/copies/c/0.json"),
        ("PutObject", "s3://acme/redshift/tables/t/copies/c/0.json"),
        ("PutObject", "s3://acme/redshift/tables/t/_airflow_sklearn/f/plans/0.json"),
    ],
)
def test_the_container_may_not(action: str, uri: str) -> None:
    assert not roles(**STAGING)["task"].may_on_object(action, uri)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://acme/scores/_airflow_sklearn/f/receipts/c.json",
        "s3://acme/scores/_airflow_sklearn/f/parts/0.parquet",
        "s3://acme/models/churn/versions/v/artifact-0.joblib",
        "s3://acme/models/churn/versions/v/manifest.json",
        "s3://acme/models/churn/versions/v/out_of_sample/0.parquet",
        "s3://acme/redshift/tables/t/_airflow_sklearn/f/parts/0.parquet",
        "s3://acme/redshift/unloads/t/0/1/q/rows/0000_part_00.parquet",
    ],
)
def test_airflow_may_not_write_what_only_containers_or_redshift_make(uri: str) -> None:
    assert not roles(**STAGING)["airflow"].may_on_object("PutObject", uri)


@pytest.mark.parametrize(
    ("action", "uri"),
    [
        ("GetObject", "s3://acme/customers/all.csv"),
        ("GetObject", "s3://acme/scores/_airflow_sklearn/f/parts/0.parquet"),
        ("GetObject", "s3://acme/models/churn/versions/v/artifact-0.joblib"),
        ("GetObject", "s3://acme/redshift/tables/t/_airflow_sklearn/f/receipts/c.json"),
        ("PutObject", "s3://acme/redshift/unloads/t/0/snapshot.json"),
        ("PutObject", "s3://acme/redshift/tables/t/copies/c/0.json"),
        ("PutObject", "s3://acme/redshift/tables/t/_airflow_sklearn/f/parts/0.parquet"),
        ("DeleteObject", "s3://acme/redshift/unloads/t/0/1/q/rows/0000_part_00.parquet"),
    ],
)
def test_redshift_may_not(action: str, uri: str) -> None:
    assert not roles(**STAGING)["redshift"].may_on_object(action, uri)


def test_redshift_reads_what_unload_and_copy_take_rights_for() -> None:
    """UNLOAD takes GET too, of which the stand-in makes no use; a ledger that a plan names is loaded from there."""
    role = roles(**STAGING, ledgers=["s3://acme/ledgers"])["redshift"]
    assert role.may_on_object("GetObject", "s3://acme/redshift/unloads/t/0/1/q/rows/0000_part_00.parquet")
    assert role.may_on_object("GetObject", "s3://acme/ledgers/f/parts/0.parquet")
    assert role.may("s3:GetBucketLocation", "arn:aws:s3:::acme")
    assert not role.may("s3:ListBucket", "arn:aws:s3:::acme", s3__prefix="customers/")
    assert roles(**STAGING, lists_whole_buckets=True)["redshift"].may("s3:ListBucket", "arn:aws:s3:::acme")


def test_the_container_has_no_right_outside_of_s3() -> None:
    actions = {action for one in roles(**STAGING)["task"].statements for action in as_list(one["Action"])}
    assert {action.partition(":")[0] for action in actions} == {"s3"}


def test_what_a_training_only_looks_at_is_listed_and_read() -> None:
    """``will_score=`` and ``HeldOut``: Airflow finds the files, the container reads them."""
    found, prefix = roles(compared=["s3://acme/to_score/"]), "to_score/2026/"
    for side in ("airflow", "task"):
        assert found[side].may("s3:ListBucket", "arn:aws:s3:::acme", s3__prefix=prefix) or side == "task"
        assert found[side].may_on_object("GetObject", f"s3://acme/{prefix}a.csv")
        assert not found[side].may_on_object("PutObject", f"s3://acme/{prefix}a.csv")
        assert not roles()[side].may_on_object("GetObject", f"s3://acme/{prefix}a.csv")


@pytest.mark.parametrize("side", ["airflow", "task"])
def test_only_the_folders_are_listed(side: str) -> None:
    role = roles()[side]
    assert role.may("s3:ListBucket", "arn:aws:s3:::acme", s3__prefix="customers/2026/")
    assert not role.may("s3:ListBucket", "arn:aws:s3:::acme", s3__prefix="salaries/")
    assert not role.may("s3:ListBucket", "arn:aws:s3:::acme", s3__prefix="")
    assert not role.may("s3:ListBucket", "arn:aws:s3:::acme")
    assert role.may("s3:ListBucket", "arn:aws:s3:::acme", s3__prefix="scores/p/") is (side == "airflow")


@pytest.mark.parametrize("side", ["airflow", "task"])
def test_whole_buckets_are_listed_only_when_that_is_asked_for(side: str) -> None:
    bucket = "arn:aws:s3:::acme"
    assert not roles()[side].may("s3:ListBucket", bucket)
    assert roles(lists_whole_buckets=True)[side].may("s3:ListBucket", bucket)
    assert not roles(lists_whole_buckets=True)[side].may("s3:GetObject", f"{bucket}/elsewhere/secret")


def test_a_star_is_a_resource_only_where_a_service_knows_none() -> None:
    for name, policy in everything():
        for one in policy["Statement"]:
            if "*" in one.get("Resource", ()):
                assert set(as_list(one["Action"])) <= WITHOUT_RESOURCE, f"{name}: {one['Sid']}"


def test_no_action_is_a_pattern_and_every_statement_has_a_name_of_its_own() -> None:
    for _, policy in everything():
        names = [one["Sid"] for one in policy["Statement"]]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch("[A-Za-z0-9]+", name) for name in names)
        assert not [action for one in policy["Statement"] for action in as_list(one["Action"]) if "*" in action]


# --- ECS ---


def ecs_needs(operation: str, params: dict[str, Any]) -> Iterator[Need]:
    """After the Service Authorization Reference of ECS and of CloudWatch Logs."""
    here = "us-east-1:000000000000"
    cluster = f"arn:aws:ecs:{here}:cluster/{params.get('cluster', '')}"
    task = f"arn:aws:ecs:{here}:task/{params.get('cluster', '')}"
    if operation == "RunTask":
        yield "ecs:RunTask", params["taskDefinition"], {"ecs__cluster": cluster}
        yield "ecs:TagResource", f"{task}/new", {"ecs__CreateAction": "RunTask"}
        for role in ("airflow-sklearn-task", "airflow-sklearn-execution"):
            yield (
                "iam:PassRole",
                f"arn:aws:iam::000000000000:role/{role}",
                {"iam__PassedToService": "ecs-tasks.amazonaws.com"},
            )
    elif operation == "ListTasks":
        yield "ecs:ListTasks", "*", {"ecs__cluster": cluster}
    elif operation in ("DescribeTasks", "StopTask"):
        for arn in params.get("tasks") or [params["task"]]:
            yield f"ecs:{operation}", arn, {}
    elif operation == "RegisterTaskDefinition":
        yield "ecs:RegisterTaskDefinition", f"arn:aws:ecs:{here}:task-definition/{params['family']}:1", {}
    elif operation == "GetLogEvents":
        stream = f"log-group:{params['logGroupName']}:log-stream:{params['logStreamName']}"
        yield "logs:GetLogEvents", f"arn:aws:logs:{here}:{stream}", {}
    else:
        assert operation == "DescribeTaskDefinition", f"{operation} is new: say here which rights it takes"
        yield "ecs:DescribeTaskDefinition", "*", {}


@pytest.fixture(scope="module")
def ecs(cloud: ministack.Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ministack.Cloud]:
    """ECS's interface. No containers: tasks stay as they were asked for."""
    with ministack.running(tmp_path_factory.mktemp("ecs") / "ministack.log", services="ecs,logs") as running:
        running.client("ecs").create_cluster(clusterName="ml")
        yield running


@pytest.mark.parametrize("given", ["by name", "as a specification"])
def test_the_life_of_an_ecs_task_is_allowed(ecs: ministack.Cloud, given: str) -> None:
    spec: dict[str, Any] = {
        "family": "airflow-sklearn",
        "containerDefinitions": [
            {
                "name": "worker",
                "image": "image",
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {
                        "awslogs-group": "/ecs/airflow-sklearn",
                        "awslogs-region": "us-east-1",
                        "awslogs-stream-prefix": "ecs",
                    },
                },
            }
        ],
        "cpu": "256",
        "memory": "512",
    }
    ecs.client("ecs").register_task_definition(**spec)
    recorder = Recorder(ecs)
    runtime = EcsRuntime(
        cluster="ml", task_definition="airflow-sklearn" if given == "by name" else {**spec, "memory": "1024"}
    ).bind(recorder)
    job = PredictJob.model_construct(
        identity=JobIdentity(dag_id=given, try_number=2),
        ledger="s3://acme/scores/_airflow_sklearn/f",
        fingerprint="f",
        chunk=Chunk(id="c", label="part-1.csv (1 of 1)", pieces=()),
        result_uri="s3://acme/scores/_airflow_sklearn/f/jobs/c.result.json",
    )
    assert runtime.find(job) is None
    handle = runtime.submit("s3://acme/scores/_airflow_sklearn/f/jobs/c.json", job, survives_parent=True)
    runtime.poll([handle])
    runtime.logs(handle)
    runtime.cancel(handle)
    expected = {"DescribeTaskDefinition", "ListTasks", "RunTask", "DescribeTasks", "GetLogEvents", "StopTask"}
    registers = given == "as a specification"
    assert recorder.operations == expected | ({"RegisterTaskDefinition"} if registers else set())
    account = {"region": "us-east-1", "account": "000000000000"}
    assert refused(roles(**account, registers=registers)["airflow"], recorder.calls, ecs_needs) == []
    assert refused(roles(**account, registers=registers)["task"], recorder.calls, ecs_needs) != []
    assert refused(roles(**account, registers=registers, cluster="other")["airflow"], recorder.calls, ecs_needs) != []


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("ecs:RunTask", "task-definition/billing:1", {"ecs__cluster": "ml"}),
        ("ecs:RunTask", "task-definition/airflow-sklearn:1", {"ecs__cluster": "production"}),
        ("ecs:StopTask", "task/production/0123", {}),
        ("ecs:DescribeTasks", "task/production/0123", {}),
        ("ecs:TagResource", "task/ml/0123", {}),
        ("ecs:RegisterTaskDefinition", "task-definition/airflow-sklearn:1", {}),
        ("ecs:UpdateService", "service/ml/web", {}),
        ("ecs:ExecuteCommand", "task/ml/0123", {}),
    ],
)
def test_airflow_may_not_act_elsewhere_in_ecs(action: str, resource: str, context: dict[str, str]) -> None:
    start = f"arn:aws:ecs:eu-west-1:{ACCOUNT}:"
    found = {name: f"{start}cluster/{value}" for name, value in context.items()}
    assert not roles()["airflow"].may(action, start + resource, **found)


@pytest.mark.parametrize(
    ("role", "service"),
    [("airflow-sklearn-task", "ec2.amazonaws.com"), ("admin", "ecs-tasks.amazonaws.com")],
)
def test_airflow_hands_out_only_the_two_roles_and_only_to_tasks(role: str, service: str) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
    assert not roles()["airflow"].may("iam:PassRole", arn, iam__PassedToService=service)


def test_the_execution_role_pulls_one_image_and_writes_one_log() -> None:
    role, here = roles()["execution"], f"eu-west-1:{ACCOUNT}"
    for action in ("BatchGetImage", "GetDownloadUrlForLayer", "BatchCheckLayerAvailability"):
        assert role.may(f"ecr:{action}", f"arn:aws:ecr:{here}:repository/airflow-sklearn-worker")
        assert not role.may(f"ecr:{action}", f"arn:aws:ecr:{here}:repository/airflow-sklearn-worker-2")
    for action in ("CreateLogStream", "PutLogEvents"):
        assert role.may(f"logs:{action}", f"arn:aws:logs:{here}:log-group:/ecs/airflow-sklearn:log-stream:ecs/worker/1")
        assert not role.may(f"logs:{action}", f"arn:aws:logs:{here}:log-group:/ecs/airflow-sklearn-2:log-stream:x")
    assert not role.may_on_object("GetObject", "s3://acme/customers/all.csv")


def test_the_roles_are_for_tasks_of_this_account_and_region_only() -> None:
    policies = all_policies(read_setting(**WHERE, **FOLDERS))
    assert policies["task-trust"] == policies["execution-trust"]
    (statement,) = policies["task-trust"]["Statement"]
    assert statement["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    assert statement["Condition"] == {
        "ArnLike": {"aws:SourceArn": f"arn:aws:ecs:eu-west-1:{ACCOUNT}:*"},
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
    }


def test_the_role_of_redshift_is_for_clusters_and_for_serverless() -> None:
    (statement,) = all_policies(read_setting(**WHERE, **STAGING))["redshift-trust"]["Statement"]
    assert statement["Principal"] == {"Service": ["redshift.amazonaws.com", "redshift-serverless.amazonaws.com"]}
    assert statement["Action"] == "sts:AssumeRole"


def test_keys_are_used_through_s3_only() -> None:
    key = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/k"
    for side in ("airflow", "task", "redshift"):
        role = roles(kms_keys=[key], **STAGING)[side]
        for action in ("kms:Decrypt", "kms:GenerateDataKey"):
            assert role.may(action, key, kms__ViaService="s3.eu-west-1.amazonaws.com")
            assert not role.may(action, key, kms__ViaService="secretsmanager.eu-west-1.amazonaws.com")
            assert not role.may(action, key)


# --- The command ---


def test_names_and_arns_may_be_given_for_the_same_things() -> None:
    start = f"arn:aws:ecs:eu-west-1:{ACCOUNT}:"
    named = read_setting(**WHERE, **FOLDERS, task_role="jobs/task", repositories=["team/worker"])
    by_arn = read_setting(
        **{**WHERE, "cluster": f"{start}cluster/ml"},
        **FOLDERS,
        task_role=f"arn:aws:iam::{ACCOUNT}:role/jobs/task",
        repositories=[f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/team/worker:1.0@sha256:00"],
    )
    assert named == by_arn


@pytest.mark.parametrize(("region", "partition"), [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")])
def test_other_partitions_have_their_own_arns(region: str, partition: str) -> None:
    setting = read_setting(**{**WHERE, "region": region}, **FOLDERS)
    text = json.dumps(all_policies(setting))
    assert set(re.findall(r"\barn:([\w-]+):", text)) == {partition}


def test_all_that_is_wrong_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ["--cluster", "a b", "--region", "Ireland", "--account", "12", "--data", "s3://acme/c/{{ ds }}/*.csv",
             "--model", "models", "--task-definition", "f:1", "--task-role", "arn:aws:iam::999988887777:role/x",
             "--kms-key", "alias/data", "--log-group", "a b", "--staging", "redshift", "--redshift-role", "a b",
             "--data-api-workgroup", "ml", "--data-api-secret", "redshift", "--data-api-user", "a*"]  # fmt: skip
    assert main(wrong) == 2
    said = capsys.readouterr().err
    for word in ("--cluster", "--region", "--account", "--data", "--model", "--task-definition", "--task-role",
                 "--kms-key", "--log-group", "--staging", "--redshift-role", "--data-api-workgroup",
                 "--data-api-secret", "--data-api-user"):  # fmt: skip
        assert word in said
    assert "give s3://acme/c/" in said
    assert "--data-api-user goes with --data-api-cluster" in said


def test_a_database_in_another_region_is_named_by_its_arn() -> None:
    workgroup = f"arn:aws:redshift-serverless:us-west-2:{ACCOUNT}:workgroup/{WORKGROUP}"
    cluster = f"arn:aws:redshift:us-west-2:{ACCOUNT}:cluster:analytics"
    setting = read_setting(**WHERE, **STAGING, workgroups=[workgroup], clusters=[cluster], users=["airflow"])
    statements = {one["Sid"]: one["Resource"] for one in all_policies(setting)["airflow"]["Statement"]}
    assert statements["RunStatements"] == [workgroup, cluster]
    assert statements["SignInToWorkgroups"] == [workgroup]
    assert f"arn:aws:redshift:us-west-2:{ACCOUNT}:dbuser:analytics/airflow" in statements["SignInToClustersAsUser"]


def test_without_staging_there_is_no_role_of_redshift(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*COMMAND, "--data", "s3://acme/c/"]
    assert main([*arguments, "--policy", "redshift"]) == 2
    assert "--policy redshift needs --staging" in capsys.readouterr().err
    assert main([*arguments, "--format", "cloudformation"]) == 0
    assert "Redshift" not in capsys.readouterr().out


def test_without_any_folder_nothing_is_made() -> None:
    with pytest.raises(UserError, match="no folder is given"):
        read_setting(**WHERE)


KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key"


@pytest.mark.parametrize(
    ("option", "name", "text"),
    [
        ("--cluster", "cluster", "m*"),
        ("--cluster", "cluster", f"arn:aws:ecs:eu-west-1:{ACCOUNT}:cluster/*"),
        ("--region", "region", "eu-*"),
        ("--account", "account", "*"),
        ("--task-definition", "families", ["a*b"]),
        ("--task-definition", "families", ["a?*"]),
        ("--log-group", "log_group", "/ecs/*"),
        ("--instance-log-group", "instance_log_group", "/ec2/?"),
        ("--task-role", "task_role", "a*/b"),
        ("--task-role", "task_role", f"arn:aws:iam::{ACCOUNT}:role/a?b/c"),
        ("--execution-role", "execution_role", "*/b"),
        ("--instance-role", "instance_role", "path/*/role"),
        ("--redshift-role", "redshift_role", "${aws:username}/b"),
        ("--ecr-repository", "repositories", [f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/*"]),
        ("--ecr-repository", "repositories", [f"arn:aws:ecr:*:{ACCOUNT}:repository/x"]),
        ("--ecr-repository", "repositories", [f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/*:latest"]),
        ("--kms-key", "kms_keys", [f"{KEY}/*"]),
        ("--kms-key", "kms_keys", [f"arn:aws:kms:*:{ACCOUNT}:key/1"]),
        ("--data-api-workgroup", "workgroups", ["0*"]),
        ("--data-api-cluster", "clusters", [f"arn:aws:redshift:eu-west-1:{ACCOUNT}:cluster:*"]),
        ("--data-api-user", "users", ["*"]),
        ("--data-api-database", "databases", ["de?"]),
        ("--data-api-secret", "secrets", [f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:*"]),
    ],
)  # fmt: skip
def test_a_wild_card_is_refused_wherever_it_is_typed(option: str, name: str, text: Any) -> None:
    given = {**WHERE, **FOLDERS, "ec2": True, "clusters": ["analytics"], name: text}
    with pytest.raises(UserError, match=f"{option} .*wild card"):
        read_setting(**given)


@pytest.mark.parametrize("name", ["data", "models", "destinations", "ledgers", "staging", "pools"])
@pytest.mark.parametrize("text", ["s3://acme/a*", "s3://acme/a?/b", "s3://acm*/a", "s3://*/a", "s3://acme/${x}/"])
def test_a_folder_with_a_wild_card_is_refused(name: str, text: str) -> None:
    with pytest.raises(UserError, match=r"wild card|is no s3://bucket/folder"):
        read_setting(**WHERE, **{name: [text]})


def test_all_wild_cards_are_named_at_once() -> None:
    with pytest.raises(UserError) as error:
        read_setting(**WHERE, **FOLDERS, task_role="a*/b", kms_keys=[f"{KEY}/*", f"{KEY}/?"], log_group="/x/*")
    assert str(error.value).count("wild card") == 4


def test_policies_that_are_too_long_for_iam_are_refused() -> None:
    with pytest.raises(UserError, match="6,144 characters"):
        all_policies(read_setting(**WHERE, **{**FOLDERS, "models": [f"s3://acme/model-{i}" for i in range(50)]}))


def test_each_policy_goes_to_a_file_of_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, "--data", "s3://acme/customers/", "--output", str(tmp_path / "policies")]) == 0
    written = {path.name for path in (tmp_path / "policies").iterdir()}
    assert written == {"airflow.json", "task.json", "execution.json", "task-trust.json", "execution-trust.json"}
    assert main([*COMMAND, "--staging", "s3://acme/redshift", "--output", str(tmp_path / "tables")]) == 0
    assert {path.name for path in (tmp_path / "tables").iterdir()} == written | {"redshift.json", "redshift-trust.json"}
    capsys.readouterr()
    assert main([*COMMAND, "--data", "s3://acme/customers/", "--policy", "task"]) == 0
    printed = capsys.readouterr().out.partition("{")
    assert json.loads("".join(printed[1:])) == json.loads((tmp_path / "policies" / "task.json").read_text())


def test_a_cloudformation_template_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    folders = ["--data", "s3://acme/c/", "--staging", "s3://acme/redshift"]
    assert main([*COMMAND, *folders, "--task-role", "jobs/task", "--format", "cloudformation"]) == 0
    template = json.loads(capsys.readouterr().out)
    resources = template["Resources"]
    policies = all_policies(read_setting(**WHERE, **STAGING, data=["s3://acme/c/"], task_role="jobs/task"))
    task = resources["TaskRole"]["Properties"]
    assert (task["RoleName"], task["Path"]) == ("task", "/jobs/")
    assert resources["RedshiftRole"]["Properties"]["RoleName"] == "airflow-sklearn-redshift"
    for name, policy in (("TaskRole", "task"), ("ExecutionRole", "execution"), ("RedshiftRole", "redshift")):
        role = resources[name]["Properties"]
        assert role["AssumeRolePolicyDocument"] == policies[f"{policy}-trust"]
        assert role["Policies"][0]["PolicyDocument"] == policies[policy]
        assert template["Outputs"][f"{name}Arn"] == {"Value": {"Fn::GetAtt": [name, "Arn"]}}
    assert resources["AirflowPolicy"]["Properties"]["PolicyDocument"] == policies["airflow"]


def test_the_command_needs_nothing_but_the_standard_library() -> None:
    source = "import sys, airflow_sklearn.aws.iam.__main__; print(*{name.partition('.')[0] for name in sys.modules})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    loaded = subprocess.run([sys.executable, "-c", source], env=environment, check=True, capture_output=True, text=True)
    assert not {"airflow", "boto3", "botocore", "pydantic"} & set(loaded.stdout.split())


# --- The documentation ---


def test_the_documentation_explains_every_statement() -> None:
    text = documentation("iam.md")
    names = {one["Sid"] for _, policy in everything() for one in policy["Statement"]}
    assert not {name for name in names if f"`{name}`" not in text and f"`{name.rstrip('1')}`" not in text}


def test_the_documentation_names_every_parameter_of_the_runtime_and_its_default() -> None:
    section = documentation("ecs.md").partition("## `EcsRuntime`, all of it")[2].partition("## ")[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `")]
    said = {name: default.strip() for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    assert set(said) == {field.name for field in dataclasses.fields(EcsRuntime)}
    for name, default in said.items():
        if quoted := re.fullmatch("`([^`]+)`", default):
            assert ast.literal_eval(quoted[1]) == getattr(EcsRuntime(), name)


def test_the_documentation_names_every_parameter_of_the_ec2_runtime_and_its_default() -> None:
    (table,) = re.findall(r"## Parameters\n(.+?)\n## ", documentation("ec2.md"), re.DOTALL)
    rows = [row.split(" | ")[:2] for row in table.splitlines() if row.startswith("| `")]
    said = {name: default.strip() for names, default in rows for name in re.findall("`(.+?)`", names)}
    fields = {field.name: field for field in dataclasses.fields(Ec2Runtime)}
    assert set(said) == set(fields)
    for name, field in fields.items():
        default = field.default if field.default is not dataclasses.MISSING else field.default_factory()
        assert said[name] == f"`{default!r}`".replace("'", '"'), name


def test_the_documentation_lists_the_sizes_of_fargate() -> None:
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| (.+) \|$", documentation("ecs.md"), re.MULTILINE)
    assert {int(units): float(cores) for units, cores, _ in rows} == {units: units / 1024 for units in fargate.SIZES}
    for units, _, sizes in rows:
        numbers = [int(number) for number in re.findall(r"\d+", sizes)]
        if "steps" in sizes:
            first, last, step = numbers
            numbers = list(range(first, last + 1, step))
        assert tuple(numbers) == fargate.SIZES[int(units)]


def test_the_task_definition_of_the_documentation_can_be_registered_and_used(ecs: ministack.Cloud) -> None:
    (text,) = re.findall(r"```json\n(.+?)```", documentation("ecs.md"), re.DOTALL)
    definition = json.loads(text)
    ecs.client("ecs").register_task_definition(**definition)  # boto3 knows every key and type
    found = EcsRuntime(cluster="ml", task_definition=definition["family"]).bind(Recorder(ecs))._definition
    assert (found.container, found.image, found.cpu, found.memory) == (
        "worker", definition["containerDefinitions"][0]["image"], 2048, 4096,
    )  # fmt: skip
    assert found.log_stream("0123", "eu-west-1") is not None
    fargate.check_size(2048, 4096)
    setting = read_setting(**WHERE, **FOLDERS)
    assert (definition["taskRoleArn"], definition["executionRoleArn"]) == (setting.task_role, setting.execution_role)
    assert found.log_group == setting.log_group
    assert f"repository/{found.image.partition('/')[2].partition(':')[0]}" in setting.repositories[0]


def documentation(name: str) -> str:
    return (Path(__file__).parents[3] / "docs" / "guides" / name).read_text()
