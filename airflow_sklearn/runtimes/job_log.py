"""Copying a job's log into its task's log."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.log_lines import is_error_next, is_last, split_level

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import JsonValue

    from airflow_sklearn.runtimes.base import JobHandle, Runtime

_TAIL = 20  # lines in the error of a job that left no result
_LINE = 500  # characters of each such line
_PAUSE = 1.0  # seconds between two looks for the last lines


class JobLog:
    """Copies a job's log into a task's log, each line once and at its level.

    If the log cannot be read, this is logged once, and stops nothing. The error that ends the job is not copied,
    because the task raises it.

    :param logger: the task's logger.
    :param seen: the ``state()`` of a log that another process has copied so far; None: nothing was copied.
    """

    def __init__(self, logger: Any, seen: Mapping[str, Any] | None = None) -> None:
        self._logger, self._level = logger, logging.INFO
        self._cursor: JsonValue = (seen or {}).get("cursor")
        self._complained, self._in_error = False, bool((seen or {}).get("in_error"))
        self.tail: deque[str] = deque((seen or {}).get("tail", ()), maxlen=_TAIL)

    def state(self) -> dict[str, JsonValue]:
        """The state as JSON, for a process that continues this log."""
        return {"cursor": self._cursor, "tail": list(self.tail), "in_error": self._in_error}

    def forward(self, runtime: Runtime, handle: JobHandle) -> bool:
        """Read and log new lines.

        :return: whether there were any.
        """
        try:
            lines, self._cursor = runtime.logs(handle, self._cursor)
        except Exception as error:
            if not self._complained:
                self._complained = True
                self._logger.warning("The job's log cannot be read now (%s). The job goes on.", error)
            return False
        self._complained = False
        self.add(lines, self._cursor)
        return bool(lines)

    def add(self, lines: Iterable[str], cursor: JsonValue) -> None:
        """Log lines that were read elsewhere, and remember the cursor after them."""
        self._cursor = cursor
        for line in lines:
            self.tail.append(_storable(line))
            self._level, text = split_level(line, self._level)
            self._in_error = (self._in_error or is_error_next(text)) and not is_last(text)
            if not self._in_error:
                self._logger.log(self._level, "%s", text)

    def drain(self, runtime: Runtime, handle: JobHandle) -> None:
        """Log the remaining lines of a job that has ended, and wait some seconds for late ones."""
        until = time.monotonic() + runtime.log_delay
        while True:
            news = self.forward(runtime, handle)
            if self._complained or (self.tail and is_last(self.tail[-1])):
                return
            if not news:
                if time.monotonic() >= until:
                    return
                time.sleep(_PAUSE)


def _storable(line: str) -> str:
    """A line, shortened, without characters that a metadata database refuses.

    The last lines travel in a trigger's event. PostgreSQL refuses NUL characters there, and the triggerer would crash.
    """
    return line.encode(errors="replace").decode().replace("\x00", "")[:_LINE]
