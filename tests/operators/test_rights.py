"""Whole runs from table to table, and the policies: what Airflow, the container and Redshift ask for is allowed them.

Redshift is the stand-in: which rights the real one takes is from AWS's documentation. See also
``tests/aws/iam/test_iam.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from airflow_sklearn.aws.connection import AwsConnection
from airflow_sklearn.aws.iam.policies import all_policies
from airflow_sklearn.aws.iam.setting import read_setting
from airflow_sklearn.contract import tables as contract
from airflow_sklearn.datasets.redshift.data_api import DataApiDatabase
from airflow_sklearn.datasets.redshift.database import Statement
from local_cloud import postgres
from local_cloud.redshift import standin
from local_cloud.redshift.data_api.server import DataApi
from local_cloud.redshift_cloud import RedshiftCloud
from local_cloud.s3_tap import Call, Tap, tapped
from tests.operators.database import Run
from tests.operators.warehouse import ROWS, Warehouse
from tests.rights import Need, Role, refused, s3_needs

RunDag = Callable[..., Run]
WHERE: dict[str, Any] = {"cluster": "ml", "region": "us-east-1", "account": "000000000000"}
WORKGROUP_ID = "01234567-89ab-cdef-0123-456789abcdef"
WORKGROUP = f"arn:aws:redshift-serverless:us-east-1:000000000000:workgroup/{WORKGROUP_ID}"
REDSHIFT = "arn:aws:redshift:us-east-1:000000000000"
SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:redshift-AbCdEf"
#: Arguments of the Data API, and the options of the command for them.
WAYS_IN: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "a workgroup": ({"workgroup_name": DataApi.workgroup}, {"workgroups": [WORKGROUP_ID]}),
    "a cluster": ({"cluster_identifier": DataApi.cluster}, {"clusters": [DataApi.cluster]}),
    "a cluster's user": (
        {"cluster_identifier": DataApi.cluster, "db_user": "awsuser"},
        {"clusters": [DataApi.cluster], "users": ["awsuser"], "databases": ["dev"]},
    ),
    "a secret": (
        {"cluster_identifier": DataApi.cluster, "secret_arn": SECRET},
        {"clusters": [DataApi.cluster], "secrets": [SECRET]},
    ),
}


@dataclass
class Tapped:
    """A warehouse, and what each side asks of S3."""

    warehouse: Warehouse
    sides: dict[str, Tap]

    @property
    def model(self) -> str:
        return f"{self.warehouse.staging}-models/churn"

    def roles(self, **more: Any) -> dict[str, Role]:
        folders = {"staging": [self.warehouse.staging], "models": [self.model]}
        policies = all_policies(read_setting(**{**WHERE, **folders, **more}))
        return {side: Role(policies[side]) for side in self.sides}

    def refused(self, given: dict[str, Role]) -> list[str]:
        return [
            f"{side}: {fault}"
            for side, tap in self.sides.items()
            for fault in dict.fromkeys(refused(given[side], tap.calls, s3_needs))
        ]


@pytest.fixture(scope="module")
def tapped_redshift(
    redshift_cloud: RedshiftCloud, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RedshiftCloud, Tap]]:
    """A Redshift of its own, as it is told once where S3 is; and the tap that it goes through."""
    logs = tmp_path_factory.mktemp("tapped")
    with (
        tapped(redshift_cloud.cloud) as tap,
        postgres.running(postgres.LOOPBACK, logs / "postgres.log") as database,
        standin.running(database, tap.cloud.endpoint, logs / "redshift.log") as redshift,
    ):
        yield replace(redshift_cloud, redshift=redshift, postgres=database), tap


@pytest.fixture
def tapped_warehouse(tapped_redshift: tuple[RedshiftCloud, Tap], monkeypatch: pytest.MonkeyPatch) -> Iterator[Tapped]:
    """Airflow, the container (a process) and Redshift each have a way of their own to the one S3."""
    (cloud, redshift), api = tapped_redshift, tapped_redshift[0].redshift.data_api
    redshift.calls.clear()
    with tapped(cloud.cloud) as airflow, tapped(cloud.cloud) as task:
        for name in cloud.cloud.environment:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(api.connection(airflow.cloud)))
        monkeypatch.setenv("AIRFLOW_CONN_REDSHIFT_DEFAULT", json.dumps(cloud.redshift.connection))
        of_airflow, in_container = AwsConnection.environment, {"AWS_ENDPOINT_URL_S3": task.cloud.endpoint}
        monkeypatch.setattr(AwsConnection, "environment", lambda self: {**of_airflow(self), **in_container})
        warehouse = Warehouse(cloud)
        yield Tapped(warehouse, {"airflow": airflow, "task": task, "redshift": redshift})
        warehouse.query(f"DROP SCHEMA {warehouse.schema} CASCADE")


@pytest.mark.parametrize("by_api", [False, True], ids=["by a connection", "by the data api"])
def test_a_run_from_table_to_table_is_allowed_and_nothing_of_it_without_staging(
    run_dag: RunDag, tapped_warehouse: Tapped, by_api: bool
) -> None:
    warehouse, sides = tapped_warehouse.warehouse, tapped_warehouse.sides
    if by_api:
        warehouse.options = f"data_api=RedshiftDataApi(database='dev', workgroup_name={DataApi.workgroup!r})"
    scores = warehouse.table("out_of_sample", if_exists="'replace'")
    train = warehouse.train(model=repr(tapped_warehouse.model), cross_validation="2", out_of_sample=scores)
    assert run_dag(train + warehouse.predict(chunk_size="'1MB'")).state == "success"
    assert len(warehouse.keys()) == len(warehouse.keys("out_of_sample")) == ROWS
    assert {"ListObjectsV2", "GetObject", "PutObject", "DeleteObjects"} <= sides["airflow"].operations
    assert {"GetObject", "PutObject"} <= sides["task"].operations
    assert {"ListObjectsV2", "GetObject", "PutObject"} <= sides["redshift"].operations
    assert tapped_warehouse.refused(tapped_warehouse.roles()) == []
    elsewhere = tapped_warehouse.refused(tapped_warehouse.roles(staging=["s3://elsewhere/redshift"]))
    assert {fault.partition(":")[0] for fault in elsewhere} == set(sides)


def test_a_folder_that_holds_several_staging_folders_and_models_will_do(
    run_dag: RunDag, tapped_warehouse: Tapped
) -> None:
    warehouse = tapped_warehouse.warehouse
    scores = warehouse.table("out_of_sample", if_exists="'append'")
    train = warehouse.train(model=repr(tapped_warehouse.model), cross_validation="2", out_of_sample=scores)
    assert run_dag(train).state == "success"
    root = f"s3://{warehouse.cloud.bucket}"
    assert tapped_warehouse.refused(tapped_warehouse.roles(staging=[root], models=[root])) == []


@pytest.mark.parametrize("way_in", WAYS_IN)
def test_statements_of_the_data_api_are_allowed_by_the_way_in_that_was_named(
    redshift_cloud: RedshiftCloud, way_in: str
) -> None:
    arguments, options = WAYS_IN[way_in]
    api = redshift_cloud.redshift.data_api
    api.restore()
    before = len(api.statements)
    access = contract.DataApi(database="dev", **arguments)
    database = DataApiDatabase(api.client, access, tag="test")
    assert database.run([Statement("SELECT 1")], step="look")[0].rows == ((1,),)
    calls: list[Call] = [(operation, {}) for operation in api.calls if operation != "BatchExecuteStatement"]
    assert {operation for operation, _ in calls} == {"DescribeStatement", "GetStatementResult"}
    calls += [("BatchExecuteStatement", statement.asked) for statement in api.statements[before:]]
    calls.append(("CancelStatement", {}))  # of a task that is killed
    staging = {**WHERE, "staging": ["s3://acme/redshift"]}
    for name, (_, others) in WAYS_IN.items():
        role = Role(all_policies(read_setting(**staging, **others))["airflow"])
        assert (refused(role, calls, data_api_needs) == []) is (others == options), name
    policies = all_policies(read_setting(**staging, **options))
    for side in ("task", "redshift"):
        assert len(refused(Role(policies[side]), calls, data_api_needs)) >= len(calls)


def data_api_needs(operation: str, asked: dict[str, Any]) -> Iterator[Need]:
    """After the Data API's reference ("authentication") and its page of the Service Authorization Reference."""
    if operation != "BatchExecuteStatement":
        yield f"redshift-data:{operation}", "*", {}
        return
    cluster, database = asked.get("ClusterIdentifier"), asked["Database"]
    yield f"redshift-data:{operation}", f"{REDSHIFT}:cluster:{cluster}" if cluster else WORKGROUP, {}
    if secret := asked.get("SecretArn"):
        yield "secretsmanager:GetSecretValue", secret, {}
    elif not cluster:
        yield "redshift-serverless:GetCredentials", WORKGROUP, {}
    elif user := asked.get("DbUser"):
        yield "redshift:GetClusterCredentials", f"{REDSHIFT}:dbuser:{cluster}/{user}", {}
        yield "redshift:GetClusterCredentials", f"{REDSHIFT}:dbname:{cluster}/{database}", {}
    else:
        yield "redshift:GetClusterCredentialsWithIAM", f"{REDSHIFT}:dbname:{cluster}/{database}", {}
