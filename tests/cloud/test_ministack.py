from __future__ import annotations

import botocore.exceptions
import pytest

from local_cloud.ministack import Cloud


def test_create_if_absent_lets_one_writer_win(cloud: Cloud, bucket: str) -> None:
    client = cloud.client()
    client.put_object(Bucket=bucket, Key="a", Body=b"first", IfNoneMatch="*")
    with pytest.raises(botocore.exceptions.ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=bucket, Key="a", Body=b"second", IfNoneMatch="*")
    assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == b"first"


def test_the_environment_reaches_the_same_bucket(aws_environment: Cloud, bucket: str) -> None:
    import boto3

    names = [found["Name"] for found in boto3.client("s3").list_buckets()["Buckets"]]
    assert bucket in names
