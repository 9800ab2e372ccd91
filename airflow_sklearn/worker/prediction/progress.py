"""Logging progress every few seconds: rows, rate, and remaining time."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import multiprocessing
import os
import signal
import time
from typing import Any

from airflow_sklearn.contract.progress_lines import RowProgress, remaining, seconds_between
from airflow_sklearn.exceptions import AirflowSklearnError
from airflow_sklearn.system.stacks import cpu_seconds, stacks_of
from airflow_sklearn.system.ticker import Ticker

STALLED = 300.0  # seconds without a finished row after which this is logged
STALLED_END = 1200.0  # seconds without a finished row and without processor time after which processes are killed
_IDLE = 0.01  # the share of processor time below which processes count as idle
_LOG = logging.getLogger("airflow_sklearn.worker")


class StalledError(AirflowSklearnError):
    """Predicting processes are stuck."""


class Progress(Ticker):
    """Counts rows and bytes of several processes, and logs a line every few seconds while the context is open.

    If no row was finished for ``STALLED`` seconds, it logs the processes' stacks. Processes that have not used the
    processor for ``STALLED_END`` seconds are stuck, for example at a lock that a thread held when the process was
    forked: they are killed, and ``stalled`` says why. Slow processes continue; their limit is ``deadline``.

    :param total: the bytes of the chunk's source.
    :param slices: the number of slices, each of which counts separately.
    :param folder: the local folder in which the processes offer their stacks.
    """

    def __init__(self, total: int, slices: int, folder: str = "") -> None:
        super().__init__(seconds_between())
        self._total, self._folder = total, folder
        self._processes: list[int] = []
        self._seen: tuple[int, int] = (0, 0)
        self._since = time.monotonic()
        self._idle_since, self._cpu = self._since, 0.0
        self._next_report = STALLED
        self.stalled: StalledError | None = None
        self._rows = multiprocessing.RawArray(ctypes.c_int64, slices)
        self._bytes = multiprocessing.RawArray(ctypes.c_int64, slices)
        self._started = time.monotonic()

    def advance(self, number: int, rows: int, size: int) -> None:
        """Count rows and bytes of slice ``number``. Called in the process that predicts it."""
        self._rows[number] += rows
        self._bytes[number] += size

    def watch(self, processes: list[int]) -> None:
        """Set the processes to watch.

        :param processes: ids of the predicting processes; empty: this process predicts.
        """
        self._processes = processes

    def __getstate__(self) -> dict[str, Any]:
        """The state for a spawned process, which only counts."""
        return {name: self.__dict__[name] for name in ("_total", "_rows", "_bytes", "_started")}

    def tick(self) -> None:
        """Log a line of progress, and look for processes that are stuck."""
        _LOG.info(self.line())
        self._look_for_stall(time.monotonic())

    def _look_for_stall(self, now: float) -> None:
        cpu, seen = cpu_seconds(self._processes), (sum(self._rows), sum(self._bytes))
        if seen != self._seen:
            self._seen, self._since, self._next_report = seen, now, STALLED
        if now == self._since or cpu is None or cpu - self._cpu > _IDLE * (now - self._idle_since):
            self._idle_since, self._cpu = now, cpu or 0.0
        if (quiet := now - self._since) < self._next_report:
            return
        self._next_report *= 2
        where = stacks_of(self._folder, self._processes)
        _LOG.warning("No row has been done for %.0f minutes. This is where the job is:\n%s", quiet / 60, where)
        if self._processes and min(quiet, now - self._idle_since) >= STALLED_END:
            self.stalled = StalledError(
                f"The predicting processes have done no row for {quiet / 60:.0f} minutes and do not use the processor: "
                "they wait for something that does not come. Fix: run the chunk in one process "
                f"(AIRFLOW_SKLEARN_PROCESSES=1), and see in the log where they were:\n{where}"
            )
            for process in self._processes:
                with contextlib.suppress(OSError):
                    os.kill(process, signal.SIGKILL)

    def line(self) -> str:
        """The progress in one line: rows, rate, and the remaining time."""
        rows, done, seconds = sum(self._rows), sum(self._bytes), time.monotonic() - self._started
        share = done / self._total if self._total else 1.0
        return RowProgress(rows, share, self._total, rows / seconds, remaining(share, 1, seconds)).line()
