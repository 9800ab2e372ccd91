"""A slot runs one of the tasks that a container runs at the same time: receives its message, runs it, and reports."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from airflow_sklearn.exceptions import ForgedMessageError, QueueGoneError
from airflow_sklearn.pool.messages import REPORT, Lost, Task
from airflow_sklearn.pool.retry_budget import RetryBudget
from airflow_sklearn.pool.worker.processes import TaskProcess, TaskProcessDiedError

if TYPE_CHECKING:
    from airflow_sklearn.pool.queues import Message
    from airflow_sklearn.pool.worker.worker import PoolWorker

_LOG = logging.getLogger("airflow_sklearn.worker")
_POLL_SECONDS = 20.0
_PAUSE = 1.0  # seconds, after an error that may pass
_MESSAGES_A_CALL = 10
_AHEAD_SECONDS = 0.25  # seconds of work that is received in advance, so that short tasks do not wait for messages
_GIVE_BACK_SECONDS = 1.0  # seconds of a task after which messages received in advance are given back


class Slot:
    """Runs tasks one after another.

    :param cache: the container's folder for large arrays.
    """

    def __init__(self, worker: PoolWorker, cache: str) -> None:
        self._worker = worker
        self._process = TaskProcess(worker.job, cache)
        self._lock = threading.Lock()
        self._ahead: list[Message] = []
        self._current: Message | None = None
        self._call: str | None = None
        """Of the task that runs."""
        self._since = 0.0
        self._mean_seconds: float | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a task is running."""
        return self._current is not None

    def work(self) -> None:
        """Receive and run tasks until the pool is over."""
        self._process.start()
        budget = RetryBudget("A task could not be taken or ended")
        while not self._worker.over.is_set():
            try:
                message = self._next()
                if message is not None:
                    self._handle(message)
                budget.succeeded()
            except Exception as error:  # the message is delivered again after its visibility
                budget.failed(error)
                self._worker.over.wait(_PAUSE)
            finally:
                with self._lock:
                    self._current = None

    def held(self) -> list[Message]:
        """The messages to renew."""
        with self._lock:
            return [*([self._current] if self._current else []), *self._ahead]

    def look(self) -> None:
        """Kill a task whose call was cancelled, and give back messages that wait behind a long task."""
        with self._lock:
            if self._call is not None and self._worker.is_cancelled(self._call):
                self._process.kill()
            given: list[Message] = []
            if self._current is not None and time.monotonic() - self._since > _GIVE_BACK_SECONDS:
                given, self._ahead = self._ahead, []
        if given:
            self._worker.tasks.renew(given, 0)

    def close(self) -> None:
        """Kill the running task, and give its message back, so that another worker gets it at once."""
        held = self.held()
        self._process.close()
        if held:
            try:
                self._worker.tasks.renew(held, 0)
            except QueueGoneError:
                return
            except Exception as error:
                _LOG.warning("%d tasks could not be given back, and come again later: %s", len(held), error)

    def _next(self) -> Message | None:
        with self._lock:
            if not self._ahead:
                wanted = 1 if self._mean_seconds is None else int(_AHEAD_SECONDS / (self._mean_seconds + 0.01))
            else:
                return self._begin(self._ahead.pop(0))
        worker = self._worker
        try:
            found = worker.tasks.receive(
                max(1, min(wanted, _MESSAGES_A_CALL)), wait=_POLL_SECONDS, visibility=worker.job.visibility_seconds
            )
        except QueueGoneError:
            if worker.opened:
                raise
            worker.over.wait(0.2)  # no queue yet: the driver makes it after it has started the first container
            return None
        worker.opened = True
        with self._lock:
            self._ahead += found
            return self._begin(self._ahead.pop(0)) if self._ahead else None

    def _begin(self, message: Message) -> Message:
        self._current, self._since = message, time.monotonic()
        return message

    def _handle(self, message: Message) -> None:
        worker = self._worker
        try:
            text = worker.signer.verify("task", message.body)
        except ForgedMessageError as error:
            _LOG.error("A message is dropped: %s", error)
            worker.tasks.delete([message])
            return
        task = Task.model_validate_json(text)
        if worker.is_cancelled(task.call):
            worker.tasks.delete([message])
        elif message.deliveries == 1:
            self._run(task, text, message, note=None)
        elif not worker.suspect.acquire(blocking=False):
            worker.tasks.renew([message], 1.0)  # another container may be able to run it
        else:
            try:
                self._run_again(task, text, message)
            finally:
                worker.suspect.release()

    def _run_again(self, task: Task, text: str, message: Message) -> None:
        """Run a task that was delivered before, and may end this container too."""
        worker = self._worker
        in_vain, attempts = worker.starts.of(task.task)
        if in_vain >= worker.job.restarts:
            _LOG.error("Task %s is given up after %d starts.", task.task, in_vain + 1)
            worker.report(Lost(task=task.task, worker=worker.job.worker, attempts=attempts), message)
            return
        note = worker.starts.note(task.task)
        if self._run(task, text, message, note=note):
            worker.starts.take_back(note)

    def _run(self, task: Task, text: str, message: Message, *, note: str | None) -> bool:
        """Run a task.

        :return: whether it returned, raised or was cancelled. False: it ended its process.
        """
        worker = self._worker
        with self._lock:
            self._call, self._since = task.call, time.monotonic()
        try:
            answer = self._process.run(text.encode())
        except TaskProcessDiedError as error:
            if worker.over.is_set():
                return True
            if worker.is_cancelled(task.call):
                worker.tasks.delete([message])
                return True
            _LOG.warning("Task %s: %s.", task.task, error)
            worker.starts.died(task.task, note, str(error))
            worker.tasks.renew([message], 0)
            return False
        finally:
            with self._lock:
                self._call = None
        self._learn(time.monotonic() - self._since)
        worker.report(REPORT.validate_json(answer), message)
        return True

    def _learn(self, seconds: float) -> None:
        before = self._mean_seconds
        self._mean_seconds = seconds if before is None else 0.5 * (before + seconds)
