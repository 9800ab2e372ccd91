"""Recognising that a disk is full, on both sides, and saying which folder it is, how large it is, and what to do."""

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
    """The error that says so, if a disk was full; else None.

    :param error: what was raised, perhaps from the error of the full disk.
    :param uris: where else something may have been written; only local ones count.
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
    """The folder, or the one above it that is there, with the bytes of its disk: all, and those that are free."""
    while folder and not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return folder, usage.total, usage.free


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
