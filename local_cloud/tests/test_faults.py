"""Throttles and outages that tests inject, and the proxy that makes them."""

from __future__ import annotations

from typing import Any

import botocore.exceptions
import pytest

from local_cloud.container_cloud import ContainerCloud
from local_cloud.waiting import wait_for


def refused(code: str) -> Any:
    return pytest.raises(botocore.exceptions.ClientError, match=code)


def test_a_throttle_strikes_as_often_as_it_says(container_cloud: ContainerCloud) -> None:
    ecs = container_cloud.cloud.client("ecs")
    with container_cloud.faults.throttle("ListClusters", times=2) as throttle:
        ecs.list_clusters()  # boto3 tries again
        assert throttle.fired == 2
        ecs.list_clusters()
    assert throttle.fired == 2


def test_a_throttle_ends_with_its_block(container_cloud: ContainerCloud) -> None:
    ecs = container_cloud.cloud.client("ecs", attempts=1)
    with container_cloud.faults.throttle("ListClusters") as throttle:
        for _ in range(3):
            with refused("ThrottlingException"):
                ecs.list_clusters()
    assert throttle.fired == 3
    ecs.list_clusters()


def test_a_throttle_lasts_as_long_as_it_says(container_cloud: ContainerCloud) -> None:
    ecs = container_cloud.cloud.client("ecs", attempts=1)

    def passes() -> bool:
        try:
            return bool(ecs.list_clusters())
        except botocore.exceptions.ClientError:
            return False

    with container_cloud.faults.throttle("ListClusters", seconds=4):
        with refused("ThrottlingException"):
            ecs.list_clusters()
        wait_for(passes, "the throttle to end")


def test_a_service_that_answers_503(container_cloud: ContainerCloud) -> None:
    logs = container_cloud.cloud.client("logs", attempts=1)
    with container_cloud.faults.unavailable("logs", "DescribeLogGroups") as outage:
        with refused("ServiceUnavailableException") as error:
            logs.describe_log_groups()
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert outage.fired == 1
    logs.describe_log_groups()


def test_s3_is_the_same_through_the_proxy(container_cloud: ContainerCloud) -> None:
    client, body = container_cloud.cloud.client(), bytes(range(256)) * 40_000
    client.put_object(Bucket=container_cloud.bucket, Key="large", Body=body, ContentEncoding="identity")
    whole = client.get_object(Bucket=container_cloud.bucket, Key="large")
    assert (whole["ContentLength"], whole["Body"].read()) == (len(body), body)
    part = client.get_object(Bucket=container_cloud.bucket, Key="large", Range="bytes=10-19", IfMatch=whole["ETag"])
    assert (part["ContentLength"], part["Body"].read()) == (10, body[10:20])
    assert client.head_object(Bucket=container_cloud.bucket, Key="large")["ContentLength"] == len(body)
    with refused("PreconditionFailed"):
        client.put_object(Bucket=container_cloud.bucket, Key="large", Body=b"", IfNoneMatch="*")
    with refused("404"):
        client.head_object(Bucket=container_cloud.bucket, Key="small")
