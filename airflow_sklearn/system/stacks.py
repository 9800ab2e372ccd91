"""Where a process is, asked for from outside, whatever it does."""

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

_WAIT = 0.5  # seconds that processes get to write
_SHOWN = 8000  # characters of each, the last ones: a process's main thread comes last


def offer_stack(folder: str) -> None:
    """Let ``stacks_of`` ask this process, which need not be able to run Python for it.

    :param folder: a local folder.
    """
    file = open(_path(folder, os.getpid()), "w")  # noqa: SIM115  the handler writes to it until the process ends
    faulthandler.register(signal.SIGUSR1, file=file, all_threads=True)


def stacks_of(folder: str, processes: Sequence[int]) -> str:
    """The Python stacks of this process, or of others that offer them.

    :param processes: their ids; none: this one.
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
    """Processor time that processes have taken so far; None where the kernel does not tell.

    :param processes: their ids; none: this one.
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
