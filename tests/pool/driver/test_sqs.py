"""Processes of this machine with queues of SQS and arguments in S3."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import boto3
import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config

from airflow_sklearn.runtimes.local.runtime import LocalRuntime
from local_cloud import ministack


@pytest.mark.usefixtures("aws_environment")
def test_a_local_pool_may_use_sqs_and_s3(cloud: ministack.Cloud, bucket: str, tmp_path: Path) -> None:
    large = np.arange(500_000.0)
    with parallel_config(
        "containers",
        n_jobs=2,
        runtime=LocalRuntime(state_dir=str(tmp_path / "state")),
        storage=f"s3://{bucket}/pools",
        aws=boto3.Session(region_name=cloud.region),
        visibility_timeout=4,
        poll_interval=0.2,
    ):
        assert Parallel()(delayed(np.sum)(large) for _ in range(4)) == [large.sum()] * 4
        tasks = (delayed(dies_at_first)(str(tmp_path), number) for number in range(6))
        assert Parallel(batch_size=1)(tasks) == list(range(6))
    assert not cloud.client("sqs").list_queues().get("QueueUrls")
    assert cloud.client("s3").list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def dies_at_first(folder: str, number: int) -> int:
    """The third one ends its container when it is first run."""
    path = Path(folder, f"died-{number}")
    if number == 3 and not path.exists():
        path.touch()
        os.kill(os.getppid(), signal.SIGKILL)
    return number
