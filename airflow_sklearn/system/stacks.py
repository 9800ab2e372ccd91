"""Asking a process from outside for its Python stacks, even if it is stuck."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_WAIT = 0.5  # seconds that processes get to write their stacks
_SHOWN = 8000  # characters of each stack from its end: a process's main thread comes last


def offer_stack(folder: str) -> None:
    """Let other processes get this process's stacks with ``stacks_of``. The handler needs no running Python code.

    :param folder: a local folder for the file with the stacks.
    """
    file = open(_path(folder, os.getpid()), "w")  # noqa: SIM115  the handler writes to it until the process ends
    faulthandler.register(signal.SIGUSR1, file=file, all_threads=True)


def stacks_of(folder: str, processes: Sequence[int]) -> str:
    """The Python stacks of processes that have called ``offer_stack``, or of this process.

    :param folder: the folder given to ``offer_stack``.
    :param processes: ids of processes; empty: this process.
    """
    if not processes:
        with tempfile.TemporaryFile() as file:
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            return file.read().decode(errors="replace")[-_SHOWN:]
    before: dict[int, int] = {}
    for process in processes:
        with contextlib.suppress(OSError):
            before[process] = _path(folder, process).stat().st_size
            os.kill(process, signal.SIGUSR1)
    time.sleep(_WAIT)
    found = []
    for process, size in before.items():
        with contextlib.suppress(OSError):
            new = _path(folder, process).read_bytes()[size:].decode(errors="replace")
            found.append(f"Process {process}:\n{new[-_SHOWN:]}")
    return "\n".join(found)


def cpu_seconds(processes: Sequence[int]) -> float | None:
    """The processor time that processes have used so far, in seconds; None if the kernel does not tell.

    :param processes: ids of processes; empty: this process.
    """
    total = 0
    try:
        for process in processes or [os.getpid()]:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    except (OSError, IndexError, ValueError):
        return None
    return total / os.sysconf("SC_CLK_TCK")


def _path(folder: str, process: int) -> Path:
    return Path(folder, f"stack-{process}")
