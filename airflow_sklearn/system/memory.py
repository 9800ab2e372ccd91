"""Peak memory of a process and its children, counting shared pages once."""

from __future__ import annotations

import os

from airflow_sklearn.system.descendants import children_of
from airflow_sklearn.system.ticker import Ticker

_INTERVAL = 0.25  # seconds


class PeakMemory(Ticker):
    """Samples the proportional set size (PSS) of this process and its children while it is open.

    Sums of resident set sizes would count a model shared by forked processes once for each.
    Where the kernel does not tell PSS, they are summed all the same.
    """

    def __init__(self) -> None:
        super().__init__(_INTERVAL)
        self.bytes = 0

    def __exit__(self, *reason: object) -> None:
        super().__exit__(*reason)
        self.tick()

    def tick(self) -> None:
        self.bytes = max(self.bytes, sum(memory_of(process) for process in _family(os.getpid())))


def _family(process: int) -> list[int]:
    return [process, *(found for child in children_of(process) for found in _family(child))]


def memory_of(process: int) -> int:
    """Bytes that a process holds, of shared pages its share."""
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
