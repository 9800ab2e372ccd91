"""``python -m airflow_sklearn.pool.worker.task_process SETTINGS``: runs tasks one after another, in a process of its
own.

A task may crash, or be killed by the kernel or because it was cancelled. The container's first process, which starts
this one, survives and reports. Tasks arrive on a socket, as JSON that the driver has signed. The first process has
checked the signature. The digests of stored bytes are checked here, before anything is unpickled.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import secrets
import signal
import sys
import time
import traceback
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from airflow_sklearn.pool import pickles
from airflow_sklearn.pool.blobs import BlobReader, BlobWriter
from airflow_sklearn.pool.folder import PoolFolder
from airflow_sklearn.pool.messages import Done, Failed, Task
from airflow_sklearn.pool.retry_budget import is_out_of_reach
from airflow_sklearn.storage import Storage
from airflow_sklearn.system.retry import retry
from airflow_sklearn.system.software import threads_limited

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_sklearn.pool.messages import Payload

Stage = Literal["run", "read", "write", "storage"]
T = TypeVar("T")

_LOG = logging.getLogger("airflow_sklearn.worker")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PAUSES = (1.0, 5.0, 20.0)  # seconds between retries if the storage does not answer
_SHOWN_CHARACTERS = 2000
_TRACEBACK_BYTES = 50_000  # the message of SQS holds the exception's pickle too
_REFUSED_BY_SQS = {0xFFFE: "\ufffd", 0xFFFF: "\ufffd"}  # characters that JSON does not escape, but SQS refuses


class TaskRunner:
    """Runs the tasks of one pool.

    :param cache: the container's folder for large arrays.
    """

    def __init__(self, folder: PoolFolder, worker: str, cache: str) -> None:
        self._worker = worker
        self._reader, self._writer = BlobReader(folder, cache), BlobWriter(folder)

    def run(self, task: Task) -> Done | Failed:
        """Run a task, and return its report. An exception of the task is part of the report."""
        fetched = self._reader.bytes_fetched
        stage: Stage = "read"
        try:
            data = _retried(lambda: self._reader.data(task.payload))
            buffers = _retried(lambda: self._reader.buffers(task.payload, task.mmap_mode))
            function = pickles.loads(data, buffers)
            stage = "run"
            started = time.monotonic()
            with threads_limited(task.threads):
                result = function()
            seconds = time.monotonic() - started
            stage = "write"
            pickled = self._pickled(result)
            payload = _retried(lambda: self._payload(task, pickled))
        except _OutOfReachError as error:
            return self._failed(task, error.error, "storage")
        except BaseException as error:  # also SystemExit: a task must not end its container
            return self._failed(task, error, stage)
        fetched = self._reader.bytes_fetched - fetched
        return Done(task=task.task, worker=self._worker, payload=payload, seconds=seconds, fetched=fetched)

    @staticmethod
    def _pickled(result: Any) -> bytes:
        try:
            return pickles.dumps(result)
        except Exception as error:
            error.add_note(f"The result is {_shortened(repr(result))}")
            raise

    def _payload(self, task: Task, data: bytes) -> Payload:
        return self._writer.payload(data, name=f"result-{task.task}-{secrets.token_hex(4)}")

    def _failed(self, task: Task, error: BaseException, stage: Stage) -> Failed:
        message = "\n".join([_text_of(error), *getattr(error, "__notes__", ())])
        failed = Failed(
            task=task.task,
            worker=self._worker,
            type=_safe(type(error).__name__),
            message=_shortened(_safe(message)),
            traceback=_cut(_safe(_traceback_of(error))),
            stage=stage,
        )
        if stage != "run":
            return failed
        try:
            pickled = pickles.dumps(error)
            return failed.model_copy(update={"payload": _retried(lambda: self._payload(task, pickled))})
        except Exception as problem:
            _LOG.warning("An exception cannot be pickled (%s), and is sent as text: %s", problem, failed.message)
            return failed


class _OutOfReachError(Exception):
    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _retried(call: Callable[[], T]) -> T:
    """What the pool's storage gives, though it may be out of reach for a moment.

    :raises _OutOfReachError: it stays so.
    """
    try:
        return retry(
            call,
            _PAUSES,
            on=is_out_of_reach,
            on_retry=lambda error, pause: _LOG.warning("The pool's storage is out of reach: %s", error),
        )
    except Exception as error:
        if is_out_of_reach(error):
            raise _OutOfReachError(error) from error
        raise


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as problem:  # an exception of the user's code
        return f"(its text cannot be told: {problem})"


def _traceback_of(error: BaseException) -> str:
    """The traceback from the task's function on, without the callers, which mean nothing to the user."""
    inner = error.__traceback__.tb_next if error.__traceback__ else None
    try:
        return "".join(traceback.format_exception(type(error), error, inner))
    except Exception as problem:
        return f"(the traceback cannot be told: {problem})"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}... ({len(text):,} characters)"


def _safe(text: str) -> str:
    """A text without characters that a message may not hold: surrogates and non-characters."""
    return text.encode("utf-8", "replace").decode().translate(_REFUSED_BY_SQS)


def _cut(text: str) -> str:
    """The beginning and the end of a long traceback."""
    data, half = text.encode(), _TRACEBACK_BYTES // 2
    if len(data) <= _TRACEBACK_BYTES:
        return text
    head, tail = data[:half].decode(errors="ignore"), data[-half:].decode(errors="ignore")
    return f"{head}\n... ({len(text) - len(head) - len(tail):,} characters are left out)\n{tail}"


def _end_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies in any way (``PR_SET_PDEATHSIG``, Linux only)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before prctl took effect
        os._exit(1)


def main(settings: dict[str, Any]) -> None:
    """Run tasks until the container's first process closes the socket.

    :param settings: the JSON on the command line.
    """
    _end_with_parent(settings["parent"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(
        stream=sys.stdout,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )
    logging.getLogger("botocore").setLevel(logging.WARNING)
    runner = TaskRunner(PoolFolder(Storage(), settings["folder"]), settings["worker"], settings["cache"])
    connection = Connection(settings["socket"])
    while True:
        try:
            task = Task.model_validate_json(connection.recv_bytes())
        except EOFError:  # the container's first process has ended
            return
        connection.send_bytes(runner.run(task).model_dump_json().encode())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
