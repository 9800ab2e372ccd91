"""``_publishing.json``: allows one publication into a folder at a time, and lists all files that it may have to
remove.

The lock only keeps publications apart. The manifest decides what is published, and is replaced by If-Match: a
publication that has lost its lock without knowing it fails there.
"""

from __future__ import annotations

import contextlib
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_sklearn.contract.proof import Publishing
from airflow_sklearn.exceptions import (
    ObjectChangedError,
    ObjectExistsError,
    ObjectNotFoundError,
    PublishError,
)
from airflow_sklearn.storage import join

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_sklearn.contract.receipt import OutputPart
    from airflow_sklearn.storage import Storage

log = logging.getLogger(__name__)

LOCK_NAME = "_publishing.json"
#: Age at which the lock of a publication expires. A publication copies files within one store, which takes minutes.
LOCK_EXPIRES = timedelta(hours=1)


class FolderLock:
    """A context manager that holds the lock.

    A run may take over its own lock, from an attempt that has died or still lives elsewhere, and a lock that has
    expired.

    :param mine: the lock's document, with the files of this publication.
    :param expires: the age at which another run's lock expires.
    """

    def __init__(self, storage: Storage, folder: str, mine: Publishing, expires: timedelta) -> None:
        self._storage, self._uri = storage, join(folder, LOCK_NAME)
        self._mine, self._expires = mine, expires
        self._etag = ""
        self.abandoned: tuple[OutputPart, ...] = ()
        """Files that publications which never ended may have left, or still bring."""
        self.keep = False
        """Whether it stays after an error: its list is how files that lie about are found and removed."""

    @property
    def files(self) -> tuple[OutputPart, ...]:
        """All files that may have to be removed."""
        return self._mine.files

    def __enter__(self) -> FolderLock:
        try:
            try:
                self._etag = self._storage.create(self._uri, self._mine.to_json())
            except ObjectExistsError:
                self._take_over()
        except (ObjectExistsError, ObjectChangedError, ObjectNotFoundError) as error:
            raise PublishError(f"Another run publishes into this partition right now ({self._uri}). Retry.") from error
        except Exception:
            with contextlib.suppress(Exception):  # it may exist nevertheless, and nobody must wait for it
                self._release()
            raise
        return self

    def note(self, files: Iterable[OutputPart]) -> None:
        """Add files that may have to be removed, so that a publication which takes over knows them.

        :raises PublishError: another publication has the lock now.
        """
        by_uri = {part.uri: part for part in (*files, *self._mine.files)}
        if len(by_uri) == len(self._mine.files):
            return
        self._mine = self._mine.model_copy(update={"files": tuple(by_uri.values())})
        try:
            self._etag = self._storage.replace(self._uri, self._mine.to_json(), etag=self._etag)
        except ObjectChangedError:
            raise self._lost() from None

    def check(self) -> None:
        """Check that this publication still has the lock, and had it all the time.

        :raises PublishError: it has not.
        """
        if not self.is_held():
            raise self._lost()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._release()
        elif not self.keep:
            with contextlib.suppress(Exception):  # the error that is being raised says more
                self._release()

    def _take_over(self) -> None:
        etag = self._storage.stat(self._uri).etag
        other = Publishing.from_json(self._storage.read(self._uri, etag=etag), where=self._uri)
        if other.fingerprint != self._mine.fingerprint and not self._has_expired(other):
            raise PublishError(
                f"Another run began to publish into this partition at {other.started_at} and has not ended "
                f"(fingerprint {other.fingerprint[:16]}{', ' if str(other.planned) else ''}{other.planned}). "
                f"Fix: retry when it has ended; if it is dead, delete {self._uri} or wait for {self._expires}."
            )
        log.info("Taking over from a publication that began at %s and has not ended.", other.started_at)
        # A publication that takes over must know the abandoned files too.
        files = {part.uri: part for part in (*other.files, *self._mine.files)}
        self._mine = self._mine.model_copy(update={"files": tuple(files.values())})
        self._etag = self._storage.replace(self._uri, self._mine.to_json(), etag=etag)
        self.abandoned = other.files
        self.keep = bool(other.files)

    def _has_expired(self, other: Publishing) -> bool:
        """Whether another publication's lock has expired.

        :raises PublishError: the lock does not tell when it began.
        """
        try:
            age = datetime.now(UTC) - datetime.fromisoformat(other.started_at)
        except (ValueError, TypeError):
            raise PublishError(
                f"{self._uri} is no lock of this package: it says that it began at {other.started_at!r}. "
                "Fix: delete it."
            ) from None
        return abs(age) >= self._expires  # a time in the future is no valid lock either

    def _lost(self) -> PublishError:
        return PublishError(f"Another attempt took over this publication ({self._uri} is no longer this one's).")

    def _release(self) -> None:
        if self.is_held():
            self._storage.delete([self._uri])

    def is_held(self) -> bool:
        """Whether this publication has the lock.

        The owner in the lock's document decides. The etag would not do: the answer to a write can be lost.
        """
        try:
            return Publishing.from_json(self._storage.read(self._uri), where=self._uri).owner == self._mine.owner
        except ObjectNotFoundError:
            return False
