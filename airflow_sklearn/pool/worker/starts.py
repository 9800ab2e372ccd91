"""Notes on repeated starts of tasks, in storage, so that they outlive a container that a task ends.

A task that is delivered for the first time is just run. One that was delivered before may have ended its container, or
may only have been in a container that another task ended. It is therefore run as the only such task of its container,
and its start is noted before. The notes that remain are of starts that ended a process or a container.
"""

from __future__ import annotations

import secrets
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_sklearn.pool.folder import PoolFolder

_FIRST, _AGAIN = "0-first", "1-again"
_TOLD = 20  # starts that an error describes; a user may allow more


class Starts:
    """The notes of one worker.

    :param worker: the worker's name.
    """

    def __init__(self, folder: PoolFolder, worker: str) -> None:
        self._folder, self._who = folder, f"worker {worker} ({socket.gethostname()})"

    def of(self, task: str) -> tuple[int, tuple[str, ...]]:
        """How often the task was started again in vain, and how these starts ended (the first 20)."""
        storage, prefix = self._folder.storage, self._folder.starts_uri(task)
        found = [one.uri for one in storage.list(prefix)]
        again = sum(1 for uri in found if uri[len(prefix) :].startswith(_AGAIN))
        return again, tuple(storage.read(uri).decode() for uri in found[:_TOLD])

    def note(self, task: str) -> str:
        """Note that a task is started again. Return the note's URI."""
        uri = self._folder.starts_uri(task, f"{_AGAIN}-{secrets.token_hex(4)}")
        self._folder.storage.write(uri, f"{self._who}: its container ended".encode())
        return uri

    def died(self, task: str, note: str | None, how: str) -> None:
        """Note how a start ended, if the container has survived it.

        :param note: the URI of the start's note; None: it was not noted.
        """
        uri = note or self._folder.starts_uri(task, f"{_FIRST}-{secrets.token_hex(4)}")
        self._folder.storage.write(uri, f"{self._who}: {how}".encode())

    def take_back(self, note: str | None) -> None:
        """Remove the note of a start that returned, raised or was cancelled."""
        if note is not None:
            self._folder.storage.delete([note])
