"""Exit codes of worker processes. The numbers are those of sysexits.h if it has one, else those of ``timeout`` and
shells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from airflow_sklearn.exceptions import FINAL_KINDS, AirflowSklearnError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_sklearn.contract.jobs import ErrorKind

SUCCESS = 0
USAGE = 2
"""It did not understand its arguments, and has done nothing: ``argparse`` ends so."""
USER_ERROR = 64
"""What was asked for cannot be done, or the user's estimator raised. A retry does not help."""
BAD_DATA = 65
"""The data break a policy. A retry does not help until they are mended."""
INTERNAL_ERROR = 70
"""Anything else: storage out of reach, a bug. A retry may help."""
OUT_OF_MEMORY = 71
"""Memory ran out, and the worker lived to say so. A retry helps with more of it."""
BROKEN_ENVIRONMENT = 78
"""Versions differ, the artifact changed, parity fails, a module is missing. A retry does not help."""
DEADLINE = 124
CANCELLED = 143

BY_KIND = {
    "user": USER_ERROR,
    "data": BAD_DATA,
    "internal": INTERNAL_ERROR,
    "memory": OUT_OF_MEMORY,
    "environment": BROKEN_ENVIRONMENT,
    "deadline": DEADLINE,
    "cancelled": CANCELLED,
}


class Cancelled(BaseException):
    """The job was cancelled: SIGTERM or SIGINT arrived."""


def kind_of(error: BaseException) -> ErrorKind:
    """The kind of a ``JobError`` for an exception.

    An error of this package has its own kind. Any exception that an estimator raises is wrapped in such an error; a
    ``MemoryError`` is therefore looked for among the causes too.
    """
    if any(isinstance(cause, MemoryError) for cause in causes(error)):
        return "memory"
    if isinstance(error, AirflowSklearnError):
        return error.kind
    if isinstance(error, Cancelled | KeyboardInterrupt):
        return "cancelled"
    if isinstance(error, ValidationError):
        return "user"
    return "environment" if isinstance(error, ImportError) else "internal"


def is_final(error: BaseException) -> bool:
    """Whether the same work would fail with this error again, so that a retry does not help."""
    return kind_of(error) in FINAL_KINDS


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, the error that caused it, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


ERROR_FOLLOWS = "The job failed. Its error, which its result document holds too:"
"""What the worker logs before an error that the task will raise, so that the task's log need not have it twice. All
that follows belongs to it, up to the last line."""


def last_line(code: int) -> str:
    """The last line of every worker's log. A reader knows by it that the log is complete.

    :param code: the exit code.
    """
    return f"Exit code {code}."
