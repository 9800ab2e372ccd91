"""Threads that a user's code has started in this process: a fork would leave them behind, with what they hold."""

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
    """Remember the threads that are started within and stay."""
    before = _threads()
    try:
        yield
    finally:
        _started.update(_threads() - before)


def left_by_users_code() -> int:
    """How many of them are still there."""
    return len(_started & _threads())


def _threads() -> set[int]:
    """All threads of this process, those of native libraries as well where the kernel tells."""
    try:
        return {int(name) for name in os.listdir("/proc/self/task")}
    except OSError:
        return {thread.native_id or 0 for thread in threading.enumerate()}
