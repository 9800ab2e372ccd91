"""Running jobs for the client: in this process, or in a runtime."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from airflow_sklearn import exceptions
from airflow_sklearn.contract.exit_codes import kind_of
from airflow_sklearn.contract.jobs import JobResult
from airflow_sklearn.exceptions import AirflowSklearnError, DataError
from airflow_sklearn.runtimes.outcome import raise_unless_succeeded, read_result

if TYPE_CHECKING:
    from airflow_sklearn.contract.jobs import AnyJob, JobError
    from airflow_sklearn.runtimes.base import Runtime
    from airflow_sklearn.storage import Storage

_PAUSE = 0.2  # seconds between two polls


def run(storage: Storage, job: AnyJob, job_uri: str, runtime: Runtime | None = None) -> JobResult:
    """Run a job to its end.

    :param job_uri: where to store the job.
    :param runtime: where it runs; None: in this process.
    :raises AirflowSklearnError: it failed; the error is of the class that the worker has raised.
    """
    result = attempt(storage, job, job_uri, runtime)
    if result.error is not None:
        raise error_of(result.error)
    return result


def attempt(storage: Storage, job: AnyJob, job_uri: str, runtime: Runtime | None = None) -> JobResult:
    """Run a job to its end, and return its result, also that of a failure.

    :raises JobLostError: it ended without a result.
    """
    storage.write(job_uri, job.to_json())
    if runtime is None:
        from airflow_sklearn.worker.run import run_job

        run_job(job_uri, storage, digest=job.digest())
        return JobResult.from_json(storage.read(job.result_uri), where=job.result_uri)
    handle = runtime.submit(job_uri, job, survives_parent=False)
    try:
        while not (status := runtime.poll([handle])[0]).state.finished:
            time.sleep(_PAUSE)
    except BaseException:  # Ctrl-C: leave nothing running
        runtime.cancel(handle)
        raise
    result = read_result(storage, handle.result_uri)
    if result is None:
        raise_unless_succeeded(result, status, runtime.logs(handle)[0][-20:])
    assert result is not None
    return result


def error_of(error: JobError) -> AirflowSklearnError:
    """The error that a worker has raised, with all problems."""
    if error.problems:
        return DataError(error.message, error.problems)
    cls = getattr(exceptions, error.type, None)
    if isinstance(cls, type) and issubclass(cls, AirflowSklearnError) and kind_of(cls(error.message)) == error.kind:
        return cls(error.message)
    return exceptions.JobFailedError(f"{error.type}: {error.message}")
