"""The folder in which ``LocalRuntime`` stores its jobs: a folder for each job, with its handle, log and exit code.

Its content decides which processes count as jobs, and may be killed. Therefore only this user may write there, and only
what this package has made is ever removed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runtimes.base import JobHandle
from airflow_sklearn.runtimes.local.job_data import LocalJobData

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

KEPT_DAYS = 7
_DAY = 86_400.0  # seconds
#: A mark in each job's folder. Folders of version 0.1.0 lack it, but hold a handle that names them.
_MARKER = "made_by_airflow_sklearn"


class StateFolder:
    """The folder for all jobs of a user.

    :param path: the folder. It is made when it is first needed. Only its owner can read it, because logs may show data.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def create(self, name: str) -> Path:
        """Make a folder for one job. Folders of jobs that ended long ago are removed.

        :raises UserError: other users can write to the folder.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            self.path.mkdir(mode=0o700)
        self._check()
        self._remove_old()
        folder = self.path / name
        folder.mkdir(mode=0o700)
        (folder / _MARKER).touch(mode=0o600)
        return folder

    def handles(self, key: str) -> Iterator[JobHandle]:
        """The stored handles of a job key, the newest first. Handles that cannot be read are left out.

        :raises UserError: other users can write to the folder.
        """
        if os.path.lexists(self.path):
            self._check()
        found = []
        for path in self.path.glob(f"{key}-*/handle.json"):
            try:
                found.append((path.stat().st_mtime, JobHandle.model_validate_json(path.read_bytes())))
            except (OSError, ValueError) as error:
                log.warning("%s cannot be read and is ignored: %s", path, error)
        return (handle for _, handle in sorted(found, key=lambda pair: pair[0], reverse=True))

    def _check(self) -> None:
        found = self.path.lstat()
        if stat.S_ISLNK(found.st_mode):
            fault = "is a symbolic link. Fix: give LocalRuntime the folder itself as its state_dir"
        elif not stat.S_ISDIR(found.st_mode):
            fault = "is no folder. Fix: give LocalRuntime a folder as its state_dir"
        elif found.st_uid != os.getuid():
            fault = "belongs to another user. Fix: give LocalRuntime a state_dir of your own"
        elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            fault = f"can be written to by others. Fix: chmod go-w {self.path}, or give LocalRuntime another state_dir"
        else:
            return
        raise UserError(f"{self.path} {fault}.")

    def _remove_old(self) -> None:
        now = time.time()
        marker = self.path / "cleaned"
        if marker.exists() and now - marker.stat().st_mtime < _DAY:
            return
        marker.touch()
        for folder in self.path.glob("*-*/"):
            try:
                # The log is written to while the job lives.
                newest = max(entry.lstat().st_mtime for entry in (folder, *folder.iterdir()))
                is_over = now - newest > KEPT_DAYS * _DAY and _is_own(folder) and not _may_run(folder)
            except OSError:
                continue
            if is_over:
                shutil.rmtree(folder, ignore_errors=True)


def store_handle(handle: JobHandle) -> None:
    """Store a handle in its job's folder, whole or not at all."""
    folder = LocalJobData.of(handle).folder
    temporary, path = folder / "handle.json.new", folder / "handle.json"
    temporary.write_text(handle.model_dump_json())
    os.replace(temporary, path)


def default_state_dir() -> str:
    """A folder in Airflow's home if that belongs to this user, else in the system's temporary folder.

    In the temporary folder, another user could take the folder's name, but nothing else.
    """
    home = os.environ.get("AIRFLOW_HOME", "")
    parent = home if os.path.isabs(home) and _is_private(home) else tempfile.gettempdir()
    return str(Path(parent) / f"airflow-sklearn-{os.getuid()}")


def _is_private(path: str) -> bool:
    """Whether a folder exists, belongs to this user, and no other user can write to it."""
    try:
        found = os.stat(path)
    except OSError:
        return False
    others_write = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not others_write


def _is_own(folder: Path) -> bool:
    """Whether this package has made a job's folder, for this user."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        return False
    handle = _handle_in(folder)
    return (folder / _MARKER).is_file() or (handle is not None and LocalJobData.of(handle).folder.name == folder.name)


def _may_run(folder: Path) -> bool:
    """Whether the folder's job may still run. A job of another machine may."""
    handle = _handle_in(folder)
    if handle is None or (folder / "exit_code").exists():
        return False  # it never started (a week ago), or has ended
    try:
        return LocalJobData.of(handle).process.is_alive()
    except (UserError, ValueError):  # a ValidationError is one
        return True


def _handle_in(folder: Path) -> JobHandle | None:
    try:
        handle = JobHandle.model_validate_json((folder / "handle.json").read_bytes())
    except (OSError, ValueError):
        return None
    return handle if "folder" in handle.data else None
