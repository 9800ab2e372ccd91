"""Peak memory of a process and its children, counting shared pages once."""

from __future__ import annotations

import os

from airflow_sklearn.system.descendants import children_of
from airflow_sklearn.system.ticker import Ticker

_INTERVAL = 0.25  # seconds


class PeakMemory(Ticker):
    """Measures the peak memory of this process and its children while the context is open; ``bytes`` is the result.

    Every 0.25 seconds it adds up their proportional set sizes (PSS), in which a page shared by n processes counts 1/n
    to each. Resident set sizes, which would count a shared model once a process, are used only where the kernel has no
    PSS.
    """

    def __init__(self) -> None:
        super().__init__(_INTERVAL)
        self.bytes = 0

    def __exit__(self, *reason: object) -> None:
        super().__exit__(*reason)
        self.tick()

    def tick(self) -> None:
        """Measure once, and keep the result if it is the largest."""
        self.bytes = max(self.bytes, sum(memory_of(process) for process in _family(os.getpid())))


def _family(process: int) -> list[int]:
    return [process, *(found for child in children_of(process) for found in _family(child))]


def memory_of(process: int) -> int:
    """The memory of a process in bytes (PSS, else resident set size); 0 if the process has ended.

    :param process: its id.
    """
    try:
        with open(f"/proc/{process}/smaps_rollup") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    except (OSError, StopIteration):
        pass
    try:
        with open(f"/proc/{process}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
