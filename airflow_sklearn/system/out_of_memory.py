"""Recognising that memory ran out, and an error that tells the user what to do."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool

from airflow_sklearn.contract.exit_codes import causes, kind_of
from airflow_sklearn.exceptions import AirflowSklearnError
from airflow_sklearn.system.cgroup import memory_limit, oom_kills
from airflow_sklearn.system.forks import WorkerProcessDiedError


class OutOfMemoryError(AirflowSklearnError, MemoryError):
    """The container's memory is too small for the job."""

    kind = "memory"


def explained(error: BaseException, kills_before: int) -> BaseException:
    """Return an ``OutOfMemoryError`` if memory ran out, else the error itself.

    Memory ran out if the error or its cause is a ``MemoryError``, or if the kernel has killed a process that this one
    waited for: one that predicts, or one of joblib's pool inside an estimator.

    :param error: what ended the job.
    :param kills_before: the result of ``oom_kills()`` when the job began.
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
