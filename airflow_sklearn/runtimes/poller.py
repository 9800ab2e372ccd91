"""One poller for many jobs: a thousand deferred chunks cost a few calls an interval, not a thousand.

How often it polls: ``Runtime.default_poll_interval``, or the operator's ``poll_interval``.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, TypeVar
from weakref import WeakKeyDictionary

from airflow_sklearn.runtimes.base import JobState, JobStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from pydantic import JsonValue

    from airflow_sklearn.runtimes.base import JobHandle

    Poll = Callable[[Sequence[JobHandle]], Awaitable[list[JobStatus]]]
    Logs = Callable[[JobHandle, JsonValue], Awaitable[tuple[list[str], JsonValue]]]

log = logging.getLogger(__name__)

_T = TypeVar("_T")

JITTER = 0.2  # the largest random change of an interval, as a share, so that many triggerers do not poll together
LONGEST_PAUSE = 120.0  # seconds between two polls, however many have failed
LOGS_A_TICK = 2  # jobs whose logs are read after a poll
GATHERING = 0.5  # seconds before the first poll: triggers that start together are polled together
GIVE_UP_AFTER = 900.0  # seconds for which polls may fail, or not find a job
LONGEST_CALL = 300.0  # seconds after which a call counts as failed, though its thread may hang for ever
LONGEST_LOG = 60.0  # seconds for reading one job's log; polls wait for it


def backoff(interval: float, failures: int) -> float:
    """Seconds to the next poll: the interval, doubled for each failure in a row, with jitter.

    :param interval: seconds.
    :param failures: the number of failures in a row.
    """
    pause = min(interval * 2.0**failures, max(interval, LONGEST_PAUSE))
    return pause * random.uniform(1 - JITTER, 1 + JITTER)


async def bounded(call: Awaitable[_T], seconds: float) -> _T:
    """Wait for a blocking call in a thread, for a limited time. A thread that hangs is left alone.

    The call is an asyncio task of its own: if it is cancelled, the caller is not.

    :param seconds: the longest time to wait.
    :raises TimeoutError: the call took longer.
    :raises ConnectionAbortedError: the call was cancelled.
    """
    task = asyncio.ensure_future(call)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()  # no effect if it is done
    if not done:
        raise TimeoutError(f"no answer for {seconds:,.0f} s")
    if task.cancelled():
        raise ConnectionAbortedError("the call was cancelled")
    return task.result()


@dataclass(frozen=True)
class Sighting:
    """News of a job for its watcher: a status, or lines of the running job's log."""

    status: JobStatus | None = None
    lines: Sequence[str] = ()
    cursor: JsonValue = None
    """Of the log, after the lines."""


@dataclass
class _Watcher:
    handle: JobHandle
    interval: float
    """Seconds between two polls that it asks for."""
    news: asyncio.Queue[Sighting | Exception] = field(default_factory=asyncio.Queue)
    running: bool = False
    cursor: JsonValue = None
    seen_at: float = field(default_factory=time.monotonic)
    """When a poll last saw the job."""


class SharedPoller:
    """Polls all jobs of one key in one event loop, at the shortest interval that any of its watchers asks for.

    It ends with its last watcher; the next one gets a new poller.

    The logs of running jobs are read in turn, a few after each poll: one job's log is followed closely, and a thousand
    jobs' logs cost no more than one's.

    No watcher waits for ever: a call may take ``longest_call`` seconds, a job that is not found for ``give_up_after``
    seconds is lost, and all watchers get an error if the poller itself ends.

    :param poll: ``Runtime.poll``, as a coroutine.
    :param logs: ``Runtime.logs``, as a coroutine.
    :param give_up_after: seconds of failing polls after which every watcher gets the error. If polls succeed but do not
        find a job, the job is lost after these seconds.
    :param longest_call: the most seconds that ``poll`` may take.
    """

    _pollers: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, SharedPoller]]] = WeakKeyDictionary()

    def __init__(
        self,
        poll: Poll,
        logs: Logs,
        *,
        give_up_after: float = GIVE_UP_AFTER,
        longest_call: float = LONGEST_CALL,
    ) -> None:
        self._poll, self._logs = poll, logs
        self._give_up_after = give_up_after
        self._longest_call, self._longest_log = longest_call, min(longest_call, LONGEST_LOG)
        self._watchers: dict[int, _Watcher] = {}
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def shared(cls, key: str, poll: Poll, logs: Logs) -> SharedPoller:
        """The poller of a key in the running event loop. It is made if there is none."""
        pollers = cls._pollers.setdefault(asyncio.get_running_loop(), {})
        return pollers.setdefault(key, cls(poll, logs))

    async def watch(self, handle: JobHandle, interval: float) -> AsyncIterator[Sighting]:
        """Yield all news of a job; the final status comes last.

        :param handle: the job's handle.
        :param interval: the most seconds between two polls, unless polls fail.
        :raises Exception: the error of the runtime's ``poll`` if it failed for ``give_up_after`` seconds, or the error
            that ended the poller.
        """
        watcher = _Watcher(handle, interval)
        self._watchers[id(watcher)] = watcher
        if self._task is None or self._task.done():
            # An empty context, because the poller's log lines belong to no single trigger.
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
            if not self._watchers:
                self._leave_registry()

    @property
    def _interval(self) -> float:
        """Seconds between two polls: the shortest interval of all current watchers."""
        return min((watcher.interval for watcher in self._watchers.values()), default=0.0)

    def _leave_registry(self) -> None:
        """Remove this poller after its last watcher has left: the next watcher gets a new one."""
        pollers = self._pollers.get(asyncio.get_running_loop(), {})
        for key in [key for key, poller in pollers.items() if poller is self]:
            del pollers[key]

    async def _run(self) -> None:
        try:
            await self._poll_while_watched()
        except BaseException as error:
            self._tell_all(error if isinstance(error, Exception) else RuntimeError(f"The polling was ended: {error!r}"))
            if not isinstance(error, Exception):
                raise
            log.exception("The polling ended of an error.")

    async def _poll_while_watched(self) -> None:
        failures, good = 0, time.monotonic()
        await asyncio.sleep(min(GATHERING, self._interval))
        while self._watchers:
            watchers = list(self._watchers.values())
            handles = {watcher.handle.job_uri: watcher.handle for watcher in watchers}
            try:
                polled = await bounded(self._poll(list(handles.values())), self._longest_call)
                statuses = dict(zip(handles, polled, strict=True))
            except Exception as error:
                failures += 1
                log.warning("Polling %d jobs failed (%d in a row): %s", len(handles), failures, error)
                if time.monotonic() - good > self._give_up_after:
                    self._tell_all(error)
                    return
            else:
                failures, good = 0, time.monotonic()
                for watcher in watchers:
                    self._tell(watcher, statuses[watcher.handle.job_uri])
                await self._read_some_logs()
            await asyncio.sleep(backoff(self._interval, failures))

    def _tell(self, watcher: _Watcher, status: JobStatus) -> None:
        now = time.monotonic()
        watcher.running = status.state is JobState.RUNNING
        if status.state is not JobState.UNKNOWN:
            watcher.seen_at = now
            watcher.news.put_nowait(Sighting(status))
        elif now - watcher.seen_at > self._give_up_after:
            watcher.news.put_nowait(Sighting(JobStatus.of_unseen(now - watcher.seen_at, status)))

    def _tell_all(self, error: Exception) -> None:
        for watcher in list(self._watchers.values()):
            watcher.news.put_nowait(error)

    async def _read_some_logs(self) -> None:
        running = [key for key, watcher in self._watchers.items() if watcher.running][:LOGS_A_TICK]
        for key in running:
            watcher = self._watchers.pop(key, None)
            if watcher is None:  # the watcher has left meanwhile
                continue
            self._watchers[key] = watcher  # moved to the end of the order
            try:
                lines, watcher.cursor = await bounded(self._logs(watcher.handle, watcher.cursor), self._longest_log)
            except Exception as error:
                log.info("The log of %s could not be read this time: %s", watcher.handle.job_uri, error)
                return
            if lines:
                watcher.news.put_nowait(Sighting(lines=lines, cursor=watcher.cursor))
