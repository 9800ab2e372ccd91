"""``_publishing.json``: one publication into a folder at a time, and a list of all files that may have to go.

The lock only keeps publications from getting in each other's way. What counts is the manifest, which is replaced by
If-Match: a publication whose lock was taken over, and that does not know it yet, fails there.
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
#: Age at which the lock of a publication that never ended no longer holds. Publishing copies within one store: minutes.
LOCK_EXPIRES = timedelta(hours=1)


class FolderLock:
    """A context manager that holds the lock.

    A run takes over its own lock (of an attempt that died, or still lives somewhere), and one that has expired.

    :param mine: with the files that this publication brings.
    :param expires: the age at which another run's lock no longer holds.
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
        """All that may have to go."""
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
            with contextlib.suppress(Exception):  # it may be there all the same: then nobody is to wait for it
                self._release()
            raise
        return self

    def note(self, files: Iterable[OutputPart]) -> None:
        """Add files that may have to go. Whoever takes over from this publication knows of them then.

        :raises PublishError: the lock is another's now.
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
        """:raises PublishError: the lock is another's now, or was."""
        if not self.is_held():
            raise self._lost()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._release()
        elif not self.keep:
            with contextlib.suppress(Exception):  # the error that is on its way says more
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
        # Whoever takes over from this one must know of the abandoned files too.
        files = {part.uri: part for part in (*other.files, *self._mine.files)}
        self._mine = self._mine.model_copy(update={"files": tuple(files.values())})
        self._etag = self._storage.replace(self._uri, self._mine.to_json(), etag=etag)
        self.abandoned = other.files
        self.keep = bool(other.files)

    def _has_expired(self, other: Publishing) -> bool:
        """:raises PublishError: it does not say when it began."""
        try:
            age = datetime.now(UTC) - datetime.fromisoformat(other.started_at)
        except (ValueError, TypeError):
            raise PublishError(
                f"{self._uri} is no lock of this package: it says that it began at {other.started_at!r}. "
                "Fix: delete it."
            ) from None
        return abs(age) >= self._expires  # one of the future is no promise either

    def _lost(self) -> PublishError:
        return PublishError(f"Another attempt took over this publication ({self._uri} is no longer this one's).")

    def _release(self) -> None:
        if self.is_held():
            self._storage.delete([self._uri])

    def is_held(self) -> bool:
        """By its owner, not by its version: the answer to the last change may have been lost."""
        try:
            return Publishing.from_json(self._storage.read(self._uri), where=self._uri).owner == self._mine.owner
        except ObjectNotFoundError:
            return False
