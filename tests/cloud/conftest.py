"""A whole Airflow whose jobs are containers of the local cloud."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.cloud.containers import ContainerCloud
from tests.cloud.workload import Workload, train_gated_model
from tests.operators.real_airflow import RealAirflow, real_airflow


@pytest.fixture(scope="session")
def airflow(container_cloud: ContainerCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAirflow]:
    """With the local cloud as its connection ``aws_default``, in its database as people keep connections.

    Only the calls that tests disturb go through the proxy: it does not keep the headers of large S3 answers.
    """
    connection = container_cloud.cloud.connection
    connection["extra"]["service_config"] = {"s3": {"endpoint_url": container_cloud.direct.endpoint}}
    with real_airflow(tmp_path_factory.mktemp("airflow") / "home") as running:
        running.command("connections", "add", "aws_default", "--conn-json", json.dumps(connection))
        yield running


@pytest.fixture(scope="session")
def gated_model(container_cloud: ContainerCloud) -> str:
    """A model whose predictions wait at their workload's gate."""
    return train_gated_model(container_cloud)


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
    container_cloud.wait_until_none_runs(60)


@pytest.fixture
def workload(workload_of: Callable[..., Workload]) -> Workload:
    """Two chunks."""
    return workload_of()
