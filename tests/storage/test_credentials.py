"""Credentials that come late, as those of a new machine's role."""

from __future__ import annotations

import boto3
import pytest
from botocore.exceptions import NoCredentialsError

from airflow_sklearn.storage import Storage
from local_cloud import ministack

NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE")


def test_credentials_that_come_after_the_first_call_are_found(
    cloud: ministack.Cloud, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/no/such/file")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", cloud.region)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    storage = Storage()
    with pytest.raises(NoCredentialsError):
        storage.write(f"s3://{bucket}/one", b"")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", cloud.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", cloud.secret_key)
    storage.write(f"s3://{bucket}/one", b"1")
    assert storage.read(f"s3://{bucket}/one") == b"1"
