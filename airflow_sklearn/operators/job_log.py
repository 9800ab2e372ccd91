"""A job's log in its task's log."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from airflow_sklearn.runtimes.log_lines import is_last, split_level

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import JsonValue

    from airflow_sklearn.runtimes.base import JobHandle, Runtime

_TAIL = 20  # lines in the error of a job that left no result
_PAUSE = 0.5  # seconds between two looks for the last lines


class JobLog:
    """Copies a job's log into a task's log, each line once, at its level.

    Logs serve people: what cannot be read is said once, and stops nothing.

    :param logger: the task's.
    :param seen: what another process has copied already: the ``state()`` of its log.
    """

    def __init__(self, logger: Any, seen: Mapping[str, Any] | None = None) -> None:
        self._logger, self._level = logger, logging.INFO
        self._cursor: JsonValue = (seen or {}).get("cursor")
        self._complained = False
        self.tail: deque[str] = deque((seen or {}).get("tail", ()), maxlen=_TAIL)

    def state(self) -> dict[str, JsonValue]:
        """For the process that goes on with this log."""
        return {"cursor": self._cursor, "tail": list(self.tail)}

    def forward(self, runtime: Runtime, handle: JobHandle) -> None:
        """Log what is new."""
        try:
            lines, self._cursor = runtime.logs(handle, self._cursor)
        except Exception as error:
            if not self._complained:
                self._complained = True
                self._logger.warning("The job's log cannot be read now (%s). The job goes on.", error)
            return
        self.add(lines, self._cursor)

    def add(self, lines: Iterable[str], cursor: JsonValue) -> None:
        """Log lines that somebody else has read."""
        self._cursor = cursor
        for line in lines:
            self.tail.append(line)
            self._level, text = split_level(line, self._level)
            self._logger.log(self._level, "%s", text)

    def drain(self, runtime: Runtime, handle: JobHandle) -> None:
        """Log what is left of a job that has ended, waiting a little for lines that are late."""
        give_up = time.monotonic() + runtime.log_delay
        self.forward(runtime, handle)
        while not self._complained and not (self.tail and is_last(self.tail[-1])) and time.monotonic() < give_up:
            time.sleep(_PAUSE)
            self.forward(runtime, handle)
