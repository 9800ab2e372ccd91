"""Sending a job's output to a log stream in CloudWatch, as it appears. Problems here never stop a job.

Limits: "PutLogEvents" in the Amazon CloudWatch Logs API Reference.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

from airflow_sklearn.system.retry import retry

if TYPE_CHECKING:
    from typing import Self

_LOG = logging.getLogger("airflow_sklearn.host")
_EVENTS = 10_000  # of a call
_BYTES = 1_048_576  # of a call; each event counts 26 bytes more than its text
_EVENT_OVERHEAD = 26
_EVENT_BYTES = 262_144 - _EVENT_OVERHEAD
_GATHERING = 0.5  # seconds for which lines are gathered into one call
_WAITING_LINES = 100_000  # lines kept while CloudWatch does not answer; further lines are dropped, and counted
_PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds between attempts
_LAST_SECONDS = 30.0  # for sending the remaining lines at the end


class LogShipper:
    """Sends lines to CloudWatch while the context is open, and prints them, so that the instance's console shows them
    too.

    :param group: the log group, which must exist; empty: lines are only printed.
    :param stream: the log stream; it is made when it is first needed.
    :param region: the region; None: boto3's own setting.
    :param client: a boto3 client for ``logs``; None: one with the instance's role.
    """

    def __init__(self, group: str, stream: str, region: str | None = None, client: Any = None) -> None:
        self._where = {"logGroupName": group, "logStreamName": stream}
        self._region, self._client = region, client
        self._lines: queue.Queue[tuple[int, str] | None] = queue.Queue(_WAITING_LINES)
        self._lost = 0
        self._thread: threading.Thread | None = None
        if group and stream:
            self._thread = threading.Thread(target=self._run, name="log-shipper", daemon=True)

    def __enter__(self) -> Self:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        if self._thread is None:
            return
        try:
            self._lines.put(None, timeout=_LAST_SECONDS)
            self._thread.join(_LAST_SECONDS)
        except queue.Full:
            pass
        if self._thread.is_alive() or self._lost:
            _LOG.warning("Some lines are missing in the log stream %s.", self._where["logStreamName"])

    def write(self, line: str) -> None:
        """Add a line. It never blocks."""
        print(line, flush=True)
        if self._thread is None:
            return
        try:
            self._lines.put_nowait((int(time.time() * 1000), _message(line)))
        except queue.Full:
            self._lost += 1

    def _run(self) -> None:
        try:
            self._make_stream()
        except Exception as error:
            _LOG.warning("No log stream %s: %s", self._where, error)
            self._lost += 1
            self._drop_all()
            return
        goes_on = True
        while goes_on:
            events, goes_on = self._gather()
            for batch in batches(events):
                self._send(batch)

    def _gather(self) -> tuple[list[tuple[int, str]], bool]:
        """The lines that arrive within 0.5 seconds, and whether more may follow."""
        first = self._lines.get()
        if first is None:
            return [], False
        events, until = [first], time.monotonic() + _GATHERING
        while len(events) < _EVENTS:
            try:
                event = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if event is None:
                return events, False
            events.append(event)
        return events, True

    def _make_stream(self) -> None:
        if self._client is None:
            import boto3

            self._client = boto3.client("logs", region_name=self._region)
        try:
            self._client.create_log_stream(**self._where)
        except self._client.exceptions.ResourceAlreadyExistsException:
            return

    def _send(self, batch: list[tuple[int, str]]) -> None:
        events = [{"timestamp": moment, "message": text} for moment, text in batch]
        try:
            retry(lambda: self._client.put_log_events(**self._where, logEvents=events), _PAUSES)
        except Exception as error:
            _LOG.warning("%d lines could not be sent to CloudWatch: %s", len(events), error)
            self._lost += len(events)

    def _drop_all(self) -> None:
        while self._lines.get() is not None:
            self._lost += 1


def _message(line: str) -> str:
    """A line, shortened to the size of an event. CloudWatch refuses empty ones."""
    return line.encode()[:_EVENT_BYTES].decode(errors="ignore") or " "


def batches(events: list[tuple[int, str]]) -> list[list[tuple[int, str]]]:
    """Cut events into groups that one call accepts."""
    made: list[list[tuple[int, str]]] = []
    room = 0
    for event in events:
        size = len(event[1].encode()) + _EVENT_OVERHEAD
        if size > room or len(made[-1]) == _EVENTS:
            made.append([])
            room = _BYTES
        made[-1].append(event)
        room -= size
    return made
