"""joblib in containers: importing this package registers the backends ``containers``, ``ecs`` and ``ec2``.

::

    import joblib
    import airflow_sklearn.joblib_backend

    with joblib.parallel_config("ecs", n_jobs=20, runtime=EcsRuntime(...), storage="s3://bucket/pools"):
        GridSearchCV(model, grid).fit(X, y)

``containers`` takes any runtime. ``ecs`` and ``ec2`` take only their own, and refuse others with a clear message.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from joblib import register_parallel_backend

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.joblib_backend.backend import ContainerBackend
from airflow_sklearn.pool.driver.pool import WorkerPool
from airflow_sklearn.runtimes import registry

__all__ = ["ContainerBackend", "WorkerPool", "register"]


def register() -> None:
    """Register the backends with joblib. Importing the package calls it."""
    register_parallel_backend("containers", ContainerBackend)
    for name in registry.names():
        if name != "local":  # LocalRuntime needs no name of its own here
            register_parallel_backend(name, partial(_backend_of, name))


def _backend_of(name: str, **parameters: Any) -> ContainerBackend:
    # Not before: a worker image lacks what runtimes of other kinds import.
    runtime_class = registry.load(name)
    runtime = parameters.get("runtime") or getattr(parameters.get("pool"), "runtime", None)
    if runtime is not None and not isinstance(runtime, runtime_class):
        raise UserError(
            f"The backend {name!r} runs tasks by {runtime_class.__name__}, not by {runtime!r}. "
            "The backend 'containers' takes any runtime."
        )
    return ContainerBackend(**parameters)


register()
