"""One poller for many jobs: a thousand deferred chunks cost a few calls a tick, not a thousand."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import time
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from airflow_sklearn.runtimes.base import JobHandle, JobStatus

log = logging.getLogger(__name__)

JITTER = 0.2  # share of an interval by which polls are moved, so that pollers of many triggerers drift apart
LONGEST_PAUSE = 120.0  # seconds between two polls, however many have failed
GATHERING = 0.5  # seconds before the first poll: triggers that start together are polled together


def backoff(interval: float, failures: int) -> float:
    """Seconds to the next poll: the interval, doubled for each failure in a row, with jitter."""
    pause = min(interval * 2.0**failures, max(interval, LONGEST_PAUSE))
    return pause * random.uniform(1 - JITTER, 1 + JITTER)


class SharedPoller:
    """Polls all jobs of one key in one event loop. Lives as long as somebody watches.

    :param poll: ``Runtime.poll``; runs in a thread.
    :param give_up_after: seconds without one successful poll after which every watcher gets the error.
    """

    _pollers: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, SharedPoller]]] = WeakKeyDictionary()

    def __init__(
        self, poll: Callable[[Sequence[JobHandle]], list[JobStatus]], interval: float, *, give_up_after: float = 900.0
    ) -> None:
        self._poll, self._interval, self._give_up_after = poll, interval, give_up_after
        self._watchers: dict[asyncio.Queue[JobStatus | Exception], JobHandle] = {}
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def shared(cls, key: str, poll: Callable[[Sequence[JobHandle]], list[JobStatus]], interval: float) -> SharedPoller:
        """The poller of a key in the running event loop; made on first use."""
        pollers = cls._pollers.setdefault(asyncio.get_running_loop(), {})
        poller = pollers.setdefault(key, cls(poll, interval))
        poller._interval = min(poller._interval, interval)
        return poller

    async def watch(self, handle: JobHandle) -> AsyncIterator[JobStatus]:
        """Every status that is seen, the last one finished.

        :raises Exception: what the runtime's ``poll`` raised, when it has failed for ``give_up_after`` seconds.
        """
        queue: asyncio.Queue[JobStatus | Exception] = asyncio.Queue()
        self._watchers[queue] = handle
        if self._task is None or self._task.done():
            # An empty context: the poller's log lines belong to no single trigger.
            self._task = asyncio.create_task(self._run(), context=contextvars.Context())
        try:
            while True:
                item = await queue.get()
                if isinstance(item, Exception):
                    raise item
                yield item
                if item.state.finished:
                    return
        finally:
            self._watchers.pop(queue, None)

    async def _run(self) -> None:
        failures, good = 0, time.monotonic()
        await asyncio.sleep(min(GATHERING, self._interval))
        while self._watchers:
            watchers = list(self._watchers.items())
            handles = {handle.job_uri: handle for _, handle in watchers}
            try:
                statuses = await asyncio.to_thread(self._poll, list(handles.values()))
                by_uri = dict(zip(handles, statuses, strict=True))
            except Exception as error:
                failures += 1
                log.warning("Polling %d jobs failed (%d in a row): %s", len(handles), failures, error)
                if time.monotonic() - good > self._give_up_after:
                    self._tell([(queue, error) for queue in self._watchers])
                    return
            else:
                failures, good = 0, time.monotonic()
                self._tell([(queue, by_uri[handle.job_uri]) for queue, handle in watchers])
            await asyncio.sleep(backoff(self._interval, failures))

    @staticmethod
    def _tell(news: Sequence[tuple[asyncio.Queue[JobStatus | Exception], JobStatus | Exception]]) -> None:
        for queue, item in news:
            queue.put_nowait(item)
