from __future__ import annotations

import boto3
import botocore.exceptions
import pytest

from local_cloud.ministack import Cloud


def test_create_if_absent_lets_one_writer_win(cloud: Cloud, bucket: str) -> None:
    client = cloud.client()
    client.put_object(Bucket=bucket, Key="a", Body=b"first", IfNoneMatch="*")
    with pytest.raises(botocore.exceptions.ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=bucket, Key="a", Body=b"second", IfNoneMatch="*")
    assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == b"first"


def test_the_environment_reaches_the_same_bucket(cloud: Cloud, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    names = [found["Name"] for found in boto3.client("s3").list_buckets()["Buckets"]]
    assert bucket in names
