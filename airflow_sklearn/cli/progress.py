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

    from airflow_sklearn.contract.plan import Chunk
    from airflow_sklearn.runtimes.base import JobHandle, JobStatus


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

    def chunk(self, number: int, total: int, chunk: Chunk, *, is_done: bool) -> None:
        """Print which chunk begins.

        :param number: its number, from 1 on, of ``total``.
        :param is_done: whether it was computed before, so that no job says more.
        """
        done = ", computed before" if is_done else ""
        print(f"Chunk {number} of {total}: {chunk.label}{done}", file=self._file, flush=True)


class BarProgress:
    """Progress as a bar of rich: of bytes, with the rows that are done. Other lines are printed above it.

    :param bar: the bar.
    :param total: bytes of all chunks; 0: steps and bytes as the job says them.
    """

    def __init__(self, bar: Any, total: int) -> None:
        self._bar, self._total = bar, total
        self._task = bar.add_task("Starting", total=total or None, rows="")
        self._bytes, self._rows = 0, 0
        """Those of the chunks before this one."""
        self._size, self._now = 0, 0
        """The bytes of this chunk, and its rows so far."""

    def line(self, level: int, text: str) -> None:
        """Move the bar if a line tells progress; else print it."""
        told = parse(text)
        if isinstance(told, RowProgress):
            self._move(told)
        elif isinstance(told, StepProgress):
            note = told.note[:_NOTE]
            self._bar.update(self._task, description=told.what, completed=told.done, total=told.total, rows=note)
        else:
            self._bar.console.print(text, markup=False, highlight=False)

    def _move(self, told: RowProgress) -> None:
        self._now = told.rows
        rows = f"{self._rows + told.rows:,} rows, {told.rate:,.0f} rows/s"
        if self._total:
            self._bar.update(self._task, completed=self._bytes + told.share * self._size, rows=rows)
        else:
            self._bar.update(self._task, description=told.what, completed=told.share, total=1.0, rows=rows)

    def chunk(self, number: int, total: int, chunk: Chunk, *, is_done: bool) -> None:
        """Begin a chunk. See ``TextProgress.chunk``."""
        self._bytes, self._rows = self._bytes + self._size, self._rows + self._now
        self._size, self._now = chunk.size, 0
        self._bar.update(self._task, description=f"Chunk {number} of {total}", completed=self._bytes)


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
