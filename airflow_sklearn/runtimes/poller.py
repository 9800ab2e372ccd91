"""One poller for many jobs: a thousand deferred chunks cost a few calls a tick, not a thousand."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakKeyDictionary

from airflow_sklearn.runtimes.base import JobState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from pydantic import JsonValue

    from airflow_sklearn.runtimes.base import JobHandle, JobStatus

    Poll = Callable[[Sequence[JobHandle]], Awaitable[list[JobStatus]]]
    Logs = Callable[[JobHandle, JsonValue], Awaitable[tuple[list[str], JsonValue]]]

log = logging.getLogger(__name__)

JITTER = 0.2  # share of an interval by which polls are moved, so that pollers of many triggerers drift apart
LONGEST_PAUSE = 120.0  # seconds between two polls, however many have failed
LOGS_A_TICK = 2  # jobs whose logs are read after a poll
GATHERING = 0.5  # seconds before the first poll: triggers that start together are polled together


def backoff(interval: float, failures: int) -> float:
    """Seconds to the next poll: the interval, doubled for each failure in a row, with jitter."""
    pause = min(interval * 2.0**failures, max(interval, LONGEST_PAUSE))
    return pause * random.uniform(1 - JITTER, 1 + JITTER)


@dataclass(frozen=True)
class Sighting:
    """What a watcher learns: a status, or lines of the running job's log."""

    status: JobStatus | None = None
    lines: Sequence[str] = ()
    cursor: JsonValue = None
    """Of the log, after the lines."""


@dataclass
class _Watcher:
    handle: JobHandle
    news: asyncio.Queue[Sighting | Exception] = field(default_factory=asyncio.Queue)
    running: bool = False
    cursor: JsonValue = None


class SharedPoller:
    """Polls all jobs of one key in one event loop. Lives as long as somebody watches.

    Running jobs' logs are read in turn, a few jobs a tick: one job's log is followed closely, a thousand jobs' logs
    cost no more than one's.

    :param poll: ``Runtime.poll``, as a coroutine.
    :param logs: ``Runtime.logs``, as a coroutine.
    :param give_up_after: seconds without one successful poll after which every watcher gets the error.
    """

    _pollers: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, SharedPoller]]] = WeakKeyDictionary()

    def __init__(self, poll: Poll, logs: Logs, interval: float, *, give_up_after: float = 900.0) -> None:
        self._poll, self._logs, self._interval, self._give_up_after = poll, logs, interval, give_up_after
        self._watchers: dict[int, _Watcher] = {}
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def shared(cls, key: str, poll: Poll, logs: Logs, interval: float) -> SharedPoller:
        """The poller of a key in the running event loop; made on first use."""
        pollers = cls._pollers.setdefault(asyncio.get_running_loop(), {})
        poller = pollers.setdefault(key, cls(poll, logs, interval))
        poller._interval = min(poller._interval, interval)
        return poller

    async def watch(self, handle: JobHandle) -> AsyncIterator[Sighting]:
        """Everything that is seen of a job; a finished status comes last.

        :raises Exception: what the runtime's ``poll`` raised, when it has failed for ``give_up_after`` seconds.
        """
        watcher = _Watcher(handle)
        self._watchers[id(watcher)] = watcher
        if self._task is None or self._task.done():
            # An empty context: the poller's log lines belong to no single trigger.
            self._task = asyncio.create_task(self._run(), context=contextvars.Context())
        try:
            while True:
                item = await watcher.news.get()
                if isinstance(item, Exception):
                    raise item
                yield item
                if item.status is not None and item.status.state.finished:
                    return
        finally:
            self._watchers.pop(id(watcher), None)

    async def _run(self) -> None:
        failures, good = 0, time.monotonic()
        await asyncio.sleep(min(GATHERING, self._interval))
        while self._watchers:
            watchers = list(self._watchers.values())
            handles = {watcher.handle.job_uri: watcher.handle for watcher in watchers}
            try:
                statuses = dict(zip(handles, await self._poll(list(handles.values())), strict=True))
            except Exception as error:
                failures += 1
                log.warning("Polling %d jobs failed (%d in a row): %s", len(handles), failures, error)
                if time.monotonic() - good > self._give_up_after:
                    for watcher in list(self._watchers.values()):
                        watcher.news.put_nowait(error)
                    return
            else:
                failures, good = 0, time.monotonic()
                for watcher in watchers:
                    status = statuses[watcher.handle.job_uri]
                    watcher.running = status.state is JobState.RUNNING
                    if status.state is not JobState.UNKNOWN:
                        watcher.news.put_nowait(Sighting(status))
                await self._read_some_logs()
            await asyncio.sleep(backoff(self._interval, failures))

    async def _read_some_logs(self) -> None:
        running = [key for key, watcher in self._watchers.items() if watcher.running][:LOGS_A_TICK]
        for key in running:
            watcher = self._watchers.pop(key, None)
            if watcher is None:  # it has left meanwhile
                continue
            self._watchers[key] = watcher  # to the end of the line
            try:
                lines, watcher.cursor = await self._logs(watcher.handle, watcher.cursor)
            except Exception as error:
                log.info("The log of %s could not be read this time: %s", watcher.handle.job_uri, error)
                return
            if lines:
                watcher.news.put_nowait(Sighting(lines=lines, cursor=watcher.cursor))
