"""The first process of a pool's container: receives tasks, passes them to processes, renews their messages, and
reports.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import shutil
import socket
import threading
import time
from typing import TYPE_CHECKING

from airflow_sklearn.exceptions import (
    BrokenEnvironmentError,
    MessageRefusedError,
    ObjectNotFoundError,
    QueueGoneError,
)
from airflow_sklearn.pool.folder import PoolFolder
from airflow_sklearn.pool.messages import Control, Done, Failed, Lost, Ready, Refused
from airflow_sklearn.pool.queues import open_queue
from airflow_sklearn.pool.retry_budget import GIVE_UP_SECONDS, RetryBudget
from airflow_sklearn.pool.software import differences, installed_software
from airflow_sklearn.pool.worker.slot import Slot
from airflow_sklearn.pool.worker.starts import Starts
from airflow_sklearn.storage.uris import split_scheme
from airflow_sklearn.system.scratch import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_sklearn.contract.jobs import PoolWorkerJob
    from airflow_sklearn.pool.messages import Report
    from airflow_sklearn.pool.queues import Message
    from airflow_sklearn.storage import Storage

_LOG = logging.getLogger("airflow_sklearn.worker")
_REPORTS_A_CALL = 10
_CONTROL_SECONDS = 2.0  # the most seconds between two reads of the driver's control message
_RENEWALS = 3  # of a message within its visibility
_BEATS = 6  # reads within the driver_timeout
_SHORT_CHARACTERS = 1000
_PAUSE = 1.0  # seconds, after an error that may pass


def serve_pool(job: PoolWorkerJob, storage: Storage) -> tuple[str, str]:
    """Work for a pool until it closes, is idle, or its driver is gone.

    :return: two empty texts, in place of a result: the results of tasks are sent to the driver.
    :raises BrokenEnvironmentError: the software here does not fit the driver's.
    """
    try:
        worker = PoolWorker(job, PoolFolder(storage, job.folder))
    except ObjectNotFoundError:
        _LOG.info("The pool %s is closed already.", job.folder)
        return "", ""
    with worker:
        worker.run()
    return "", ""


class PoolWorker:
    """The worker's threads: one for each task that may run at the same time, one to report, one to renew, one to
    listen.

    :raises ObjectNotFoundError: the pool does not exist any more.
    """

    def __init__(self, job: PoolWorkerJob, folder: PoolFolder) -> None:
        self.job, self.folder = job, folder
        self.signer = folder.signer(job.key_sha256)
        self.tasks, self._reports = open_queue(job.tasks), open_queue(job.reports)
        self.starts = Starts(folder, job.worker)
        self.suspect = threading.Lock()
        """Held while a task runs that has come before: only one at a time does, in a container."""
        self.over = threading.Event()
        self.opened = False
        """Whether the queue has been there."""
        self._outbox: queue.SimpleQueue[tuple[Report, Message | None] | None] = queue.SimpleQueue()
        self._control = Control(beat=-1)
        self._silence = 0.0
        """Seconds between looks that went well, since the driver's last sign of life."""
        self._looked: float | None = None
        """When the last look went well, if none has failed since."""
        self._hearing = RetryBudget("What the driver says could not be read", max(GIVE_UP_SECONDS, job.driver_seconds))
        self._removes_pool = False
        self._error: Exception | None = None
        """What this worker cannot go on with."""
        self._busy = time.monotonic()
        self._cleanup = contextlib.ExitStack()
        cache = self._cleanup.enter_context(_cache_folder(folder.uri, job.worker))
        self._slots = [Slot(self, cache) for _ in range(job.processes)]
        self._reporter = threading.Thread(target=self._guarded, args=(self._send_reports,), name="reports", daemon=True)

    def __enter__(self) -> PoolWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for slot in self._slots:
            slot.close()
        self._cleanup.close()
        if self._removes_pool:
            self._remove_pool()

    def run(self) -> None:
        """Work until the pool is over.

        :raises BrokenEnvironmentError: the software here does not fit the driver's.
        :raises Exception: an error with which this worker cannot continue.
        """
        self._listen()
        self._reporter.start()
        for work in (self._keep, self._hear):
            threading.Thread(target=self._guarded, args=(work,), name=work.__name__.strip("_"), daemon=True).start()
        if problems := tuple(differences(self.job.software, installed_software())):
            self.report(Refused(worker=self.job.worker, problems=problems), None)
            self._outbox.put(None)
            self._reporter.join(self.job.driver_seconds)
            raise BrokenEnvironmentError("This is other software than the driver's: " + "; ".join(problems))
        self.report(Ready(worker=self.job.worker, host=socket.gethostname(), processes=self.job.processes), None)
        for slot in self._slots:
            threading.Thread(target=self._guarded, args=(slot.work,), name="slot", daemon=True).start()
        while not self.over.wait(1.0):
            if any(slot.is_busy for slot in self._slots):
                self._busy = time.monotonic()
            elif time.monotonic() - self._busy > self.job.idle_seconds:
                _LOG.info("No task came for %.0f s.", self.job.idle_seconds)
                break
        if self._error is not None:
            raise self._error

    # --- for slots ---

    def is_cancelled(self, call: str) -> bool:
        """Whether the driver has cancelled a call."""
        return call in self._control.cancelled

    def report(self, report: Report, message: Message | None) -> None:
        """Report to the driver, and then delete the task's message.

        :param message: the message; None: the report is on no task.
        """
        self._outbox.put((report, message))

    # --- threads ---

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except QueueGoneError:
            _LOG.info("The pool's queues are gone: it is closed.")
            self._listen()  # the driver may have been killed before it removed the rest
        except Exception as error:
            if not self.over.is_set():
                self._error = self._error or error
        finally:
            self.over.set()

    def _send_reports(self) -> None:
        while not self.over.is_set():
            first = self._outbox.get()
            batch = [] if first is None else [first]
            while batch and len(batch) < _REPORTS_A_CALL and not self._outbox.empty():
                if (following := self._outbox.get()) is not None:
                    batch.append(following)
            if not batch:
                return
            self._send([report for report, _ in batch])
            done = [message for _, message in batch if message is not None]
            if done:
                self._patiently(lambda done=done: self.tasks.delete(done))  # type: ignore[misc]

    def _send(self, reports: list[Report]) -> None:
        """Send reports. One that the queue refuses is replaced by a short one: else its task would be delivered for
        ever.
        """
        bodies = [self.signer.sign("report", report.model_dump_json()) for report in reports]
        try:
            self._patiently(lambda: self._reports.send(bodies))
        except MessageRefusedError as error:
            if len(reports) > 1:  # one by one, to find the refused one; a report that comes twice does no harm
                for report in reports:
                    self._send([report])
            elif (short := _in_short(reports[0], error)) is not None:
                _LOG.error("A report is replaced by a short one: %s", error)
                body = self.signer.sign("report", short.model_dump_json())
                self._patiently(lambda: self._reports.send([body]))
            else:
                raise

    def _patiently(self, call: Callable[[], None]) -> None:
        """Call a function until the queue exists (the driver makes it after it has started the first container).
        Errors may pass.
        """
        budget = RetryBudget("A report could not be sent")
        while not self.over.is_set():
            try:
                call()
                self.opened = True
                return
            except QueueGoneError:
                if self.opened:
                    raise
                self.over.wait(0.2)
            except Exception as error:
                budget.failed(error)
                self.over.wait(_PAUSE)

    def _keep(self) -> None:
        """Renew messages in a thread of its own, so that slow storage cannot delay it."""
        visibility = self.job.visibility_seconds
        interval = min(visibility / _RENEWALS, _CONTROL_SECONDS)
        renewed = time.monotonic()
        budget = RetryBudget("Tasks could not be renewed")
        while not self.over.wait(interval):
            try:
                for slot in self._slots:
                    slot.look()
                if time.monotonic() - renewed + interval > visibility / _RENEWALS:
                    held = [message for slot in self._slots for message in slot.held()]
                    if held:
                        self.tasks.renew(held, visibility)
                    renewed = time.monotonic()
                budget.succeeded()
            except Exception as error:
                budget.failed(error)

    def _hear(self) -> None:
        while not self.over.wait(min(self.job.driver_seconds / _BEATS, _CONTROL_SECONDS)):
            self._listen()

    def _listen(self) -> None:
        """Read the driver's control message. When the driver has closed the pool, or is dead, remove the pool.

        :raises Exception: the message could not be read for a long time. This does not mean that the driver is dead.
        """
        try:
            signed = self.folder.storage.read(self.folder.control_uri).decode()
            control = Control.model_validate_json(self.signer.verify("control", signed))
        except ObjectNotFoundError:
            _LOG.info("The pool is closed, and its folder is gone.")
            self._remove_at_end()
            return
        except Exception as error:  # forged, or the storage does not answer for a moment
            self._looked = None
            self._hearing.failed(error)
            return
        self._hearing.succeeded()
        before, self._looked = self._looked, time.monotonic()
        if control.beat > self._control.beat:
            self._control, self._silence = control, 0.0
        elif before is not None:
            self._silence += self._looked - before
        if self._control.closing:
            _LOG.info("The driver closes the pool.")
            self._remove_at_end()  # the driver does it too, if it lives
        elif self._silence > self.job.driver_seconds:
            _LOG.warning("No sign of the driver's life for %.0f s: the pool is removed.", self.job.driver_seconds)
            self._remove_at_end()

    def _remove_at_end(self) -> None:
        self._removes_pool = True
        self.over.set()

    def _remove_pool(self) -> None:
        """Remove the pool. Every remaining worker does it; objects that another one has removed are no error."""
        for step in (self.tasks.destroy, self._reports.destroy, self.folder.remove):
            try:
                step()
            except Exception as error:
                _LOG.warning("The pool %s could not be removed: %s", self.folder.uri, error)


def _in_short(report: Report, error: Exception) -> Report | None:
    """A short report in place of one that the queue refuses; None: there is none."""
    if not isinstance(report, Done | Failed | Lost):
        return None
    message = f"What became of the task could not be told: {error}"[:_SHORT_CHARACTERS]
    return Failed(task=report.task, worker=report.worker, type="MessageRefusedError", message=message)


@contextlib.contextmanager
def _cache_folder(folder: str, worker: str) -> Iterator[str]:
    """A folder of this container. For a pool on this machine's disk it is inside the pool's folder, and removed with
    it.
    """
    scheme, path = split_scheme(folder)
    if scheme != "file":
        with scratch_folder() as cache:
            yield cache
        return
    cache = os.path.join(path, "caches", f"{worker}-{os.getpid()}")
    os.makedirs(cache, exist_ok=True)
    try:
        yield cache
    finally:
        shutil.rmtree(cache, ignore_errors=True)
