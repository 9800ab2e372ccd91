"""Errors that may pass, such as a network that is gone for a moment: how long a pool's threads bear them."""

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
    """Whether storage did not answer, or would not: nothing that is in a task can mend that."""
    if isinstance(error, ObjectNotFoundError):
        return False
    return isinstance(error, StorageError) or type(error).__module__.partition(".")[0] in _CLIENTS


class RetryBudget:
    """How long one thread bears errors in a row. Its rounds are made of several calls, and go on after each error: what
    makes one call again is ``retry``.

    :param what: what went wrong, for the log.
    :param seconds: after which an error is one too many.
    """

    def __init__(self, what: str, seconds: float = GIVE_UP_SECONDS) -> None:
        self._what, self._seconds = what, seconds
        self._since: float | None = None

    def succeeded(self) -> None:
        """It went well."""
        self._since = None

    def failed(self, error: Exception) -> None:
        """:raises Exception: the error, if it will not pass, or has not for long."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if isinstance(error, _LASTING) or now - self._since > self._seconds:
            raise error
        _LOG.warning("%s: %s", self._what, error)
