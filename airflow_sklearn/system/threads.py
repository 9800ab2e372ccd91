"""Threads that a user's code has started: a fork would not copy them, but would copy the locks that they hold."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_started: set[int] = set()


@contextlib.contextmanager
def users_code() -> Iterator[None]:
    """Remember the threads that are started within the context and do not end."""
    before = _threads()
    try:
        yield
    finally:
        _started.update(_threads() - before)


def left_by_users_code() -> int:
    """The number of threads that ``users_code`` has recorded and that still run."""
    return len(_started & _threads())


def _threads() -> set[int]:
    """The ids of all threads of this process, on Linux also those of native libraries."""
    try:
        return {int(name) for name in os.listdir("/proc/self/task")}
    except OSError:
        return {thread.native_id or 0 for thread in threading.enumerate()}
