"""A whole Airflow whose jobs are containers of the local cloud."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local_cloud.container_cloud import ContainerCloud
from tests.cloud.instance_workload import InstanceWorkload, workloads
from tests.cloud.workload import GATED_MODEL, Workload, train_gated_model
from tests.conftest import MadeOnce
from tests.operators.real_airflow import RealAirflow


@pytest.fixture(scope="session")
def airflow(real_airflow: RealAirflow, container_cloud: ContainerCloud) -> RealAirflow:
    """Its DAGs use a connection to this process's local cloud.

    Only the calls that tests disturb go through the proxy: it does not keep the headers of large S3 answers.
    """
    connection = container_cloud.cloud.connection
    connection["extra"]["service_config"] = {"s3": {"endpoint_url": container_cloud.direct.endpoint}}
    name = f"aws_{container_cloud.direct.endpoint.rpartition(':')[2]}"
    real_airflow.connect(**{name: connection})
    real_airflow.default_args = {"aws_conn_id": name}
    return real_airflow


@pytest.fixture(scope="session")
def gated_model(container_cloud: ContainerCloud, made_once: MadeOnce) -> str:
    """A model whose predictions wait at their workload's gate. All local clouds have the same one."""
    client, bucket = container_cloud.direct.client("s3"), container_cloud.bucket
    with made_once("gated-model") as folder:
        if folder.exists():
            for path in filter(Path.is_file, folder.rglob("*")):
                client.upload_file(str(path), bucket, str(path.relative_to(folder)))
        else:
            train_gated_model(container_cloud)
            for one in client.list_objects_v2(Bucket=bucket, Prefix=GATED_MODEL)["Contents"]:
                path = folder / one["Key"]
                path.parent.mkdir(parents=True, exist_ok=True)
                client.download_file(bucket, one["Key"], str(path))
    return f"s3://{bucket}/{GATED_MODEL}"


@pytest.fixture
def one_at_a_time() -> Iterator[None]:
    """For tests with very many containers, and for those whose containers must get somewhere before their time is over:
    beside many others on few cores none of them would. Holds between the processes that run tests.
    """
    with (Path(tempfile.gettempdir()) / "airflow-sklearn-one-at-a-time.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def workload_of(container_cloud: ContainerCloud) -> Iterator[Callable[..., Workload]]:
    """``workload_of(chunks=3)``; its containers may go on, and must end, when the test has."""
    made: list[Workload] = []

    def make(chunks: int = 2) -> Workload:
        made.append(Workload(container_cloud, chunks))
        return made[-1]

    yield make
    for workload in made:
        workload.open_gate()
    container_cloud.wait_until_none_runs()


@pytest.fixture
def instances_of(container_cloud: ContainerCloud) -> Iterator[Callable[..., InstanceWorkload]]:
    """``instances_of(chunks=3)``: the same on EC2 instances; all of them must end when the test has."""
    with workloads(container_cloud) as make:
        yield make


@pytest.fixture
def workload(workload_of: Callable[..., Workload]) -> Workload:
    """Two chunks."""
    return workload_of()
