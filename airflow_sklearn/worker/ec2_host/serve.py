"""Doing the jobs of a job queue in order, until it is full or no further job arrives."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_sklearn.contract import exit_codes
from airflow_sklearn.contract.document import content_id
from airflow_sklearn.contract.job_queue import JobEnd
from airflow_sklearn.runtimes.ec2.job_queue import CLOSED
from airflow_sklearn.storage import parent
from airflow_sklearn.system.retry import retry
from airflow_sklearn.worker.ec2_host.job_process import JobProcess
from airflow_sklearn.worker.ec2_host.log_shipper import LogShipper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_sklearn.contract.job_queue import QueueEntry
    from airflow_sklearn.runtimes.ec2.job_queue import JobQueue

_T = TypeVar("_T")

_LOG = logging.getLogger("airflow_sklearn.host")
_LOOK = 1.0  # seconds between two checks for the next job
_CANCEL_LOOK = 2.0  # seconds between two checks whether the job was cancelled
_PAUSES = (1.0, 5.0, 15.0, 30.0, 60.0)  # seconds between attempts to reach the job queue
_BEAT = 30.0  # seconds between two heartbeats
_LONGEST_STEP = 300.0  # seconds without a step after which this process counts as stuck
_LAST_BEAT = 5.0  # seconds to wait for a heartbeat that is being written
_TO_END = 60.0  # seconds that a worker gets to end in an orderly way; Airflow has given it up by then


def serve(
    queue: JobQueue,
    stop: Sequence[signal.Signals],
    *,
    idle_timeout: float,
    pins: Sequence[str] = (),
    log_group: str = "",
    log_region: str | None = None,
) -> None:
    """Do the jobs of a job queue.

    :param queue: the job queue.
    :param stop: the list from ``signals``. Once it has a signal, the running job is stopped, and no other one is
        started.
    :param idle_timeout: seconds to wait for the next job while there are free slots.
    :param pins: command line options by which each worker checks that its job is one for which the instance was
        launched. They are not in the queue, because whoever can write jobs could change them too.
    :param log_group: the log group in CloudWatch Logs; empty: none.
    :param log_region: the log group's region; None: boto3's own setting.
    """
    waiting = True
    with _beating(queue) as step:
        for slot in range(queue.slots):
            if stop:
                break
            entry = _next(queue, slot, idle_timeout if waiting else 0.0, stop, step)
            if entry == CLOSED:
                waiting = False  # a job may have taken a later slot before it could be closed
                continue
            if pins and not _is_own(queue, entry):
                end = JobEnd(
                    exit_code=exit_codes.BROKEN_ENVIRONMENT, message=f"{entry.job_uri} is no job of this pool."
                )
            else:
                end = _do(queue, slot, entry, LogShipper(log_group, entry.log_stream, log_region), stop, pins, step)
            if _retried(queue.entry, slot) is not None:  # else the queue has been removed: nobody will ask any more
                _retried(queue.set_end, slot, end)
    if stop:
        _LOG.warning("The instance is being stopped (%s).", stop[0].name)
        _leave(queue)


@contextlib.contextmanager
def signals() -> Iterator[list[signal.Signals]]:
    """The signals to stop that have arrived in the context; an empty list as long as there are none."""
    came: list[signal.Signals] = []

    def note(number: int, _: Any) -> None:
        came.append(signal.Signals(number))

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _beating(queue: JobQueue) -> Iterator[Callable[[], None]]:
    """Write heartbeats while the context is open. If the work makes no step for a long time, there are no heartbeats.

    :return: yields a function that the work must call at each step.
    """
    over, stepped = threading.Event(), [time.monotonic()]

    def step() -> None:
        stepped[0] = time.monotonic()

    def beat() -> None:
        while True:
            try:
                if queue.entry(0) is None:  # all of it has been removed
                    return
                if time.monotonic() - stepped[0] < _LONGEST_STEP:
                    queue.beat()
            except Exception as error:
                _LOG.warning("It could not be said that this instance lives: %s", error)
            if over.wait(_BEAT):
                return

    thread = threading.Thread(target=beat, name="beats", daemon=True)
    thread.start()
    try:
        yield step
    finally:
        over.set()
        thread.join(_LAST_BEAT)


def _next(
    queue: JobQueue, slot: int, seconds: float, stop: Sequence[signal.Signals], step: Callable[[], None]
) -> QueueEntry:
    """The job of a slot. The slot is closed if no job arrives in time."""
    give_up = time.monotonic() + seconds
    while (entry := _retried(queue.entry, slot)) is None:
        step()
        if stop or time.monotonic() > give_up:
            if _retried(queue.take, slot, CLOSED):
                return CLOSED
            continue
        time.sleep(_LOOK)
    return entry


def _is_own(queue: JobQueue, entry: QueueEntry) -> bool:
    """Whether a job is in the pool's folder for jobs, and its log goes to its own stream."""
    own_folder = parent(parent(queue.pool)) == parent(entry.job_uri)
    return own_folder and (not entry.log_stream or entry.log_stream.endswith(f"/{content_id([entry.job_uri])}"))


def _do(
    queue: JobQueue,
    slot: int,
    entry: QueueEntry,
    shipper: LogShipper,
    stop: Sequence[signal.Signals],
    pins: Sequence[str],
    step: Callable[[], None],
) -> JobEnd:
    if _is_cancelled(queue, slot):
        return JobEnd(exit_code=exit_codes.CANCELLED, message="It was cancelled before its turn came.")
    _LOG.info("Job %d of %d: %s", slot + 1, queue.slots, entry.job_uri)
    with shipper, JobProcess(entry.job_uri, shipper.write, pins) as job:
        asked, look_at = 0.0, time.monotonic() + _CANCEL_LOOK
        while job.runs():
            step()
            now = time.monotonic()
            # In a queue with one slot, the job is ended with its instance.
            if not asked and (stop or (queue.slots > 1 and now > look_at and _is_cancelled(queue, slot))):
                asked = now
                job.terminate()
            elif asked and now > asked + _TO_END:
                job.kill()
            look_at = now + _CANCEL_LOOK if now > look_at else look_at
        end = job.end()
    _LOG.info("Ended with exit code %s: %s", end.exit_code, entry.job_uri)
    return end


def _is_cancelled(queue: JobQueue, slot: int) -> bool:
    """Whether the job was cancelled. If that cannot be read, it was not."""
    try:
        return queue.is_cancelled(slot)
    except Exception as error:
        _LOG.warning("Whether the job is still wanted could not be seen: %s", error)
        return False


def _retried(call: Callable[..., _T], *arguments: Any) -> _T:
    """Storage that is out of reach for some minutes shall cost no job."""
    return retry(
        lambda: call(*arguments),
        _PAUSES,
        on_retry=lambda error, pause: _LOG.warning("The job queue is out of reach: %s", error),
    )


def _leave(queue: JobQueue) -> None:
    """Close the queue before the instance ends, so that nobody waits for it in vain."""
    if queue.entry(0) is None:  # all of it has been removed
        return
    queue.close()
    for slot in range(queue.slots):
        if queue.entry(slot) != CLOSED and queue.end(slot) is None:
            queue.set_end(slot, JobEnd(message="The instance was stopped before the job's turn came."))
