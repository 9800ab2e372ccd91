"""The command on S3, by the environment's credentials: real calls to a local stand-in."""

from __future__ import annotations

import pytest

from airflow_sklearn.storage import Storage
from local_cloud import ministack
from tests.cli.conftest import Call
from tests.cli.test_runs import published

pytestmark = pytest.mark.usefixtures("aws_environment")


def test_a_run_in_s3_is_listed_verified_and_young_enough_to_stay(bucket: str, called: Call) -> None:
    root = f"s3://{bucket}"
    plan, uri = published(Storage(), root)
    assert called("runs", "list", f"{root}/out")["runs"][0]["run"] == uri
    assert called("verify", f"{root}/out/day=1")["files_checked"] == 4
    assert called("models", "list", root)["models"][0]["model"] == f"{root}/model"
    (ledger,) = called("clean", f"{root}/out", "--yes")["ledgers"]
    assert (ledger["ledger"], ledger["bytes_freed"]) == (plan.ledger, 0)
    assert "something was written in the last 30 days" in ledger["reason"]


def test_doctor_tries_each_right_and_leaves_nothing(
    bucket: str, cloud: ministack.Cloud, called: Call, printed: Call
) -> None:
    root = f"s3://{bucket}"
    Storage(cloud.client).write(f"{root}/in/a.csv", b"id,x\n1,2\n")
    found = called("doctor", "--source", f"{root}/in/", "--destination", f"{root}/out")
    by_name = {check["name"]: check for check in found["checks"]}
    assert [by_name[name]["status"] for name in ("credentials", "source", "destination")] == ["ok", "ok", "ok"]
    assert "create-if-absent, If-Match, list, read and delete work" in by_name["destination"]["message"]
    assert [obj.uri for obj in Storage(cloud.client).list(f"{root}/")] == [f"{root}/in/a.csv"]
    asked = ["doctor", "--destination", f"s3://{bucket}-gone/out", "--source", f"{root}/no.csv"]
    gone = called(*asked, code=1)
    failed = {check["name"]: check for check in gone["checks"] if check["status"] == "fail"}
    assert set(failed) == {"source", "destination"}
    assert "Create it, or correct its name" in failed["destination"]["message"]
    assert "s3:PutObject" in failed["destination"]["fix"]
    assert "2 will fail" in printed(*asked, code=1)


def test_a_bucket_that_is_not_there_is_an_error_without_a_traceback(bucket: str, printed: Call) -> None:
    assert "No bucket for" in printed("runs", "list", f"s3://{bucket}-gone/out", code=66)
