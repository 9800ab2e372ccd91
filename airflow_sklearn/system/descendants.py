"""All that a job has started ends with it, also what has left its process group, or has lost its parent."""

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
_KILL_SECONDS = 2.0  # after which no new ones should come any more
_PAUSE = 0.02
#: Python's resource trackers: they remove what was shared in memory, and end when nobody uses them.
_TRACKER = "resource_tracker import main"
#: Jobs of their own, such as containers of a pool on this machine: they see when their driver is gone, and clean up.
_JOB = "-m airflow_sklearn.worker "


@dataclass(frozen=True)
class _Process:
    """:param started: in ticks since the machine booted; tells it apart from a later one with the same number."""

    pid: int
    started: int


class Descendants:
    """The processes that this one has started since, and those that these have started, as far as ``/proc`` tells.

    Other jobs and Python's resource trackers are not among them. They end by themselves.
    """

    def __init__(self) -> None:
        self._before = frozenset(_running())

    @contextlib.contextmanager
    def adopting(self) -> Iterator[None]:
        """A descendant that loses its parent becomes a child of this process, whatever session it is in.

        Linux only. Elsewhere such a process is lost.
        """
        before = _is_subreaper()
        _be_subreaper(True)
        try:
            yield
        finally:
            _be_subreaper(before)

    def kill(self) -> None:
        """Kill them, until there are none: one that is about to fork may leave another one behind."""
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
    """The ids of a process's children; none where ``/proc`` does not tell them."""
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
