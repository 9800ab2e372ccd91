"""Temporary files beside the files that they become.

Each is locked while it is written. The kernel releases the lock when the writer's process ends, in whatever way: a
temporary file without a lock is abandoned.
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
#: Age at which a file counts as abandoned where there are no locks: on some file systems, and from version 0.1.0.
_ABANDONED_AFTER = 86_400.0  # seconds

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


def is_temporary(name: str) -> bool:
    """Whether a file name is that of a temporary file, one that is being written or was abandoned."""
    return bool(_NAME.fullmatch(name) or _OLD_NAME.fullmatch(name))


@contextlib.contextmanager
def temporary_file(folder: str) -> Iterator[tuple[str, BinaryIO]]:
    """Make a new file in a folder, with the permissions that the umask leaves. It is removed at the end unless
    renamed.

    :return: yields the file's path and its file object, open for writing.
    :raises OSError: the file cannot be made.
    """
    name, file = _make(folder)
    try:
        with file:
            yield name, file
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def remove_abandoned(folder: str) -> int:
    """Remove the temporary files that killed processes left in a folder and below it.

    Symbolic links are not followed. Folders and files without permission are skipped.

    :return: the number of files removed.
    """
    removed = 0
    for where, _, names in os.walk(folder):
        for name in names:
            if is_temporary(name):
                with contextlib.suppress(OSError):
                    removed += _remove_if_abandoned(os.path.join(where, name))
    return removed


def rename_if_absent(source: str, target: str) -> None:
    """Rename a file unless the target exists.

    :raises FileExistsError: the target exists.
    """
    if (rename := _renameat2()) is not None:
        if rename(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM):
            raise OSError(number, os.strerror(number), target)
    # No such call on this system or file system (NFS). For a moment both names exist, which changes the change time.
    os.link(source, target)
    os.unlink(source)


def _make(folder: str) -> tuple[str, BinaryIO]:
    while True:
        name = os.path.join(folder, f"{_PREFIX}{secrets.token_hex(8)}.tmp")
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        file = os.fdopen(descriptor, "w+b")
        if _lock(descriptor) is not False and os.fstat(descriptor).st_nlink:
            return name, file
        file.close()  # another process removed it as abandoned before it was locked


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
    """Try to lock a file. True: this process has the lock. False: another one has it. None: locks do not work here."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@functools.cache
def _renameat2() -> Any:
    """The system call ``renameat2`` of Linux (``RENAME_NOREPLACE``); None on other systems."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        found = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    found.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return found
