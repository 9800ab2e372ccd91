"""The containers of a pool: started when there is work, replaced when they are lost, stopped at the end."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_sklearn.exceptions import NoCapacityError, PoolError, ThrottledError
from airflow_sklearn.runtimes.base import JobState
from airflow_sklearn.runtimes.outcome import too_old
from airflow_sklearn.runtimes.poller import backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_sklearn.contract.jobs import PoolWorkerJob
    from airflow_sklearn.runtimes.base import JobHandle, JobStatus, Runtime

_LOG = logging.getLogger("airflow_sklearn.pool")

_AT_ONCE = 8  # containers that are started at the same time
_FAILED_STARTS = 3  # failures in a row after which the pool fails, if no container ever took a task
_DEATHS_IN_VAIN = 10  # lost containers in a row, without a finished task, after which the pool fails
_CAPACITY_PAUSE = 5.0  # seconds until a refused container is requested again; doubles, with jitter
_THROTTLE_PAUSE = 2.0  # seconds, the same for a throttle
_GIVE_UP_POLLING = 900.0  # seconds without a successful poll
_LOG_LINES = 20
_END_SECONDS = 5.0  # seconds to wait until stopped containers have ended


@dataclass
class _Container:
    worker: str
    handle: JobHandle
    is_ready: bool = False


class Fleet:
    """The containers of one pool.

    One thread at a time may call its methods, except ``ready`` and ``progress``. Several threads start containers.

    :param runtime: the runtime, bound to AWS if it needs that.
    :param make_job: stores the job of the worker with this number of starts and losses before it; returns the job's URI
        and the job.
    """

    def __init__(self, runtime: Runtime, make_job: Callable[[str, int, int], tuple[str, PoolWorkerJob]]) -> None:
        self._runtime, self._make_job = runtime, make_job
        self._running: dict[str, _Container] = {}
        self._starts: Counter[str] = Counter()
        self._losses: Counter[str] = Counter()
        self._unheard: dict[str, int] = {}
        """By worker: the refusals that its throttled request said. The repeat says the same, or both may be heard."""
        self._failed_starts = self._deaths_in_vain = self._refusals = 0
        self._throttles = self._poll_failures = 0
        self._refused_since = self._ask_again_at = 0.0
        self._last_poll = time.monotonic()
        self._lock = threading.Lock()
        """For what is counted; never held while a service is asked."""
        self._stopped = False
        self._stopping: list[_Container] = []

    def __len__(self) -> int:
        return len(self._running)

    @property
    def started(self) -> int:
        """The number of containers started so far."""
        return self._starts.total()

    def ready(self, worker: str) -> None:
        """A worker has reported that it takes tasks."""
        with self._lock:
            self._failed_starts = 0
            self._refusals = 0  # not before: an accepted container may still be refused for lack of capacity
            if found := self._running.get(worker):
                found.is_ready = True

    def progress(self) -> None:
        """A task has ended, whatever its result."""
        with self._lock:
            self._deaths_in_vain = 0

    def grow(self, wanted: int) -> None:
        """Start containers until there are ``wanted``.

        :raises PoolError: there was no capacity for any container for the runtime's ``capacity_timeout``.
        :raises UserError: the runtime will never accept such a container.
        """
        missing = wanted - len(self._running)
        if self._stopped or missing <= 0 or time.monotonic() < self._ask_again_at:
            return
        free = [str(number) for number in range(wanted) if str(number) not in self._running][:missing]
        _LOG.info("Starting %d containers; %d run.", len(free), len(self._running))
        # The first one alone: it finds faults that all would have, and common data are looked up once.
        self._start(free[0])
        if len(free) == 1 or time.monotonic() < self._ask_again_at:
            return
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="pool-start") as threads:
            list(threads.map(self._start, free[1:]))

    def look(self, *, has_work: bool = True) -> None:
        """See which containers have ended.

        :param has_work: tasks are open, so that no container has a reason to end by itself.
        :raises PoolError: they end again and again, and nothing is done.
        """
        containers = list(self._running.values())
        if not containers:
            self._last_poll = time.monotonic()
            return
        try:
            statuses = self._runtime.poll([one.handle for one in containers])
        except Exception as error:
            if time.monotonic() - self._last_poll > _GIVE_UP_POLLING:
                raise
            self._poll_failures += 1
            _LOG.warning("The containers' states could not be read (%d times in a row): %s", self._poll_failures, error)
            return
        self._last_poll, self._poll_failures = time.monotonic(), 0
        for container, status in zip(containers, statuses, strict=True):
            if status.state.finished:
                self._ended(container, status, has_work=has_work)

    def stop(self) -> None:
        """Stop all containers, several at a time, because a killed process has only a few seconds. None can be started
        any more.
        """
        with self._lock:
            self._stopped = True
            self._stopping = list(self._running.values())
            self._running.clear()
        left = deque(self._stopping)

        def cancel() -> None:
            with contextlib.suppress(IndexError):
                while True:
                    self._cancel(left.popleft().handle)

        # No executor: it takes no work any more when Python ends.
        helpers = [threading.Thread(target=cancel, name="pool-stop", daemon=True) for _ in self._stopping[1:_AT_ONCE]]
        with contextlib.suppress(RuntimeError):  # some Python versions start no threads then
            for helper in helpers:
                helper.start()
        cancel()
        for helper in helpers:
            if helper.ident is not None:
                helper.join()

    def wait(self) -> None:
        """Wait for some seconds until the stopped containers have ended."""
        until = time.monotonic() + _END_SECONDS
        while self._stopping and time.monotonic() < until:
            try:
                statuses = self._runtime.poll([one.handle for one in self._stopping])
            except Exception as error:
                _LOG.warning("Whether the containers have ended could not be found out: %s", error)
                return
            if all(status.state.finished for status in statuses):
                return
            time.sleep(0.1)

    def _start(self, worker: str) -> None:
        if self._stopped:
            return
        with self._lock:
            starts, losses = self._starts[worker], self._losses[worker]
            refusals = self._unheard.pop(worker, self._refusals)
        uri, job = self._make_job(worker, starts, losses)
        try:
            handle = self._runtime.submit(uri, job, survives_parent=True, capacity_refusals=refusals)
        except ThrottledError as error:  # says nothing about capacity
            self._throttled(worker, refusals, str(error))
            return
        except NoCapacityError as error:
            self._no_room(str(error))
            return
        with self._lock:
            self._throttles = 0
            self._starts[worker] += 1
            late = self._stopped  # another thread has stopped the fleet meanwhile
            if not late:
                self._running[worker] = _Container(worker, handle)
        if late:
            self._cancel(handle)

    def _cancel(self, handle: JobHandle) -> None:
        try:
            self._runtime.cancel(handle)
        except Exception as error:
            _LOG.warning("The container of %s could not be stopped: %s", handle.job_uri, error)

    def _throttled(self, worker: str, refusals: int, why: str) -> None:
        with self._lock:
            self._unheard[worker] = refusals
            pause = backoff(_THROTTLE_PAUSE, min(self._throttles, 4))
            self._throttles += 1
            self._ask_again_at = time.monotonic() + pause
        _LOG.warning("%s Asking again in %.0f s.", why, pause)

    def _no_room(self, why: str) -> None:
        with self._lock:
            now = time.monotonic()
            self._refused_since = self._refused_since if self._refusals else now
            self._refusals += 1
            refusals, pause = self._refusals, backoff(_CAPACITY_PAUSE, min(self._refusals - 1, 5))
            self._ask_again_at = now + pause
            in_vain = not self._running and now - self._refused_since > self._runtime.capacity_timeout
        if in_vain:
            raise PoolError(f"There was no room for a container of the pool, within its capacity_timeout: {why}")
        _LOG.warning("%s Asking again in %.0f s (%d times so far).", why, pause, refusals)

    def _ended(self, container: _Container, status: JobStatus, *, has_work: bool) -> None:
        with self._lock:
            self._running.pop(container.worker, None)
        if status.state is JobState.SUCCEEDED and (container.is_ready or not has_work):
            _LOG.info("Worker %s had nothing to do, and has ended.", container.worker)
            return
        if status.state is JobState.NO_CAPACITY:
            self._no_room(status.message)
            return
        if not container.is_ready and (reason := too_old(status.exit_code, ())):
            raise PoolError(reason)
        _LOG.warning("Worker %s is gone: %s", container.worker, status.message or status.state)
        by_itself = status.state in (JobState.FAILED, JobState.SUCCEEDED)  # not taken away
        with self._lock:
            self._losses[container.worker] += 1
            self._deaths_in_vain += 1
            self._failed_starts += not container.is_ready and by_itself
        if self._failed_starts >= _FAILED_STARTS:
            raise PoolError(
                f"{self._failed_starts} containers of the pool ended before they took a task. The last one: "
                f"{status.message or status.state}{self._log_of(container)}"
            )
        if self._deaths_in_vain >= _DEATHS_IN_VAIN + len(self._starts):
            raise PoolError(
                f"{self._deaths_in_vain} containers of the pool ended in a row, and no task with them. The last one: "
                f"{status.message or status.state}{self._log_of(container)}"
            )

    def _log_of(self, container: _Container) -> str:
        try:
            lines: Sequence[str] = self._runtime.logs(container.handle)[0][-_LOG_LINES:]
        except Exception as error:
            lines = [f"(its log could not be read: {error})"]
        return "".join(["\nIts last lines:", *(f"\n  {line}" for line in lines)]) if lines else ""
