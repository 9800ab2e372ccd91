"""Waiting for what other processes and threads do: as long as a busy machine may need, and no longer than it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

#: Seconds. Long, because it costs nothing where all is well: tests run beside each other on few cores.
PATIENCE = 600.0

T = TypeVar("T")


def wait_for(look: Callable[[], T], what: object = "it", *, seconds: float = PATIENCE, pause: float = 0.02) -> T:
    """Look again and again, until there is something.

    :param what: for the error; a function is called for it.
    :return: what ``look`` has found.
    :raises AssertionError: it never came.
    """
    give_up = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > give_up:
            raise AssertionError(f"waited {seconds:g} s: {what() if callable(what) else what}")
        time.sleep(pause)
    return found
