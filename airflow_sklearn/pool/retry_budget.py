"""Retrying errors that may pass, such as a network failure, for a limited time."""

from __future__ import annotations

import logging
import time

from airflow_sklearn.exceptions import (
    BrokenEnvironmentError,
    ObjectNotFoundError,
    PoolError,
    QueueGoneError,
    StorageError,
)

_LOG = logging.getLogger("airflow_sklearn.pool")

GIVE_UP_SECONDS = 120.0
_LASTING = (BrokenEnvironmentError, PoolError, QueueGoneError)
_CLIENTS = ("boto3", "botocore", "s3transfer", "urllib3")  # not imported where no pool is in S3


def is_out_of_reach(error: BaseException) -> bool:
    """Whether an error means that the storage does not answer. No change of a task could help then."""
    if isinstance(error, ObjectNotFoundError):
        return False
    return isinstance(error, StorageError) or type(error).__module__.partition(".")[0] in _CLIENTS


class RetryBudget:
    """Limits how long one thread may meet errors in a row.

    It is for loops of several calls that go on after an error. To repeat a single call, use ``retry``.

    :param what: the failing work in words, for the log.
    :param seconds: the longest time with errors only.
    """

    def __init__(self, what: str, seconds: float = GIVE_UP_SECONDS) -> None:
        self._what, self._seconds = what, seconds
        self._since: float | None = None

    def succeeded(self) -> None:
        """The work has succeeded: reset the time."""
        self._since = None

    def failed(self, error: Exception) -> None:
        """The work has failed: log the error, or raise it.

        :raises Exception: the error, if it cannot pass, or the time is over.
        """
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if isinstance(error, _LASTING) or now - self._since > self._seconds:
            raise error
        _LOG.warning("%s: %s", self._what, error)
