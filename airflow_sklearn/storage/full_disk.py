"""Recognising that a disk is full, and an error that names the folder, the disk's size, and what to do."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from typing import TYPE_CHECKING

from airflow_sklearn.exceptions import DiskFullError

if TYPE_CHECKING:
    from collections.abc import Iterable

_NUMBERS = (errno.ENOSPC, errno.EDQUOT)
_TEXTS = ("No space left on device", "Disk quota exceeded")  # of libraries that raise no errno


def full_disk_error(error: BaseException, uris: Iterable[str] = ()) -> DiskFullError | None:
    """An error for the user, if an exception was caused by a full disk; else None.

    :param error: the exception. Its causes and contexts are looked at too.
    :param uris: further places that may have been written to. Only ``file://`` URIs count.
    :return: an error that names the folder whose disk has the fewest free bytes.
    """
    cause: BaseException | None = error
    while cause is not None and not _is_of_full_disk(cause):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return None
    named = getattr(cause, "filename", None)
    folders = [os.path.dirname(named)] if isinstance(named, str) and named else []
    folders.append(tempfile.gettempdir())
    folders += [uri.removeprefix("file://") for uri in uris if uri.startswith("file:///")]
    folder, total, free = min(filter(None, map(_usage, folders)), key=lambda found: found[2])
    return DiskFullError(
        f"The disk of {folder} is full: {_size(free)} of {_size(total)} are free. Fix: delete what nobody needs there, "
        "or give it more: EcsRuntime, by the task definition's ephemeralStorage; Ec2Runtime, by volume_size=...; "
        "LocalRuntime, by env={'TMPDIR': a folder on a larger disk}. A prediction needs less with smaller chunks: "
        "chunk_size=... of sklearn_predict (or SklearnPlanOperator)."
    )


def _is_of_full_disk(error: BaseException) -> bool:
    return isinstance(error, OSError) and (error.errno in _NUMBERS or any(text in str(error) for text in _TEXTS))


def _usage(folder: str) -> tuple[str, int, int] | None:
    """The nearest folder that exists at or above ``folder``, and its disk's size and free space, both in bytes."""
    while folder and not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return folder, usage.total, usage.free


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
