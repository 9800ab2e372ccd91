"""Temporary folders for a job's own files. The next job removes the folders that killed jobs have left."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import stat
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG = logging.getLogger("airflow_sklearn.worker")
_PREFIX = "airflow-sklearn-scratch-"
_OPEN: dict[str, int] = {}
"""Folders that this process has made, each with the process's number: a fork inherits the names, not the folders."""


@contextlib.contextmanager
def scratch_folder() -> Iterator[str]:
    """Make a new folder below the system's temporary folder; it is removed at the end.

    This process, and the processes forked from it, hold a lock on the folder. A folder without a lock belongs to a
    killed job, and is removed first.

    :return: yields the folder's path.
    """
    parent = tempfile.gettempdir()
    remove_abandoned(parent)
    path, lock = _make(parent)
    _OPEN[path] = os.getpid()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        _OPEN.pop(path, None)
        os.close(lock)


def remove_own() -> None:
    """Remove the scratch folders of this process and of its children that have ended, without leaving their blocks.

    For a process that ends at once. What is written meanwhile is removed by the next job.
    """
    for path, owner in list(_OPEN.items()):
        if owner == os.getpid():
            shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        remove_abandoned(tempfile.gettempdir())


def remove_abandoned(parent: str) -> list[str]:
    """Remove the scratch folders of killed jobs of this user.

    :param parent: the folder that they are in.
    :return: the paths that were removed.
    """
    removed = []
    for name in sorted(os.listdir(parent)):
        path = os.path.join(parent, name)
        if not name.startswith(_PREFIX) or not _is_own_folder(path):
            continue
        with contextlib.suppress(OSError):  # another job removes it, or it is in use
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
                removed.append(path)
            finally:
                os.close(lock)
    if removed:
        _LOG.info("Removed what killed jobs had left: %s", ", ".join(removed))
    return removed


def _make(parent: str) -> tuple[str, int]:
    """Make a folder and lock it.

    :return: the folder, and the open descriptor that holds its lock.
    """
    while True:
        path = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue  # another job removed it as abandoned before it was locked
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(path):
            return path, lock
        os.close(lock)


def _is_own_folder(path: str) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
