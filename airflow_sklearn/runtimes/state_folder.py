"""The folder in which ``LocalRuntime`` remembers its jobs: one folder a job, with its handle, log and exit code."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from airflow_sklearn.runtimes.base import JobHandle

KEPT_DAYS = 7
_DAY = 86_400.0  # seconds


class StateFolder:
    """:param path: created when first written to; readable by its owner only, because logs may show data."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def create(self, name: str) -> Path:
        """A new folder for one job. Those of long ago are removed.

        :raises UserError: the folder belongs to somebody else, who could then make us run things.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.path.stat().st_uid != os.getuid():
            raise UserError(f"{self.path} belongs to another user. Give LocalRuntime a state_dir of your own.")
        self._remove_old()
        folder = self.path / name
        folder.mkdir(mode=0o700)
        return folder

    def handles(self, key: str) -> list[Path]:
        """The stored handles of a job key, newest first."""
        return sorted(self.path.glob(f"{key}-*/handle.json"), key=lambda path: path.stat().st_mtime, reverse=True)

    def _remove_old(self) -> None:
        now = time.time()
        marker = self.path / "cleaned"
        if marker.exists() and now - marker.stat().st_mtime < _DAY:
            return
        marker.touch()
        for folder in self.path.glob("*-*/"):
            try:
                # The log is written to while the job lives.
                newest = max(entry.stat().st_mtime for entry in (folder, *folder.iterdir()))
            except OSError:
                continue
            if now - newest > KEPT_DAYS * _DAY:
                shutil.rmtree(folder, ignore_errors=True)


def folder_of(handle: JobHandle) -> Path:
    """The folder of one job."""
    return Path(str(handle.data["folder"]))


def default_state_dir() -> str:
    return str(Path(tempfile.gettempdir()) / f"airflow-sklearn-{os.getuid()}")
