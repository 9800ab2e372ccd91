"""The first process of a pool's container: takes tasks, hands them to processes, renews what they hold, and reports."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import shutil
import socket
import tempfile
import threading
import time
from typing import TYPE_CHECKING

from airflow_sklearn.contract.pool import Control, Ready, Refused
from airflow_sklearn.exceptions import BrokenEnvironmentError, ForgedMessageError, ObjectNotFoundError, QueueGoneError
from airflow_sklearn.pools.folder import PoolFolder
from airflow_sklearn.pools.queues import open_queue
from airflow_sklearn.pools.software import differences, installed_software
from airflow_sklearn.storage.uris import split_scheme
from airflow_sklearn.worker.pool.slot import Slot
from airflow_sklearn.worker.pool.starts import Starts

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_sklearn.contract.jobs import PoolWorkerJob
    from airflow_sklearn.contract.pool import Report
    from airflow_sklearn.pools.queues import Message
    from airflow_sklearn.storage import Storage

_LOG = logging.getLogger("airflow_sklearn.worker")
_REPORTS_A_CALL = 10
_CONTROL_SECONDS = 2.0  # between two looks at what the driver says, at most
_RENEWALS = 3  # of a message within its visibility
_BEATS = 6  # looks within the time after which the driver is taken for dead


def serve_pool(job: PoolWorkerJob, storage: Storage) -> tuple[str, str]:
    """Work for a pool until it closes, is idle, or its driver is gone.

    :return: nothing: the results of tasks are sent to the driver.
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
    """Threads: one a task that may run at the same time, one that reports, one that renews and listens to the driver.

    :raises ObjectNotFoundError: there is no such pool any more.
    """

    def __init__(self, job: PoolWorkerJob, folder: PoolFolder) -> None:
        self.job, self.folder = job, folder
        self.seal = folder.seal()
        self.tasks, self._reports = open_queue(job.tasks), open_queue(job.reports)
        self.starts = Starts(folder, job.worker)
        self.suspect = threading.Lock()
        """Held while a task runs that has come before: only one at a time does, in a container."""
        self.over = threading.Event()
        self.opened = False
        """Whether the queue has been there."""
        self._outbox: queue.SimpleQueue[tuple[Report, Message | None] | None] = queue.SimpleQueue()
        self._control = Control(beat=-1)
        self._orphaned = False
        self._heard, self._busy = time.monotonic(), time.monotonic()
        self._cache = _make_cache(folder.uri, job.worker)
        self._slots = [Slot(self, self._cache) for _ in range(job.processes)]
        self._reporter = threading.Thread(target=self._guarded, args=(self._send_reports,), name="reports", daemon=True)

    def __enter__(self) -> PoolWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for slot in self._slots:
            slot.close()
        if self._orphaned:
            self._remove_pool()
        shutil.rmtree(self._cache, ignore_errors=True)

    def run(self) -> None:
        """:raises BrokenEnvironmentError: the software here does not fit the driver's."""
        self._listen()
        self._reporter.start()
        threading.Thread(target=self._guarded, args=(self._keep,), name="keeper", daemon=True).start()
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
                return

    # --- for slots ---

    def is_cancelled(self, call: str) -> bool:
        return call in self._control.cancelled

    def report(self, report: Report, message: Message | None) -> None:
        """Tell the driver, and then delete the message that the task came with."""
        self._outbox.put((report, message))

    # --- threads ---

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except QueueGoneError:
            _LOG.info("The pool's queues are gone: it is closed.")
        except Exception as error:
            if not self.over.is_set():
                _LOG.exception("The worker cannot go on: %s", error)
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
            bodies = [self.seal.close("report", report.model_dump_json()) for report, _ in batch]
            self._patiently(lambda bodies=bodies: self._reports.send(bodies))  # type: ignore[misc]
            done = [message for _, message in batch if message is not None]
            if done:
                self.tasks.delete(done)

    def _patiently(self, call: Callable[[], None]) -> None:
        """Until the queue is there: the driver makes it when it has started the first container."""
        while not self.over.is_set():
            try:
                call()
                self.opened = True
                return
            except QueueGoneError:
                if self.opened:
                    raise
                self.over.wait(0.2)

    def _keep(self) -> None:
        visibility = self.job.visibility_seconds
        interval = min(visibility / _RENEWALS, self.job.driver_seconds / _BEATS, _CONTROL_SECONDS)
        renewed = time.monotonic()
        while not self.over.wait(interval):
            self._listen()
            for slot in self._slots:
                slot.look()
            if time.monotonic() - renewed + interval > visibility / _RENEWALS:
                held = [message for slot in self._slots for message in slot.held()]
                if held:
                    self.tasks.renew(held, visibility)
                renewed = time.monotonic()

    def _listen(self) -> None:
        """What the driver says. When it has said nothing for long, it is dead, and the pool's remains are removed."""
        try:
            sealed = self.folder.storage.read(self.folder.control_uri).decode()
            control = Control.model_validate_json(self.seal.open("control", sealed))
        except ObjectNotFoundError:
            _LOG.info("The pool is closed, and its folder is gone.")
            self.over.set()
            return
        except ForgedMessageError as error:
            _LOG.error("What the driver seems to say is not read: %s", error)
        except Exception as error:  # storage is out of reach for a moment
            _LOG.warning("What the driver says could not be read: %s", error)
        else:
            if control.beat > self._control.beat:
                self._control, self._heard = control, time.monotonic()
        if self._control.closing:
            _LOG.info("The driver closes the pool.")
            self.over.set()
        elif time.monotonic() - self._heard > self.job.driver_seconds:
            _LOG.warning("No sign of the driver's life for %.0f s: the pool is removed.", self.job.driver_seconds)
            self._orphaned = True
            self.over.set()

    def _remove_pool(self) -> None:
        """Every worker that is left does it; what another one has removed is no error."""
        for step in (self.tasks.destroy, self._reports.destroy, self.folder.remove):
            try:
                step()
            except Exception as error:
                _LOG.warning("The pool %s could not be removed: %s", self.folder.uri, error)


def _make_cache(folder: str, worker: str) -> str:
    """A folder of this container; of a pool on this machine's disk, in the pool's own, so that it goes with it."""
    scheme, path = split_scheme(folder)
    if scheme != "file":
        return tempfile.mkdtemp(prefix="airflow-sklearn-pool-")
    cache = os.path.join(path, "caches", f"{worker}-{os.getpid()}")
    with contextlib.suppress(FileExistsError):
        os.makedirs(cache)
    return cache
