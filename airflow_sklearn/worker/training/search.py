"""Fitting in further containers: the train job's container becomes the driver of a pool of the same runtime."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any

from sklearn.model_selection._search import BaseSearchCV

from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_sklearn.contract.jobs import TrainJob

_LOG = logging.getLogger("airflow_sklearn.worker")


@contextlib.contextmanager
def search_containers(job: TrainJob, estimators: Sequence[Any]) -> Iterator[None]:
    """Within the context, joblib's work runs in further containers if the job may have any, else in this process.

    :raises UserError: the containers would have nothing to do.
    """
    search = job.search
    if search is None:
        yield
        return
    from joblib import parallel_config

    from airflow_sklearn.aws.session import SessionAccess
    from airflow_sklearn.joblib_backend import WorkerPool
    from airflow_sklearn.runs.search import why_alone
    from airflow_sklearn.runtimes.base import runtime_from_dict

    alone = [why_alone(estimator) for estimator in estimators]
    if all(alone) and job.cross_validation < 2:
        why = f"{alone[0]}, or validate in folds"
        raise UserError(f"search_containers={search.containers}: {why}, or leave search_containers out.")
    pool = WorkerPool(
        runtime=runtime_from_dict(search.runtime, os.environ),
        storage=search.folder,
        aws=SessionAccess(),
        deadline=job.deadline_seconds,
        identity=job.identity,
    )
    with pool, parallel_config("containers", pool=pool, n_jobs=search.containers):
        yield
        statistics = pool.statistics()
        _LOG.info(
            "%d further containers were started; %.1f MB of arguments stored, %.1f MB fetched.",
            statistics["containers_started"],
            statistics["bytes_stored"] / 1e6,
            statistics["bytes_fetched"] / 1e6,
        )


def searches(estimator: Any) -> bool:
    """Whether an unfitted estimator is a search for parameters, or has one in it.

    A search gives each container more to do than its few folds do. Of all other estimators, whole folds are spread.
    """
    parts = [estimator, *estimator.get_params(deep=True).values()]
    return any(isinstance(part, BaseSearchCV) for part in parts)
