"""The control file, by which a pool's driver tells its workers that it lives, which calls are cancelled, or that it
ends.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from airflow_sklearn.pool.messages import Control

if TYPE_CHECKING:
    from airflow_sklearn.pool.folder import PoolFolder
    from airflow_sklearn.pool.signing import Signer

_CANCELLED_CALLS = 200  # cancelled calls that workers are told about; tasks of older ones were dropped already


class ControlFile:
    """A file that is written every few seconds, with a growing number. Several threads may use it."""

    def __init__(self, folder: PoolFolder, signer: Signer) -> None:
        self._folder, self._signer = folder, signer
        self._cancelled: list[str] = []
        self._beat = 0
        self._closed = False
        self.lock = threading.Lock()
        """Held while the file is written."""

    def is_cancelled(self, call: str) -> bool:
        """Whether a call is cancelled."""
        return call in self._cancelled

    def cancel(self, call: str) -> None:
        """Cancel a call: when the file is written the next time, workers learn that they must drop its tasks."""
        self._cancelled = [*self._cancelled, call][-_CANCELLED_CALLS:]

    def write(self) -> None:
        """Write the file, as a sign of life. Does nothing once the pool closes: the last content says so, or was
        removed.
        """
        with self.lock:
            if not self._closed:
                self._write(closing=False)

    def close(self) -> None:
        """Write that the pool closes."""
        self._closed = True
        with self.lock:
            self._write(closing=True)

    def _write(self, *, closing: bool) -> None:
        self._beat += 1
        control = Control(beat=self._beat, cancelled=tuple(self._cancelled), closing=closing)
        signed = self._signer.sign("control", control.model_dump_json())
        self._folder.storage.write(self._folder.control_uri, signed.encode())
