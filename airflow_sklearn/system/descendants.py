"""Ending all processes that a job has started, also those in another process group and those that lost their parent."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG = logging.getLogger("airflow_sklearn.worker")
_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37  # linux/prctl.h
_KILL_SECONDS = 2.0  # the longest time in which processes that are being killed may still start others
_PAUSE = 0.02
#: Python's resource trackers: they free shared memory, and end when no process uses them any more.
_TRACKER = "resource_tracker import main"
#: Other jobs, such as a pool's workers on this machine: they notice that their driver is gone, and clean up.
_JOB = "-m airflow_sklearn.worker "


@dataclass(frozen=True)
class _Process:
    """A process, identified by number and start time.

    :param started: its start time in clock ticks since the machine booted. Distinguishes it from a later process with
        the same number.
    """

    pid: int
    started: int


class Descendants:
    """The processes started by this one since this object was made, and their descendants, as far as ``/proc`` shows.

    Other jobs and Python's resource trackers are left out: they end by themselves.
    """

    def __init__(self) -> None:
        self._before = frozenset(_running())

    @contextlib.contextmanager
    def adopting(self) -> Iterator[None]:
        """Within the context, a descendant that loses its parent becomes a child of this process, whatever its
        session.

        This needs Linux (``PR_SET_CHILD_SUBREAPER``). On other systems such a process is not found.
        """
        before = _is_subreaper()
        _be_subreaper(True)
        try:
            yield
        finally:
            _be_subreaper(before)

    def kill(self) -> None:
        """Kill them, again and again until none is left: a process may fork just before it is killed."""
        give_up = time.monotonic() + _KILL_SECONDS
        for child in multiprocessing.active_children():  # also where there is no /proc
            child.kill()
        while found := [process for process in _running() if process not in self._before]:
            for process in found:
                with contextlib.suppress(OSError):
                    os.kill(process.pid, signal.SIGKILL)
            if time.monotonic() > give_up:
                _LOG.warning("Processes that the job has started could not be ended: %s", [p.pid for p in found])
                return
            time.sleep(_PAUSE)


def children_of(process: int) -> list[int]:
    """The ids of a process's children; empty where ``/proc`` does not show them."""
    found: list[int] = []
    with contextlib.suppress(OSError):  # it has just ended
        for thread in os.listdir(f"/proc/{process}/task"):
            with contextlib.suppress(OSError):
                found += map(int, Path(f"/proc/{process}/task/{thread}/children").read_text().split())
    return found


def _running() -> Iterator[_Process]:
    own, unseen = _command(os.getpid()), children_of(os.getpid())
    while unseen:
        pid = unseen.pop()
        command = _command(pid)
        if _TRACKER in command or (_JOB in command and command != own):  # a fork has the command of its parent
            continue
        unseen += children_of(pid)
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            if fields[0] != "Z":
                yield _Process(pid, int(fields[19]))


def _command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _is_subreaper() -> bool:
    found = ctypes.c_int(0)
    _prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(found))
    return bool(found.value)


def _be_subreaper(yes: bool) -> None:
    _prctl(_PR_SET_CHILD_SUBREAPER, int(yes))


def _prctl(option: int, value: object) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
