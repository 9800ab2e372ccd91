"""The command where Airflow is installed: S3 by one of its connections."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from airflow_sklearn.storage import Storage
from local_cloud import ministack
from tests.cli.conftest import Call
from tests.cli.test_runs import published


def test_s3_is_reached_by_a_connection_of_airflow_without_credentials_in_the_environment(
    cloud: ministack.Cloud, bucket: str, here: Path, called: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AIRFLOW_CONN_OF_MINE", json.dumps(cloud.connection))
    root = f"s3://{bucket}"
    _, uri = published(Storage(cloud.client), root)
    asked = ["runs", "list", f"{root}/out"]
    assert called(*asked, "--aws-conn-id", "of_mine")["runs"][0]["run"] == uri
    assert "no credentials for AWS" in called(*asked, code=70)["error"]["message"]
    checks = called("doctor", "--destination", f"{root}/out", "--aws-conn-id", "of_mine")["checks"]
    assert {check["name"]: check["status"] for check in checks}["credentials"] == "ok"


def test_reap_prints_one_document_whatever_airflow_logs(
    cloud: ministack.Cloud, called: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OF_MINE", json.dumps(cloud.connection))
    monkeypatch.setattr("airflow_sklearn.runtimes.reaper.__main__.find_hosts", lambda *_, **__: iter(()))
    asked = ["reap", "--cluster", "ml", "--aws-conn-id", "of_mine", "--dry-run"]
    assert called(*asked) == {"found": 0, "ended": [], "failed": [], "dry_run": True}
