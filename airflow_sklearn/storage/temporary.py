"""Temporary files beside the files that they become: written under a lock, so that those of the dead can be told.

The kernel gives a lock up when its process ends, however it ends. A temporary file that nobody holds is nobody's.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import os
import re
import secrets
import sys
import time
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = ".airflow-sklearn-"
_NAME = re.compile(r"\.airflow-sklearn-[0-9a-f]{16}\.tmp")
_OLD_NAME = re.compile(r"\.tmp-[a-z0-9_]{8}")  # of version 0.1.0
#: Age at which a file is abandoned where locks tell nothing: on file systems without locks, and of version 0.1.0.
_ABANDONED_AFTER = 86_400.0  # seconds

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


def is_temporary(name: str) -> bool:
    """Whether a file's name is one of a file that is still being written, or never will be."""
    return bool(_NAME.fullmatch(name) or _OLD_NAME.fullmatch(name))


@contextlib.contextmanager
def temporary_file(folder: str) -> Iterator[tuple[str, BinaryIO]]:
    """A new file in a folder, with the rights that the umask leaves; removed afterwards unless it was renamed.

    :raises OSError: it cannot be made.
    """
    name, file = _make(folder)
    try:
        with file:
            yield name, file
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def remove_abandoned(folder: str) -> int:
    """Remove the temporary files that killed processes left in a folder and below it. Returns how many.

    Links are not followed. What cannot be looked into or removed stays.
    """
    removed = 0
    for where, _, names in os.walk(folder):
        for name in names:
            if is_temporary(name):
                with contextlib.suppress(OSError):
                    removed += _remove_if_abandoned(os.path.join(where, name))
    return removed


def rename_if_absent(source: str, target: str) -> None:
    """Rename a file, unless there is one of that name.

    :raises FileExistsError: there is.
    """
    if (rename := _renameat2()) is not None:
        if rename(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM):
            raise OSError(number, os.strerror(number), target)
    # A system or a file system without it (NFS). Both names are there for a moment, and that changes the change time.
    os.link(source, target)
    os.unlink(source)


def _make(folder: str) -> tuple[str, BinaryIO]:
    while True:
        name = os.path.join(folder, f"{_PREFIX}{secrets.token_hex(8)}.tmp")
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        file = os.fdopen(descriptor, "w+b")
        if _lock(descriptor) is not False and os.fstat(descriptor).st_nlink:
            return name, file
        file.close()  # it was taken for abandoned before it was locked


def _remove_if_abandoned(path: str) -> bool:
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        has_lock = _lock(descriptor)
        age = time.time() - os.fstat(descriptor).st_mtime
        is_ours = _NAME.fullmatch(os.path.basename(path)) is not None
        if has_lock is False or (age < _ABANDONED_AFTER and not (has_lock and is_ours)):
            return False
        os.unlink(path)
        return True
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Take a file's lock: whether it was free; None where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@functools.cache
def _renameat2() -> Any:
    """Linux's call, None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        found = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    found.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return found
