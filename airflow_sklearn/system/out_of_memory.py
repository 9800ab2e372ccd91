"""Recognising that memory ran out, and saying so in a way that a user can act on."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool

from airflow_sklearn.contract.exit_codes import causes, kind_of
from airflow_sklearn.exceptions import AirflowSklearnError
from airflow_sklearn.system.cgroup import memory_limit, oom_kills
from airflow_sklearn.system.forks import WorkerProcessDiedError


class OutOfMemoryError(AirflowSklearnError, MemoryError):
    """The container's memory is too small for the job."""


def explained(error: BaseException, kills_before: int) -> BaseException:
    """The error itself; or, where it came of a lack of memory, one that says so.

    Either Python was refused memory, or the kernel killed a process that this one waited for: a predicting one, or
    one of an estimator's own (joblib's errors are those of a broken pool).

    :param kills_before: ``oom_kills()`` when the job began.
    """
    died = any(isinstance(cause, WorkerProcessDiedError | BrokenProcessPool) for cause in causes(error))
    if kind_of(error) != "memory" and not (died and oom_kills() > kills_before):
        return error
    why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    explanation = OutOfMemoryError(
        f"Memory ran out ({why}). The worker has {memory_limit() / 2**20:,.0f} MiB: give it more, or let it use fewer "
        "processes (the environment variable AIRFLOW_SKLEARN_PROCESSES, or the estimator's n_jobs)."
    )
    explanation.__cause__ = error
    return explanation
