"""A queue as a folder, for pools whose workers share a disk with their driver.

A message is a file, ``ready/NAME.DELIVERIES`` or ``taken/NAME.DELIVERIES``. To receive a message, a worker renames its
file from ``ready`` to ``taken``; of several workers, one succeeds. The modification time of a file in ``taken`` is the
time at which its visibility ends. Whoever receives messages first moves the files past that time back to ``ready``.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from airflow_sklearn.exceptions import QueueGoneError
from airflow_sklearn.pool.queues.base import Message, Queue

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.02  # seconds between two looks
_REAP_INTERVAL = 0.25


class FolderQueue(Queue):
    """A queue in a local folder. ``Queue`` documents the methods.

    :param path: the folder.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._ready, self._taken = os.path.join(path, "ready"), os.path.join(path, "taken")
        self._reaped = 0.0
        self._listed: deque[str] = deque()
        """Messages that were ready when the folder was listed; others may have taken some of them since."""

    def create(self, visibility: float) -> None:
        """See ``Queue.create``. Only this user gets permissions for the folders; ``visibility`` is not needed."""
        for folder in (self._ready, self._taken):
            os.makedirs(folder, mode=0o700)

    def send(self, bodies: Sequence[str]) -> None:
        """See ``Queue.send``. A message is written under another name first, so that no worker receives half of it."""
        for body in bodies:
            name = f"{time.time_ns():020d}-{secrets.token_hex(4)}.0"
            unfinished = os.path.join(self.path, name)
            try:
                with open(unfinished, "w") as file:
                    file.write(body)
                os.rename(unfinished, os.path.join(self._ready, name))
            except FileNotFoundError:
                raise self._gone() from None

    def receive(self, limit: int, *, wait: float, visibility: float) -> list[Message]:
        """See ``Queue.receive``. The folder is looked at every 2 to 20 milliseconds."""
        give_up, pause = time.monotonic() + wait, _FIRST_PAUSE
        while True:
            self._put_back()
            found = list(islice(self._takeable(visibility), limit))
            if found or time.monotonic() >= give_up:
                return found
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def renew(self, messages: Sequence[Message], visibility: float) -> None:
        """See ``Queue.renew``."""
        for message in messages:
            with contextlib.suppress(FileNotFoundError):
                _set_end(os.path.join(self._taken, message.receipt), visibility)

    def delete(self, messages: Sequence[Message]) -> None:
        """See ``Queue.delete``."""
        for message in messages:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._taken, message.receipt))

    def destroy(self) -> None:
        """See ``Queue.destroy``."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _takeable(self, visibility: float) -> Iterator[Message]:
        """Take messages one by one. The folder is listed at most once, and only if no name of the last listing is
        left.

        It may be called from several threads.
        """
        listed = False
        while True:
            try:
                name = self._listed.popleft()
            except IndexError:
                if listed:
                    return
                listed = True
                self._listed.extend(self._names(self._ready))
                continue
            if message := self._take(name, visibility):
                yield message

    def _take(self, name: str, visibility: float) -> Message | None:
        source = os.path.join(self._ready, name)
        stem, _, deliveries = name.rpartition(".")
        receipt = f"{stem}.{int(deliveries) + 1}"
        target = os.path.join(self._taken, receipt)
        try:
            _set_end(source, visibility)  # before others see the file in taken, and may put it back
            os.rename(source, target)
            with open(target) as file:
                return Message(file.read(), receipt, int(deliveries) + 1)
        except FileNotFoundError:  # another worker took it first
            return None

    def _put_back(self) -> None:
        now = time.time()
        if now - self._reaped < _REAP_INTERVAL:
            return
        self._reaped = now
        for name in self._names(self._taken):
            taken = os.path.join(self._taken, name)
            with contextlib.suppress(FileNotFoundError):
                if os.stat(taken).st_mtime <= now:
                    os.rename(taken, os.path.join(self._ready, name))

    def _names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(folder))
        except FileNotFoundError:
            raise self._gone() from None

    def _gone(self) -> QueueGoneError:
        return QueueGoneError(f"There is no queue {self.path}.")


def _set_end(path: str, visibility: float) -> None:
    end = time.time() + visibility
    os.utime(path, (end, end))
