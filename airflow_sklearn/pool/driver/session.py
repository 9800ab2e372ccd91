"""One session of a pool, from its opening to its end: folder, key, queues, containers, and the threads for them."""

from __future__ import annotations

import itertools
import logging
import math
import os
import queue
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any

from airflow_sklearn.exceptions import (
    BrokenEnvironmentError,
    ForgedMessageError,
    PoolError,
    QueueGoneError,
)
from airflow_sklearn.pool.blobs import BlobReader, BlobWriter
from airflow_sklearn.pool.driver.arguments import Arguments
from airflow_sklearn.pool.driver.control import ControlFile
from airflow_sklearn.pool.driver.fleet import Fleet
from airflow_sklearn.pool.driver.task_messages import TaskMessages
from airflow_sklearn.pool.driver.tasks import OpenTasks, settle
from airflow_sklearn.pool.driver.worker_jobs import WorkerJobs
from airflow_sklearn.pool.folder import PoolFolder
from airflow_sklearn.pool.messages import REPORT, Done, Ready, Refused
from airflow_sklearn.pool.queues import open_queue
from airflow_sklearn.pool.retry_budget import GIVE_UP_SECONDS, RetryBudget, is_out_of_reach
from airflow_sklearn.pool.signing import Signer, new_key
from airflow_sklearn.pool.software import installed_software
from airflow_sklearn.storage import Storage, join
from airflow_sklearn.storage.uris import split_scheme
from airflow_sklearn.system.retry import retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_sklearn.contract.jobs import JobIdentity
    from airflow_sklearn.pool.driver.settings import PoolSettings
    from airflow_sklearn.pool.driver.tasks import PoolFuture
    from airflow_sklearn.pool.messages import Payload, Report
    from airflow_sklearn.pool.queues import Message
    from airflow_sklearn.runtimes.base import AwsAccess, Runtime

_LOG = logging.getLogger("airflow_sklearn.pool")

_POLL_SECONDS = 20.0  # seconds of one call that waits for reports
_REPORTS_A_CALL = 10
_REPORT_VISIBILITY = 120.0  # seconds; there is no other reader, and a report that comes twice is recognised
_TASKS_A_CALL = 10
_BEATS = 12  # signs of life within the driver_timeout
_SENDER_SECONDS = 5.0  # to wait at the end for arguments that are being stored


class Session:
    """The session begins with the first task. It ends when the pool closes, fails, or was idle for ``idle_timeout``.

    :param runtime: where the containers run, not bound to AWS.
    :param folder: the folder in which pools have their folders.
    :param workers: the number of tasks to run at the same time, at first.
    """

    def __init__(
        self,
        runtime: Runtime,
        folder: str,
        aws: AwsAccess,
        settings: PoolSettings,
        *,
        identity: JobIdentity,
        workers: int,
    ) -> None:
        self.settings, self._aws = settings, aws
        self.id = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(6)}"
        self.folder = PoolFolder(Storage(lambda: aws.client("s3")), join(folder, self.id))
        self._runtime = runtime.bind(aws)
        key = new_key()
        self._signer = Signer(key, self.folder.uri)
        self.control = ControlFile(self.folder, self._signer)
        tasks, reports = _queue_uris(self.folder.uri, self.id, self._runtime, aws)
        self._tasks_uri, self._reports_uri = tasks, reports
        self._tasks, self._reports = open_queue(tasks, aws.client), open_queue(reports, aws.client)
        self.blobs = BlobWriter(self.folder)
        self._blob_reader = BlobReader(self.folder, cache="")  # results are read, never mapped
        self._arguments = Arguments(self.blobs)
        self.open = OpenTasks()
        self._messages = TaskMessages(self._arguments, self._signer, self.open)
        self._workers = workers
        jobs = WorkerJobs(
            self.folder,
            self._signer,
            settings,
            identity,
            tasks,
            reports,
            installed_software(),
            # workers of a LocalRuntime share this machine's cores
            beside_others=(lambda: self._workers) if self._runtime.on_this_machine else None,
        )
        self.fleet = Fleet(self._runtime, jobs.store)
        self.error: BaseException | None = None
        self.bytes_fetched = 0
        self._outgoing: queue.SimpleQueue[PoolFuture | None] = queue.SimpleQueue()
        self._end_lock, self._cancel_lock = threading.Lock(), threading.Lock()
        self._ended, self._look = threading.Event(), threading.Event()
        self._idle_since = time.monotonic()
        self._process = os.getpid()
        self._sender: threading.Thread | None = None
        self._open(key)

    @property
    def ended(self) -> bool:
        """Whether the session has ended. In a process forked from the driver it has, because threads are not forked."""
        return self._ended.is_set() or os.getpid() != self._process

    def submit(self, future: PoolFuture, workers: int) -> None:
        """Run a task.

        :param future: the task's future.
        :param workers: the most containers for it and the other tasks.
        """
        self._workers = max(1, workers)
        with self._cancel_lock:
            if self.control.is_cancelled(future.call):  # workers would drop it without a report
                future.drop()
                return
            self.open.add(future)
        self._outgoing.put(future)
        if self.ended:  # it ended while the task was added
            self._settle_all(self.error or PoolError("The pool has been closed."))

    def cancel(self, call: str) -> None:
        """Kill the running tasks of a call, and do not start the others."""
        with self._cancel_lock:
            futures = self.open.pop_call(call)
            if futures:
                self.control.cancel(call)
        if futures:
            for future in futures:
                future.drop()
            self.control.write()

    def forget_arguments(self) -> None:
        """Forget the hashes of arrays, because they may be changed from now on."""
        self._arguments.forget()

    def end(self, error: BaseException | None = None) -> None:
        """Stop all containers, remove queues and folder, and give an error to waiting tasks. Only the first call has
        an effect.

        :param error: the cause of the pool's failure; None: it closes normally.
        """
        with self._end_lock:
            if self.ended:  # or this is a fork of the driver
                return
            self.error = error
            self._ended.set()
        self._look.set()
        self._outgoing.put(None)
        # Tell the workers first: if this process is killed meanwhile, they remove the rest.
        stop: BaseException | None = None
        for step in (
            lambda: self._settle_all(error or PoolError("The pool has been closed.")),
            self.control.close,
            self._tasks.destroy,
            self._reports.destroy,
            self.fleet.stop,
            self._wait_for_sender,
            self.folder.remove,
            self.fleet.wait,
            self.folder.remove,  # including objects that containers stored while they ended
        ):
            try:
                step()
            except Exception as problem:
                _LOG.warning("At the end of the pool %s: %s", self.folder.uri, problem)
            except BaseException as problem:  # for example a second signal: the other steps must still be taken
                stop = problem
        if stop is not None:
            raise stop
        _LOG.info("The pool %s is closed.", self.folder.uri)

    # --- opening ---

    def _open(self, key: bytes) -> None:
        """Start the first container before the queues are made: if this process is killed in between, a worker will
        clean up.
        """
        try:
            self.folder.make(key)
            self.control.write()
            self.fleet.grow(1)  # one alone: it finds faults that all would have
            self._tasks.create(self.settings.visibility_timeout)
            self._reports.create(_REPORT_VISIBILITY)
        except BaseException as error:
            self.end(error)
            raise
        _LOG.info("The pool %s is open.", self.folder.uri)
        works = (self._send, self._receive, self._keep_alive, self._watch)
        threads = [
            threading.Thread(target=self._guarded, args=(work,), name=f"pool-{work.__name__}", daemon=True)
            for work in works
        ]
        self._sender = threads[0]
        for thread in threads:
            thread.start()

    # --- threads ---

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            if not self.ended:
                error = self._gone() if isinstance(error, QueueGoneError) else error
                _LOG.error("The pool %s breaks down: %s", self.folder.uri, error)
                self.end(error)

    def _send(self) -> None:
        while not self.ended:
            self._send_some()
        self.folder.remove()  # objects stored by this thread while the pool was removed

    def _send_some(self) -> None:
        """Send waiting tasks. This is a function of its own so that no local name keeps a task, and joblib's backend,
        alive.
        """
        first = self._outgoing.get()
        batch = [] if first is None else [first]
        while batch and len(batch) < _TASKS_A_CALL and not self._outgoing.empty():
            if (following := self._outgoing.get()) is not None:
                batch.append(following)
        bodies = [body for future in batch if (body := self._messages.of(future)) is not None]
        if bodies and not self.ended:
            self._tasks.send(bodies)
            self._look.set()

    def _receive(self) -> None:
        budget = RetryBudget("Reports of the pool's workers could not be received")
        while not self.ended:
            try:
                messages = self._reports.receive(_REPORTS_A_CALL, wait=_POLL_SECONDS, visibility=_REPORT_VISIBILITY)
                for message in messages:
                    self._take(message)
                if messages:
                    self._reports.delete(messages)
                budget.succeeded()
            except Exception as error:
                budget.failed(error)
                self._ended.wait(1.0)

    def _keep_alive(self) -> None:
        budget = RetryBudget(
            "The pool's workers could not be told that their driver lives",
            max(GIVE_UP_SECONDS, 2 * self.settings.driver_timeout),
        )
        while not self._ended.wait(self.settings.driver_timeout / _BEATS):
            try:
                self.control.write()
                budget.succeeded()
            except Exception as error:
                budget.failed(error)

    def _watch(self) -> None:
        interval = self.settings.poll_interval or self._runtime.default_poll_interval
        next_look = time.monotonic() + interval
        while not self.ended:
            self._look.wait(max(0.0, next_look - time.monotonic()))
            self._look.clear()
            if self.ended:
                return
            if time.monotonic() >= next_look:  # new tasks only start containers
                self.fleet.look(has_work=bool(self.open))
                next_look = time.monotonic() + interval
            if self.open:
                self._idle_since = time.monotonic()
                self.fleet.grow(math.ceil(min(self._workers, len(self.open)) / self.settings.processes))
            elif time.monotonic() - self._idle_since > self.settings.idle_timeout:
                _LOG.info("The pool had nothing to do for %.0f s.", self.settings.idle_timeout)
                self.end()

    # --- reports ---

    def _take(self, message: Message) -> None:
        try:
            report: Report = REPORT.validate_json(self._signer.verify("report", message.body))
        except ForgedMessageError as error:
            _LOG.error("A message is dropped: %s", error)
            return
        if isinstance(report, Ready):
            _LOG.info("Worker %s is ready, on %s.", report.worker, report.host)
            self.fleet.ready(report.worker)
        elif isinstance(report, Refused):
            problems = "".join(f"\n  - {problem}" for problem in report.problems)
            raise BrokenEnvironmentError(
                f"The containers have other software than this driver; no task was started.{problems}\nPickles of one "
                "do not mean the same in the other: use the worker image of the driver's versions, or the other way "
                "round."
            )
        else:
            self._settle(report)

    def _settle(self, report: Any) -> None:
        self.fleet.progress()
        payload: Payload | None = getattr(report, "payload", None)
        if isinstance(report, Done):
            self.bytes_fetched += report.fetched
        future = self.open.pop(report.task)
        if future is not None:  # else the report came twice, or the task was cancelled
            settle(future, report, self._read)
        if not self.open:
            self._idle_since = time.monotonic()
        if payload is not None and payload.stored is not None:
            self.folder.storage.delete([self.folder.blob_uri(payload.stored)])

    def _read(self, payload: Payload) -> bytes:
        """The bytes that a report refers to. The storage is asked again if it does not answer."""
        budget = RetryBudget("A result could not be read")
        return retry(
            lambda: self._blob_reader.data(payload),
            itertools.repeat(1.0),
            on=lambda error: is_out_of_reach(error) and not self.ended,
            on_retry=lambda error, pause: budget.failed(error),
            stop=self._ended,
        )

    def _settle_all(self, error: BaseException) -> None:
        for future in self.open.pop_all():
            future.finish(error=error)

    def _wait_for_sender(self) -> None:
        """Wait for arguments that are being stored: objects stored after the folder is removed would stay."""
        if self._sender is not None and self._sender is not threading.current_thread() and self._sender.ident:
            self._sender.join(_SENDER_SECONDS)

    def _gone(self) -> PoolError:
        return PoolError(
            f"The queues of the pool {self.folder.uri} are gone. Its workers remove them when they see no sign of this "
            f"process for {self.settings.driver_timeout:.0f} s (driver_timeout): was it suspended, or off the network? "
            "The next call opens a new pool."
        )


def _queue_uris(folder: str, pool: str, runtime: Runtime, aws: AwsAccess) -> tuple[str, str]:
    """The URIs of the queues for tasks and reports: folders if the pool's folder is local, else queues in Amazon
    SQS.
    """
    scheme, path = split_scheme(folder)
    if scheme == "file":
        return f"file://{path}/queues/tasks", f"file://{path}/queues/reports"
    region = getattr(runtime, "region_name", None) or str(aws.client("sqs").meta.region_name)
    name = f"airflow-sklearn-pool-{pool}"
    return f"sqs://{region}/{name}-tasks", f"sqs://{region}/{name}-reports"
