"""What a pool's driver tells its workers by a file: that it lives, which calls are cancelled, that the pool closes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from airflow_sklearn.pool.messages import Control

if TYPE_CHECKING:
    from airflow_sklearn.pool.folder import PoolFolder
    from airflow_sklearn.pool.signing import Signer

_CANCELLED_CALLS = 200  # that workers are told of; tasks of older ones have been met and dropped


class ControlFile:
    """Written again and again, with a number that grows. Used by several threads."""

    def __init__(self, folder: PoolFolder, signer: Signer) -> None:
        self._folder, self._signer = folder, signer
        self._cancelled: list[str] = []
        self._beat = 0
        self._closed = False
        self.lock = threading.Lock()
        """Held while the file is written."""

    def is_cancelled(self, call: str) -> bool:
        """Whether workers are told to drop the tasks of a call."""
        return call in self._cancelled

    def cancel(self, call: str) -> None:
        """Tell workers, when the file is next written, to drop the tasks of a call."""
        self._cancelled = [*self._cancelled, call][-_CANCELLED_CALLS:]

    def write(self) -> None:
        """Give a sign of life. Does nothing once the pool closes: what says so is written, or was, and is removed."""
        with self.lock:
            if not self._closed:
                self._write(closing=False)

    def close(self) -> None:
        """Tell workers that the pool closes."""
        self._closed = True
        with self.lock:
            self._write(closing=True)

    def _write(self, *, closing: bool) -> None:
        self._beat += 1
        control = Control(beat=self._beat, cancelled=tuple(self._cancelled), closing=closing)
        signed = self._signer.sign("control", control.model_dump_json())
        self._folder.storage.write(self._folder.control_uri, signed.encode())
