"""Progress of jobs on this machine: a bar on a terminal, lines elsewhere. Both are made of the jobs' own log lines."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.log_lines import is_error_next, is_last, split_level
from airflow_sklearn.contract.progress_lines import RowProgress, StepProgress, parse
from airflow_sklearn.runtimes.local.runtime import LocalRuntime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pydantic import JsonValue

    from airflow_sklearn.runtimes.base import JobHandle, JobStatus

Line = tuple[int, str]


@dataclass(repr=False)
class WatchedRuntime(LocalRuntime):
    """A ``LocalRuntime`` that hands on the lines of its jobs' logs while they are polled.

    :param listener: called with the level and the text of each line, in order. The error that ends a job is left out,
        because the command prints it.
    """

    listener: Callable[[int, str], None] | None = None

    def __post_init__(self) -> None:
        """See ``LocalRuntime``."""
        super().__post_init__()
        self._cursors: dict[str, JsonValue] = {}
        self._silent: set[str] = set()

    def poll(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        """See ``Runtime.poll``."""
        found = super().poll(handles)
        for handle in handles:
            lines, self._cursors[handle.job_uri] = self.logs(handle, self._cursors.get(handle.job_uri))
            for line in lines:
                self._hand_on(handle.job_uri, *split_level(line))
        return found

    def _hand_on(self, job: str, level: int, text: str) -> None:
        if is_last(text) or job in self._silent:
            return
        if is_error_next(text):
            self._silent.add(job)
        elif self.listener is not None:
            self.listener(level, text)


class TextProgress:
    """Progress as lines of text, for logs and pipes.

    :param file: where they go.
    """

    def __init__(self, file: Any) -> None:
        self._file = file

    def line(self, level: int, text: str) -> None:
        """Print a line of a job's log."""
        print(text, file=self._file, flush=True)

    def chunk(self, number: int, total: int, label: str) -> None:
        """Print which chunk begins."""
        print(f"Chunk {number} of {total}: {label}", file=self._file, flush=True)

    def done_before(self, size: int) -> None:
        """Count a chunk that was computed before."""


class BarProgress:
    """Progress as a bar of rich: of bytes, with the rows that are done. Other lines are printed above it.

    :param bar: the bar.
    :param total: bytes of all chunks; 0: the job says how many.
    """

    def __init__(self, bar: Any, total: int) -> None:
        self._bar, self._total = bar, total
        self._task = bar.add_task("Starting", total=total or None, rows="")
        self._before_bytes, self._before_rows, self._size, self._rows = 0.0, 0, 0.0, 0

    def line(self, level: int, text: str) -> None:
        """Move the bar if a line tells progress; else print it."""
        told = parse(text)
        if isinstance(told, RowProgress):
            self._move(told)
        elif isinstance(told, StepProgress):
            self._bar.update(
                self._task, description=told.what, completed=told.done, total=told.total, rows=told.note[:_NOTE]
            )
        else:
            self._bar.console.print(text, markup=False, highlight=False)

    def _move(self, told: RowProgress) -> None:
        self._rows, self._size = told.rows, told.share * told.total
        rows = f"{self._before_rows + told.rows:,} rows, {told.rate:,.0f} rows/s"
        whole = self._total or told.total
        what = self._what if self._total else told.what or "Reading"
        done = min(self._before_bytes + self._size, whole)
        self._bar.update(self._task, description=what, completed=done, total=whole, rows=rows)

    _what = "Predicting"

    def chunk(self, number: int, total: int, label: str) -> None:
        """Begin a chunk."""
        self._before_bytes, self._before_rows = self._before_bytes + self._size, self._before_rows + self._rows
        self._size, self._rows = 0.0, 0
        self._what = f"Chunk {number} of {total}"
        self._bar.update(self._task, description=self._what)

    def done_before(self, size: int) -> None:
        """Count a chunk that was computed before."""
        self._size = float(size)


_NOTE = 60  # characters beside the bar


@contextlib.contextmanager
def shown(total: int = 0) -> Iterator[TextProgress | BarProgress]:
    """Within the context, progress is shown on the standard error: as a bar on a terminal, else as lines.

    :param total: bytes of all chunks; 0: the job says how many.
    """
    if not sys.stderr.isatty():
        yield TextProgress(sys.stderr)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        yield BarProgress(bar, total)


def watched_runtime(
    listener: Callable[[int, str], None], aws_conn_id: str | None, python: str | None, processes: int | None
) -> WatchedRuntime:
    """The runtime of this machine, which reports progress often enough for a bar.

    :param listener: see ``WatchedRuntime``.
    :param aws_conn_id: the Airflow connection whose credentials jobs get; None: the environment's.
    """
    from airflow_sklearn.cli.access import aws_access
    from airflow_sklearn.contract.progress_lines import SECONDS_VARIABLE

    env = {SECONDS_VARIABLE: "0.5"} if sys.stderr.isatty() else {}
    runtime = WatchedRuntime(python=python, processes=processes, env=env, listener=listener)
    return runtime.bind(aws_access(aws_conn_id)) if aws_conn_id else runtime
