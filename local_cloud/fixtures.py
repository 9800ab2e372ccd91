"""The local clouds as fixtures of pytest, each one for the session. ``conftest.py`` on top gives them to all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NoReturn

import pytest

from local_cloud import container_cloud as container_clouds
from local_cloud import docker_engine, ministack, postgres
from local_cloud import redshift_cloud as redshift_clouds


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ministack.Cloud]:
    """A local AWS with S3 and SQS."""
    _need_ministack()
    log = tmp_path_factory.mktemp("ministack") / "ministack.log"
    with ministack.running(log, services="s3,sqs,sts") as running:
        yield running


@pytest.fixture(scope="session")
def docker() -> None:
    """Skips where containers cannot be run."""
    _need_ministack()
    try:
        docker_engine.check()
    except docker_engine.NoEngineError as error:
        _cannot_run(str(error))


@pytest.fixture(scope="session")
def task_image(docker: None) -> str:
    """The image of tasks, by its id: the worker image. A ``conftest.py`` may name another one."""
    return container_clouds.build_worker_image()


@pytest.fixture(scope="session")
def container_cloud(
    task_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[container_clouds.ContainerCloud]:
    """A local AWS with ECS and EC2, whose tasks and instances are containers of this machine's Docker engine."""
    with container_clouds.running(tmp_path_factory.mktemp("containers"), task_image) as running:
        yield running


@pytest.fixture(scope="session")
def redshift_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redshift_clouds.RedshiftCloud]:
    """A local AWS with S3 and Redshift, which needs PostgreSQL and no Docker engine."""
    _need_ministack()
    try:
        postgres.check()
    except postgres.NoPostgresError as error:
        _cannot_run(str(error))
    with redshift_clouds.running(tmp_path_factory.mktemp("redshift")) as running:
        yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "container_cloud" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.containers)


def _need_ministack() -> None:
    if not ministack.interpreter().exists():
        _cannot_run(f"no ministack: {ministack.interpreter()} does not exist. `make test` sets it up.")


def _cannot_run(reason: str) -> NoReturn:
    """A local cloud that is not there is a reason to skip, but not in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
