"""The meaning of a job's end: success, a final failure, or a failure worth a retry."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airflow_sklearn import exceptions
from airflow_sklearn.contract import exit_codes
from airflow_sklearn.contract.jobs import JobResult
from airflow_sklearn.exceptions import FINAL_KINDS, JobFailedError, JobLostError, NoCapacityError, ObjectNotFoundError
from airflow_sklearn.runtimes.base import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from airflow_sklearn.contract.attempt import AttemptCause
    from airflow_sklearn.contract.jobs import JobError
    from airflow_sklearn.runtimes.base import JobStatus
    from airflow_sklearn.storage import Storage

_NOT_UNDERSTOOD = "error: unrecognized arguments:"  # the beginning of argparse's message
_CAUSES: dict[JobState, AttemptCause] = {
    JobState.FAILED: "failed",
    JobState.LOST: "lost",
    JobState.OUT_OF_MEMORY: "out_of_memory",
    JobState.NO_CAPACITY: "no_capacity",
    JobState.CANCELLED: "cancelled",
}
_FINAL_EXIT_CODES = tuple(exit_codes.BY_KIND[kind] for kind in FINAL_KINDS)


def read_result(storage: Storage, uri: str) -> JobResult | None:
    """A job's result; None if the worker wrote none."""
    try:
        return JobResult.from_json(storage.read(uri), where=uri)
    except ObjectNotFoundError:
        return None


def was_stopped(result: JobResult | None, status: JobStatus) -> bool:
    """Whether a job was stopped from outside: it neither ended by itself nor reached its deadline."""
    if status.expired:
        return False
    if result is not None:
        return result.error is not None and result.error.kind == "cancelled"
    return status.state in (JobState.LOST, JobState.CANCELLED)


def raise_unless_succeeded(result: JobResult | None, status: JobStatus, tail: Sequence[str]) -> None:
    """Raise an error unless the job has succeeded.

    The result document decides. The runtime's status only explains why there is none.

    :param result: the job's result; None: it wrote none.
    :param status: the last status from the runtime.
    :param tail: the last lines of the worker's log.
    :raises JobFailedError: a retry would fail again.
    :raises JobLostError: a retry may succeed.
    """
    if result is not None and result.status == "succeeded":
        return
    if result is None and (reason := too_old(status.exit_code, tail)):
        raise JobFailedError(reason)
    text = status.message or f"The job left no result; its state is {status.state}."
    error = result.error if result is not None else None
    if error is not None and error.kind == "memory":
        text = "\n".join(filter(None, [_describe(error), status.message]))
    elif error is not None and not (error.kind == "cancelled" and status.message):
        raise (JobFailedError if error.kind in FINAL_KINDS else JobLostError)(_describe(error))
    elif tail and error is None:
        text += "\nThe worker's last lines:\n" + "\n".join(f"  {line}" for line in tail)
    if status.state is JobState.FAILED and status.exit_code in (None, *_FINAL_EXIT_CODES):
        raise JobFailedError(text)
    raise JobLostError(text)


class JobEnd(NamedTuple):
    """How a job ended that did not succeed, for a record of it."""

    cause: AttemptCause
    message: str
    seconds: float = 0.0
    """How long the worker ran; 0.0: not known."""

    @classmethod
    def of_error(cls, error: Exception) -> Self:
        """The end of a job that could not be submitted."""
        cause: AttemptCause = "no_capacity" if isinstance(error, NoCapacityError) else "failed"
        return cls(cause, str(error))


def end_of(result: JobResult | None, status: JobStatus, tail: Sequence[str]) -> JobEnd:
    """How a job ended that did not succeed: the worker's word if it left one, else the runtime's.

    :param result: the job's result; None: it wrote none.
    :param status: the last status from the runtime.
    :param tail: the last lines of the worker's log.
    """
    if result is not None and result.error is not None:
        return JobEnd(result.error.kind, _describe(result.error), result.seconds)
    cause = "deadline" if status.expired else _CAUSES.get(status.state, "unknown")
    message = status.message or f"The job left no result; its state is {status.state}."
    return JobEnd(cause, "\n".join([message, *tail]))


def too_old(exit_code: int | None, lines: Sequence[str]) -> str:
    """An explanation if an older worker did not understand its command line; else empty.

    :param exit_code: the worker's exit code; None: unknown.
    :param lines: the last lines of its log, as far as they are known.
    """
    said = next((line.strip() for line in lines if _NOT_UNDERSTOOD in line), "")
    if exit_code != exit_codes.USAGE and not said:
        return ""
    details = "; ".join(filter(None, ["" if exit_code is None else f"exit code {exit_code}", said]))
    return (
        f"The worker does not know an option that Airflow's airflow-sklearn starts it with ({details}): the worker "
        "image is older than Airflow's airflow-sklearn. Fix: upgrade the image to Airflow's version of it; with "
        "LocalRuntime(python=...), that interpreter's packages."
    )


def _describe(error: JobError) -> str:
    """An error as text. Errors that are not the package's own begin with their class."""
    own = hasattr(exceptions, error.type)
    return exceptions.with_problems(
        error.message if own else f"{error.type}: {error.message}", [problem.shown() for problem in error.problems]
    )
