"""The folder in which ``LocalRuntime`` remembers its jobs: one folder a job, with its handle, log and exit code."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runtimes.base import JobHandle

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

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

    def handles(self, key: str) -> Iterator[JobHandle]:
        """The stored handles of a job key, newest first; without those that cannot be read."""
        found = []
        for path in self.path.glob(f"{key}-*/handle.json"):
            try:
                found.append((path.stat().st_mtime, JobHandle.model_validate_json(path.read_bytes())))
            except (OSError, ValueError) as error:
                log.warning("%s cannot be read and is ignored: %s", path, error)
        return (handle for _, handle in sorted(found, key=lambda pair: pair[0], reverse=True))

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


def store_handle(handle: JobHandle) -> None:
    """Keep a handle in its job's folder, whole or not at all."""
    temporary, path = folder_of(handle) / "handle.json.new", folder_of(handle) / "handle.json"
    temporary.write_text(handle.model_dump_json())
    os.replace(temporary, path)


def folder_of(handle: JobHandle) -> Path:
    """The folder of one job."""
    return Path(str(handle.data["folder"]))


def default_state_dir() -> str:
    return str(Path(tempfile.gettempdir()) / f"airflow-sklearn-{os.getuid()}")
