"""Notes of tasks that were started and not finished, which outlive the container that they end.

A task that comes for the first time is just run. One that has come before may have ended its container, or only have
been in it: it is then run as the only such task of its container, and its start is noted before. So the notes that are
left are of starts that ended a process or a container, and of no other task's.
"""

from __future__ import annotations

import secrets
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_sklearn.pool.folder import PoolFolder

_FIRST, _AGAIN = "0-first", "1-again"
_TOLD = 20  # starts, of as many as a user allows


class Starts:
    """:param worker: who notes."""

    def __init__(self, folder: PoolFolder, worker: str) -> None:
        self._folder, self._who = folder, f"worker {worker} ({socket.gethostname()})"

    def of(self, task: str) -> tuple[int, tuple[str, ...]]:
        """How often the task was started again in vain; and how starts ended, up to a number."""
        storage, prefix = self._folder.storage, self._folder.starts_uri(task)
        found = [one.uri for one in storage.list(prefix)]
        again = sum(1 for uri in found if uri[len(prefix) :].startswith(_AGAIN))
        return again, tuple(storage.read(uri).decode() for uri in found[:_TOLD])

    def note(self, task: str) -> str:
        """Note that a task is started again; the note's URI."""
        uri = self._folder.starts_uri(task, f"{_AGAIN}-{secrets.token_hex(4)}")
        self._folder.storage.write(uri, f"{self._who}: its container ended".encode())
        return uri

    def died(self, task: str, note: str | None, how: str) -> None:
        """Note how a start ended of which the container lived on to tell.

        :param note: of the start, if it was noted.
        """
        uri = note or self._folder.starts_uri(task, f"{_FIRST}-{secrets.token_hex(4)}")
        self._folder.storage.write(uri, f"{self._who}: {how}".encode())

    def take_back(self, note: str | None) -> None:
        """The start has come to an end of its own, or was stopped by somebody."""
        if note is not None:
            self._folder.storage.delete([note])
