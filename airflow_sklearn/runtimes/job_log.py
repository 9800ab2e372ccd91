"""A job's log in its task's log."""

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
_LINE = 500  # characters of each
_PAUSE = 1.0  # seconds between two looks for the last lines


class JobLog:
    """Copies a job's log into a task's log, each line once, at its level.

    Logs serve people: what cannot be read is said once, and stops nothing. The error that ends the job is not copied:
    the task raises it.

    :param logger: the task's.
    :param seen: what another process has copied already: the ``state()`` of its log.
    """

    def __init__(self, logger: Any, seen: Mapping[str, Any] | None = None) -> None:
        self._logger, self._level = logger, logging.INFO
        self._cursor: JsonValue = (seen or {}).get("cursor")
        self._complained, self._in_error = False, bool((seen or {}).get("in_error"))
        self.tail: deque[str] = deque((seen or {}).get("tail", ()), maxlen=_TAIL)

    def state(self) -> dict[str, JsonValue]:
        """For the process that goes on with this log."""
        return {"cursor": self._cursor, "tail": list(self.tail), "in_error": self._in_error}

    def forward(self, runtime: Runtime, handle: JobHandle) -> bool:
        """Log what is new.

        :return: whether there was anything.
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
        """Log lines that somebody else has read."""
        self._cursor = cursor
        for line in lines:
            self.tail.append(_storable(line))
            self._level, text = split_level(line, self._level)
            self._in_error = (self._in_error or is_error_next(text)) and not is_last(text)
            if not self._in_error:
                self._logger.log(self._level, "%s", text)

    def drain(self, runtime: Runtime, handle: JobHandle) -> None:
        """Log what is left of a job that has ended, waiting a little for lines that are late."""
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
    """As much of a line as an error needs, in characters that every metadata database takes.

    The tail travels in a trigger's event: PostgreSQL refuses a NUL there, and the triggerer would end of it.
    """
    return line.encode(errors="replace").decode().replace("\x00", "")[:_LINE]
