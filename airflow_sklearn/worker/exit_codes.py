"""How a worker process ends. The numbers follow sysexits.h where it has one, and ``timeout`` and shells elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn import exceptions

if TYPE_CHECKING:
    from airflow_sklearn.contract.jobs import ErrorKind

SUCCESS = 0
USER_ERROR = 64
"""What was asked for cannot be done, or the user's estimator raised. A retry does not help."""
BAD_DATA = 65
"""The data break a policy. A retry does not help until they are mended."""
INTERNAL_ERROR = 70
"""Anything else: storage out of reach, a bug. A retry may help."""
BROKEN_ENVIRONMENT = 78
"""Versions differ, the artifact changed, parity fails, a module is missing. A retry does not help."""
DEADLINE = 124
CANCELLED = 143

BY_KIND = {
    "user": USER_ERROR,
    "data": BAD_DATA,
    "internal": INTERNAL_ERROR,
    "environment": BROKEN_ENVIRONMENT,
    "deadline": DEADLINE,
    "cancelled": CANCELLED,
}


class Cancelled(BaseException):
    """SIGTERM or SIGINT arrived."""


def kind_of(error: BaseException) -> ErrorKind:
    """The kind of a ``JobError`` for an exception."""
    if isinstance(error, Cancelled | KeyboardInterrupt):
        return "cancelled"
    if isinstance(error, exceptions.DataError | exceptions.ObjectChangedError):
        return "data"
    if isinstance(error, exceptions.BrokenEnvironmentError | exceptions.DocumentError | ImportError):
        return "environment"
    if isinstance(error, exceptions.UserError | exceptions.ObjectNotFoundError):
        return "user"
    return "deadline" if isinstance(error, exceptions.DeadlineExceededError) else "internal"
