"""A pool of real containers: ECS tasks, SQS queues, S3."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

import airflow_sklearn.joblib_backend  # noqa: F401 - registers the backends
from airflow_sklearn.exceptions import PoolError, TaskLostError
from airflow_sklearn.joblib_backend import WorkerPool
from airflow_sklearn.runtimes.base import Runtime
from airflow_sklearn.runtimes.ec2 import Ec2Runtime
from airflow_sklearn.runtimes.ecs import EcsRuntime
from local_cloud import docker_engine
from local_cloud.container_cloud import INSTANCE_PROFILE, ContainerCloud
from tests.cloud.workload import Access, task_definition
from tests.waiting import PATIENCE, wait_for

REPOSITORY = Path(__file__).parents[2]


class CloudPool:
    """Pools below a prefix of the test's own, and what is left of them."""

    def __init__(self, local: ContainerCloud) -> None:
        self.local, self.prefix = local, f"pools-{uuid.uuid4().hex[:8]}"
        self.runtime: Runtime = EcsRuntime(
            cluster=local.cluster, task_definition=task_definition(local, 1024), subnets=list(local.subnets)
        )

    def on_instances(self) -> None:
        """Of EC2 from now on. ``jobs_per_instance`` is for jobs that end: here it means nothing."""
        self.runtime = Ec2Runtime(
            image=self.local.image,
            image_id=self.local.ami,
            instance_types=["t3.micro"],
            iam_instance_profile=INSTANCE_PROFILE,
            jobs_per_instance=2,
        )

    @property
    def parameters(self) -> dict[str, Any]:
        return {
            "runtime": self.runtime,
            "storage": f"s3://{self.local.bucket}/{self.prefix}",
            "aws": Access(self.local),
            "visibility_timeout": 5,
            "driver_timeout": 30,
            "poll_interval": 0.5,
        }

    def queues(self) -> list[str]:
        urls: list[str] = self.local.direct.client("sqs").list_queues().get("QueueUrls", [])
        return urls

    def objects(self) -> list[str]:
        found = self.local.direct.client("s3").list_objects_v2(Bucket=self.local.bucket, Prefix=self.prefix)
        return [one["Key"] for one in found.get("Contents", [])]

    def wait_until_gone(self) -> None:
        def remains() -> list[list[str]]:
            return [found for found in (self.local.containers(), self.queues(), self.objects()) if found]

        wait_for(lambda: not remains(), remains, pause=0.2)


@pytest.fixture
def pool_of_cloud(container_cloud: ContainerCloud) -> Iterator[CloudPool]:
    """Nothing of it is left when the test has ended."""
    made = CloudPool(container_cloud)
    yield made
    try:
        made.wait_until_gone()
    finally:
        container_cloud.remove_containers()


def square(number: float) -> float:
    return number**2


def by_value(function: Callable[..., Any]) -> Callable[..., Any]:
    """As a notebook's: the image does not have this module."""
    function.__module__ = "__main__"
    return function


@pytest.mark.parametrize("place", ["ecs", "ec2"])
def test_a_grid_search_gives_the_results_of_loky(pool_of_cloud: CloudPool, place: str) -> None:
    if place == "ec2":
        pool_of_cloud.on_instances()
    X, y = make_classification(20_000, 30, random_state=0)  # 4.8 MB

    def search() -> Any:
        return GridSearchCV(LogisticRegression(), {"C": [0.01, 0.1, 1.0]}, cv=3).fit(X, y).cv_results_

    with parallel_config("loky", n_jobs=2):
        expected = search()
    with WorkerPool(**pool_of_cloud.parameters) as pool, parallel_config(place, n_jobs=2, pool=pool):
        found = search()
        # The second one may still be starting when the first one has done all.
        wait_for(lambda: pool.statistics()["containers_started"] == 2, pool.statistics, pause=0.2)
        statistics = pool.statistics()
    np.testing.assert_array_equal(found["mean_test_score"], expected["mean_test_score"])
    # One copy stored, and one fetched by each of two containers.
    assert X.nbytes <= statistics["bytes_stored"] < 2 * X.nbytes  # beside the folds of each fit, which are small
    assert statistics["bytes_fetched"] < 3 * X.nbytes
    assert not pool_of_cloud.queues()
    assert not pool_of_cloud.objects()
    if place == "ecs":  # an instance takes its time to end
        assert not pool_of_cloud.local.containers()


def test_containers_are_killed_and_every_result_comes_once(pool_of_cloud: CloudPool) -> None:
    local, task = pool_of_cloud.local, by_value(lambda n: __import__("time").sleep(0.2) or n)
    seen = []
    with parallel_config("ecs", n_jobs=2, **pool_of_cloud.parameters):
        for number in Parallel(batch_size=1, return_as="generator_unordered")(delayed(task)(n) for n in range(60)):
            seen.append(number)
            if len(seen) in (10, 30):
                docker_engine.docker("kill", local.containers()[0])
    assert sorted(seen) == list(range(60))


def test_a_task_that_eats_memory_is_named_and_given_up(pool_of_cloud: CloudPool) -> None:
    eat = by_value(lambda mebibytes: len(bytearray(b"x") * (mebibytes << 20)))
    with (
        WorkerPool(**pool_of_cloud.parameters, restarts=1) as pool,
        parallel_config("ecs", n_jobs=2, pool=pool),
        pytest.raises(TaskLostError, match=r"(?s)\(4000\).*1,024 MiB of memory ran out"),
    ):
        Parallel(batch_size=1)(delayed(eat)(mebibytes) for mebibytes in (1, 4000))


def test_no_room_and_a_wrong_image_are_told(pool_of_cloud: CloudPool) -> None:
    local = pool_of_cloud.local
    local.refuse_run_task("RESOURCE:MEMORY", times=1)
    pool_of_cloud.runtime.capacity_timeout = 300
    with parallel_config("ecs", n_jobs=2, **pool_of_cloud.parameters):
        assert Parallel()(delayed(by_value(lambda n: n + 1))(n) for n in range(4)) == [1, 2, 3, 4]
    definition = task_definition(local)
    definition["containerDefinitions"][0]["image"] = "acme/no-such-image:7"
    broken = EcsRuntime(cluster=local.cluster, task_definition=definition, subnets=list(local.subnets))
    with (
        WorkerPool(**{**pool_of_cloud.parameters, "runtime": broken}) as pool,
        pytest.raises(PoolError, match="no-such-image"),
    ):
        pool.submit(by_value(lambda: 1)).result(PATIENCE)


DRIVER = """
import sys, time
import joblib, boto3
import airflow_sklearn.joblib_backend
from airflow_sklearn.runtimes.base import runtime_from_dict
import json

runtime, storage = runtime_from_dict(json.loads(sys.argv[1])), sys.argv[2]
with joblib.parallel_config("ecs", n_jobs=2, runtime=runtime, storage=storage, driver_timeout=float(sys.argv[3])):
    joblib.Parallel(batch_size=1)(joblib.delayed(time.sleep)(600) for _ in range(4))
"""


@pytest.mark.parametrize("ending", ["SIGINT", "SIGKILL"])
def test_a_driver_that_is_ended_leaves_no_container_and_no_queue(pool_of_cloud: CloudPool, ending: str) -> None:
    """With a plain boto3 session, as in a notebook."""
    import json
    import os
    import signal

    local = pool_of_cloud.local
    arguments = [json.dumps(pool_of_cloud.runtime.to_dict()), pool_of_cloud.parameters["storage"]]
    arguments.append("15" if ending == "SIGKILL" else str(PATIENCE))  # nobody else could end the workers then
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, *arguments], cwd=REPOSITORY, env={**os.environ, **local.direct.environment}
    )
    try:
        wait_for(lambda: driver.poll() is not None or len(local.containers()) >= 2, "two containers", pause=0.1)
        assert driver.poll() is None
        time.sleep(2)  # let them take their tasks
        driver.send_signal(signal.Signals[ending])
        assert driver.wait(PATIENCE) != 0
    finally:
        driver.kill()
    pool_of_cloud.wait_until_gone()
