"""Lines of a worker's log that tell progress: written by the worker, read by whoever shows a bar.

People read the same lines in a task's log; there is no second channel. A line is written when a step is done, and at
most every ten seconds while one is going on.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

DEFAULT_SECONDS = 10.0
#: The environment variable with the seconds between two lines about the same step, for those who show a bar.
SECONDS_VARIABLE = "AIRFLOW_SKLEARN_PROGRESS_SECONDS"

_REMAINS = re.compile(r", about ([\d,]+) s remain$")
_ROWS = re.compile(r"(?:(\w[\w ]*): )?([\d,]+) rows, (\d+)% of ([\d,.]+) MB, ([\d,]+) rows/s")
_STEP = re.compile(r"([A-Z][a-z ]*) ([\d,]+) of ([\d,]+)(?:: (.*))?", re.DOTALL)


class RowProgress(NamedTuple):
    """How far reading or predicting a table has come."""

    rows: int
    share: float
    """Of the source's bytes, from 0 to 1."""
    total: int
    """Bytes of the source."""
    rate: float
    """Rows per second."""
    remains: float | None = None
    """Seconds; None: unknown, or nothing remains."""
    what: str = ""
    """Such as ``Reading``; empty: predicting."""

    def line(self) -> str:
        """The progress in one line: rows, rate, and the remaining time."""
        what = f"{self.what}: " if self.what else ""
        size = f"{self.total / 1e6:,.1f} MB"
        return f"{what}{self.rows:,} rows, {self.share:.0%} of {size}, {self.rate:,.0f} rows/s{_remaining(self)}"


class StepProgress(NamedTuple):
    """How many steps of a kind are done, such as folds."""

    what: str
    """The kind of step: ``Fold``, ``Search step``."""
    done: int
    total: int
    note: str = ""
    """What the step has found."""
    remains: float | None = None
    """Seconds; None: unknown, or nothing remains."""

    def line(self) -> str:
        """The progress in one line: the step, what it has found, and the remaining time."""
        note = f": {self.note}" if self.note else ""
        return f"{self.what} {self.done:,} of {self.total:,}{note}{_remaining(self)}"


def parse(line: str) -> RowProgress | StepProgress | None:
    """The progress that a line tells; None: it tells none.

    :param line: a line of a worker's log without its level.
    """
    found = _REMAINS.search(line)
    remains = _number(found[1]) if found else None
    said = line[: found.start()] if found else line
    if row := _ROWS.fullmatch(said):
        what, rows, percent, size, rate = row.groups()
        return RowProgress(
            int(_number(rows)), int(percent) / 100, round(_number(size) * 1e6), _number(rate), remains, what or ""
        )
    if step := _STEP.fullmatch(said):
        return StepProgress(step[1], int(_number(step[2])), int(_number(step[3])), step[4] or "", remains)
    return None


def seconds_between() -> float:
    """The seconds between two lines about the same step: 10, unless the environment asks for another pace."""
    try:
        return max(0.1, float(os.environ[SECONDS_VARIABLE]))
    except (KeyError, ValueError):
        return DEFAULT_SECONDS


def remaining(done: float, total: float, seconds: float) -> float | None:
    """The seconds that remain if the rest goes on as before; None: unknown, or nothing remains.

    :param done: how much is done of ``total``.
    :param seconds: the time that it took.
    """
    return seconds / done * (total - done) if 0 < done < total else None


def _remaining(progress: RowProgress | StepProgress) -> str:
    return f", about {progress.remains:,.0f} s remain" if progress.remains is not None else ""


def _number(text: str) -> float:
    return float(text.replace(",", ""))
