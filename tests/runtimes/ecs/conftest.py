"""ECS as records: a local AWS whose Docker engine is out of reach keeps tasks as rows, which never end by themselves.

Containers that run are in ``tests/cloud``; here it is about what is asked of the API, and what its answers mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_sklearn.runtimes.ecs import EcsRuntime
from local_cloud import ministack

DEFINITION = {
    "containerDefinitions": [
        {
            "image": "acme/worker:7",
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": "/ecs/acme",
                    "awslogs-region": "us-east-1",
                    "awslogs-stream-prefix": "jobs",
                },
            },
        }
    ],
    "cpu": 1024,
    "memory": 2048,
}


class Access:
    """What an Airflow connection gives a runtime, and a list of what was asked of AWS with it."""

    def __init__(self, cloud: ministack.Cloud) -> None:
        self._cloud = cloud
        self._clients: dict[str, Any] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def client(self, service: str, region_name: str | None = None) -> Any:
        if service not in self._clients:
            client = self._clients[service] = self._cloud.client(service)
            client.meta.events.register("provide-client-params.*", self._note)
        return self._clients[service]

    def environment(self) -> dict[str, str]:
        raise AssertionError("a container gets no keys")

    def asked(self, operation: str) -> list[dict[str, Any]]:
        return [params for name, params in self.calls if name == operation]

    def _note(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.calls.append((model.name, params))


@pytest.fixture(scope="session")
def records(cloud: ministack.Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ministack.Cloud]:
    """A local AWS that starts no containers. (``cloud`` says what is missing if ministack is.)"""
    with ministack.running(tmp_path_factory.mktemp("ecs") / "log", services="ecs,logs,s3,sts") as records:
        records.client("ecs").create_cluster(clusterName="ml")
        yield records


@pytest.fixture
def aws(records: ministack.Cloud) -> Access:
    return Access(records)


@pytest.fixture
def runtime(aws: Access) -> Any:
    """``runtime(cpu=512)``: one with a task definition, on the local AWS."""

    def make(**options: Any) -> EcsRuntime:
        settings = {"cluster": "ml", "task_definition": DEFINITION, "subnets": ["subnet-1"], **options}
        return EcsRuntime(**settings).bind(aws)

    return make
