"""One opening of a pool: its folder, key, queues, containers, and the threads that serve them."""

from __future__ import annotations

import itertools
import logging
import math
import os
import pickle
import queue
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any

from joblib import cpu_count

from airflow_sklearn.contract.jobs import PoolWorkerJob
from airflow_sklearn.contract.shown import values_shown
from airflow_sklearn.exceptions import (
    AirflowSklearnError,
    BrokenEnvironmentError,
    ForgedMessageError,
    PoolError,
    QueueGoneError,
)
from airflow_sklearn.pool.blobs import BlobReader, BlobWriter
from airflow_sklearn.pool.driver.arguments import Arguments
from airflow_sklearn.pool.driver.fleet import Fleet
from airflow_sklearn.pool.driver.tasks import OpenTasks, settle
from airflow_sklearn.pool.folder import PoolFolder
from airflow_sklearn.pool.messages import REPORT, Control, Done, Ready, Refused, Task
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

_POLL_SECONDS = 20.0  # of one wait for reports
_REPORTS_A_CALL = 10
_REPORT_VISIBILITY = 120.0  # nobody else reads reports; those that come again are known
_TASKS_A_CALL = 10
_BEATS = 12  # signs of life within the time after which workers take the driver for dead
_SENDER_SECONDS = 5.0  # at the end, for what is being stored
_CANCELLED_CALLS = 200  # that workers are told of; tasks of older ones have been met and dropped


class Session:
    """Open from the first task until the pool closes, fails, or has had nothing to do for its ``idle_timeout``.

    :param runtime: where the containers run, without its access to AWS.
    :param folder: that pools have their folders in.
    :param workers: tasks that are to run at the same time, at first.
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
        tasks, reports = self._queue_uris()
        self._tasks_uri, self._reports_uri = tasks, reports
        self._tasks, self._reports = open_queue(tasks, aws.client), open_queue(reports, aws.client)
        self._software, self._identity = installed_software(), identity
        self.blobs = BlobWriter(self.folder)
        self._blob_reader = BlobReader(self.folder, cache="")  # results are read, never mapped
        self._arguments = Arguments(self.blobs)
        self.fleet = Fleet(self._runtime, self._make_job)
        self.open = OpenTasks()
        self.error: BaseException | None = None
        self.bytes_fetched = 0
        self._outgoing: queue.SimpleQueue[PoolFuture | None] = queue.SimpleQueue()
        self._cancelled: list[str] = []
        self._beat = 0
        self._control_lock, self._end_lock, self._cancel_lock = threading.Lock(), threading.Lock(), threading.Lock()
        self._ended, self._look = threading.Event(), threading.Event()
        self._workers = workers
        self._idle_since = time.monotonic()
        self._process = os.getpid()
        self._sender: threading.Thread | None = None
        self._open(key)

    @property
    def ended(self) -> bool:
        """Also in a process that was forked from the driver: it has none of its threads."""
        return self._ended.is_set() or os.getpid() != self._process

    def submit(self, future: PoolFuture, workers: int) -> None:
        """Let a task run.

        :param workers: containers to have for it and the other tasks, at most.
        """
        self._workers = max(1, workers)
        with self._cancel_lock:
            if future.call in self._cancelled:  # its workers would drop it, and say nothing
                future.drop()
                return
            self.open.add(future)
        self._outgoing.put(future)
        if self.ended:  # it ended while this came in
            self._settle_all(self.error or PoolError("The pool has been closed."))

    def cancel(self, call: str) -> None:
        """Nobody waits for the tasks of a call any more: those that run are killed, the others are not started."""
        with self._cancel_lock:
            futures = self.open.pop_call(call)
            if futures:
                self._cancelled = [*self._cancelled, call][-_CANCELLED_CALLS:]
        if futures:
            for future in futures:
                future.drop()
            self._write_control()

    def forget_arguments(self) -> None:
        """Arrays may be changed from now on."""
        self._arguments.forget()

    def end(self, error: BaseException | None = None) -> None:
        """Stop all containers, remove queues and folder, and give waiting tasks an error. Once; later calls do nothing.

        :param error: what the pool broke down with.
        """
        with self._end_lock:
            if self.ended:  # or this is a fork of the driver
                return
            self.error = error
            self._ended.set()
        self._look.set()
        self._outgoing.put(None)
        # The workers are told first: when this process is killed on its way, they remove what it has not.
        stop: BaseException | None = None
        for step in (
            lambda: self._settle_all(error or PoolError("The pool has been closed.")),
            lambda: self._write_control(closing=True),
            self._tasks.destroy,
            self._reports.destroy,
            self.fleet.stop,
            self._wait_for_sender,
            self.folder.remove,
            self.fleet.wait,
            self.folder.remove,  # also what containers wrote while they ended
        ):
            try:
                step()
            except Exception as problem:
                _LOG.warning("At the end of the pool %s: %s", self.folder.uri, problem)
            except BaseException as problem:  # a second signal: nobody would take the other steps again
                stop = problem
        if stop is not None:
            raise stop
        _LOG.info("The pool %s is closed.", self.folder.uri)

    # --- opening ---

    def _open(self, key: bytes) -> None:
        """The containers before the queues: if this process is killed between the two, there are workers to notice."""
        try:
            self.folder.make(key)
            self._write_control()
            self.fleet.grow(1)  # alone: it finds what is wrong with all of them
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

    def _queue_uris(self) -> tuple[str, str]:
        scheme, path = split_scheme(self.folder.uri)
        if scheme == "file":
            return f"file://{path}/queues/tasks", f"file://{path}/queues/reports"
        region = getattr(self._runtime, "region_name", None) or ""
        region = region or str(self._aws.client("sqs").meta.region_name)
        name = f"airflow-sklearn-pool-{self.id}"
        return f"sqs://{region}/{name}-tasks", f"sqs://{region}/{name}-reports"

    def _make_job(self, worker: str, starts: int, losses: int) -> tuple[str, PoolWorkerJob]:
        settings = self.settings
        job = PoolWorkerJob(
            identity=self._identity.model_copy(update={"try_number": losses + 1}),
            deadline_seconds=settings.deadline,
            folder=self.folder.uri,
            worker=worker,
            tasks=self._tasks_uri,
            reports=self._reports_uri,
            software=self._software,
            processes=settings.processes,
            threads=settings.threads or self._threads_beside_others(),
            restarts=settings.restarts,
            visibility_seconds=settings.visibility_timeout,
            idle_seconds=settings.idle_timeout,
            driver_seconds=settings.driver_timeout,
            key_sha256=self._signer.key_sha256,
            show_values=values_shown(),
        )
        uri = self.folder.job_uri(worker, starts)
        self.folder.write_job(uri, job, self._signer)
        return uri, job

    def _threads_beside_others(self) -> int | None:
        """Workers of a ``LocalRuntime`` share this machine's cores; a container has cores of its own."""
        if not self._runtime.on_this_machine:
            return None
        return max(1, cpu_count() // self._workers)

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
        self.folder.remove()  # what was stored here while the pool was removed

    def _send_some(self) -> None:
        """A function of its own: while it waits for more, no name keeps a task alive, and with it joblib's backend."""
        first = self._outgoing.get()
        batch = [] if first is None else [first]
        while batch and len(batch) < _TASKS_A_CALL and not self._outgoing.empty():
            if (following := self._outgoing.get()) is not None:
                batch.append(following)
        bodies = [body for future in batch if (body := self._body(future)) is not None]
        if bodies and not self.ended:
            self._tasks.send(bodies)
            self._look.set()

    def _body(self, future: PoolFuture) -> str | None:
        """The message of a task; None if nobody waits for it any more, or it cannot be pickled."""
        function = future.function
        if function is None or future.task_id not in self.open:
            return None
        try:
            payload = self._arguments.payload(function, future.max_nbytes, name=f"task-{future.task_id}")
        except Exception as error:
            if isinstance(error, AirflowSklearnError) or is_out_of_reach(error):
                raise
            self.open.pop(future.task_id)
            unpicklable = pickle.PicklingError(f"Could not pickle the task to send it to a container: {error}")
            unpicklable.__cause__ = error
            future.finish(error=unpicklable)
            return None
        task = Task(
            task=future.task_id,
            call=future.call,
            payload=payload,
            mmap_mode=future.mmap_mode,
            threads=future.threads,
        )
        return self._signer.sign("task", task.model_dump_json())

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
                self._write_control()
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
            if time.monotonic() >= next_look:  # tasks that were sent only ask for containers
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
        if future is not None:  # else it came twice, or was cancelled
            settle(future, report, self._read)
        if not self.open:
            self._idle_since = time.monotonic()
        if payload is not None and payload.stored is not None:
            self.folder.storage.delete([self.folder.blob_uri(payload.stored)])

    def _read(self, payload: Payload) -> bytes:
        """What a report refers to; storage may be out of reach for a moment."""
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
        """What it stores when the folder has been removed would stay."""
        if self._sender is not None and self._sender is not threading.current_thread() and self._sender.ident:
            self._sender.join(_SENDER_SECONDS)

    def _write_control(self, *, closing: bool = False) -> None:
        with self._control_lock:
            if self.ended and not closing:  # what says so is written, or was, and is removed already
                return
            self._beat += 1
            control = Control(beat=self._beat, cancelled=tuple(self._cancelled), closing=closing)
            signed = self._signer.sign("control", control.model_dump_json())
            self.folder.storage.write(self.folder.control_uri, signed.encode())

    def _gone(self) -> PoolError:
        return PoolError(
            f"The queues of the pool {self.folder.uri} are gone. Its workers remove them when they see no sign of this "
            f"process for {self.settings.driver_timeout:.0f} s (driver_timeout): was it suspended, or off the network? "
            "The next call opens a new pool."
        )
