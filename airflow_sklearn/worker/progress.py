"""Progress at a person's pace: rows, rate, and what remains."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import time

from airflow_sklearn.worker.ticker import Ticker

_INTERVAL = 5.0  # seconds between lines
_LOG = logging.getLogger("airflow_sklearn.worker")


class Progress(Ticker):
    """Counts rows and bytes over several processes, and logs a line every few seconds while it is open.

    :param total: bytes of source to go through.
    :param slices: processes that count, each into a place of its own.
    """

    def __init__(self, total: int, slices: int) -> None:
        super().__init__(_INTERVAL)
        self._total = total
        self._rows = multiprocessing.RawArray(ctypes.c_int64, slices)
        self._bytes = multiprocessing.RawArray(ctypes.c_int64, slices)
        self._started = time.monotonic()

    def advance(self, number: int, rows: int, size: int) -> None:
        """Called by slice ``number``, in whatever process it is."""
        self._rows[number] += rows
        self._bytes[number] += size

    def tick(self) -> None:
        _LOG.info(self.line())

    def line(self) -> str:
        rows, done, seconds = sum(self._rows), sum(self._bytes), time.monotonic() - self._started
        share = done / self._total if self._total else 1.0
        remains = f", about {seconds / share - seconds:,.0f} s remain" if 0 < share < 1 else ""
        return f"{rows:,} rows, {share:.0%} of {self._total / 1e6:,.1f} MB, {rows / seconds:,.0f} rows/s{remains}"
