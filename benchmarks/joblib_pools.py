"""What the benchmarks of joblib over containers share: a pool of real containers, and a warm-up."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CONTAINERS = 2


@contextlib.contextmanager
def pool_of_containers(memory: int) -> Iterator[tuple[Any, Any]]:
    """A local AWS with containers, and a ``WorkerPool`` on it.

    :param memory: MiB of each container.
    """
    from airflow_sklearn.joblib_backend import WorkerPool
    from airflow_sklearn.runtimes.ecs import EcsRuntime
    from local_cloud import container_cloud
    from tests.cloud.workload import task_definition

    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, container_cloud.running(Path(folder)) as local:
        runtime = EcsRuntime(
            cluster=local.cluster, task_definition=task_definition(local, memory), subnets=list(local.subnets)
        )
        access = Direct(local)
        with WorkerPool(runtime=runtime, storage=f"s3://{local.bucket}/pools", aws=access, poll_interval=1) as pool:
            yield local, pool


class Direct:
    """The local AWS without its proxy for faults."""

    def __init__(self, local: Any) -> None:
        self._cloud = local.direct
        self._clients: dict[str, Any] = {}

    def client(self, service: str, region_name: str | None = None) -> Any:
        if service not in self._clients:
            self._clients[service] = self._cloud.client(service)
        return self._clients[service]

    def environment(self) -> dict[str, str]:
        return {}


def warm_up(workers: int) -> None:
    """Until each of the backend's workers has run something, and has imported scikit-learn."""
    import joblib

    joblib.Parallel(batch_size=1)(joblib.delayed(_import_sklearn)(1.0) for _ in range(2 * workers))


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _import_sklearn(pause: float) -> None:
    import sklearn.model_selection  # noqa: F401

    time.sleep(pause)


# Pickled by value: the image does not have this module.
_import_sklearn.__module__ = "__main__"
