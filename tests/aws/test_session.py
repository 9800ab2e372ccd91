"""How a driver reaches AWS, and where its pools are."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import boto3
import pytest

from airflow_sklearn.aws.connection import AwsConnection
from airflow_sklearn.aws.session import SessionAccess, access_to, identity_here
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.pool.driver.settings import pools_folder
from airflow_sklearn.runtimes.ecs import EcsRuntime
from airflow_sklearn.runtimes.local.runtime import LocalRuntime
from local_cloud import ministack

TASK = {
    "AIRFLOW_CTX_DAG_ID": "churn",
    "AIRFLOW_CTX_TASK_ID": "search",
    "AIRFLOW_CTX_DAG_RUN_ID": "manual",
    "AIRFLOW_CTX_MAP_INDEX": "3",
}


@pytest.fixture
def in_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TASK.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*TASK, "AIRFLOW_SKLEARN_POOLS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("in_a_task")
def test_in_a_task_it_is_the_connection_aws_default_and_containers_lead_back_to_the_task() -> None:
    found = access_to(None)
    assert isinstance(found, AwsConnection)
    assert found.aws_conn_id == "aws_default"
    who = identity_here()
    assert (who.dag_id, who.task_id, who.run_id, who.map_index) == ("churn", "search", "manual", 3)


@pytest.mark.usefixtures("outside")
def test_elsewhere_it_is_boto3s_own_search() -> None:
    assert isinstance(access_to(None), SessionAccess)
    assert identity_here().dag_id == ""


def test_a_session_or_a_connection_may_be_given(cloud: ministack.Cloud) -> None:
    session = boto3.Session("key", "secret", region_name=cloud.region)
    found = access_to(session)
    assert found.client("sqs").meta.region_name == cloud.region
    assert found.client("sqs") is found.client("sqs")
    assert found.environment()["AWS_ACCESS_KEY_ID"] == "key"
    named = access_to("other")
    assert isinstance(named, AwsConnection)
    assert named.aws_conn_id == "other"
    with pytest.raises(UserError, match=r"aws=7: give a boto3.Session"):
        access_to(7)


@pytest.mark.usefixtures("outside")
def test_where_pools_are(monkeypatch: pytest.MonkeyPatch) -> None:
    ecs: Any = EcsRuntime(subnets=["subnet-1"])
    assert pools_folder(None, LocalRuntime()).startswith("file:///")
    assert pools_folder("s3://acme/pools/", ecs) == "s3://acme/pools"
    monkeypatch.setenv("AIRFLOW_SKLEARN_POOLS", "s3://acme/others")
    assert pools_folder(None, ecs) == "s3://acme/others"


@pytest.mark.usefixtures("outside")
def test_in_the_temporary_folder_pools_are_in_one_of_this_users_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = Path(pools_folder(None, LocalRuntime()).removeprefix("file://"))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert pools_folder(None, LocalRuntime()) == f"file://{folder}"
    folder.chmod(0o777)
    with pytest.raises(UserError, match="only this user may write to"):
        pools_folder(None, LocalRuntime())
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(UserError, match="only this user may write to"):
        pools_folder(None, LocalRuntime())
