"""The tasks of a pool as its driver sees them, and what became of them."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any

from airflow_sklearn.exceptions import AirflowSklearnError, RemoteTaskError, TaskLostError
from airflow_sklearn.pool import pickles
from airflow_sklearn.pool.messages import Done, Failed, Lost

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from airflow_sklearn.pool.messages import Payload

_LOG = logging.getLogger("airflow_sklearn.pool")
_SHOWN_CALLS = 3
_SHOWN_CHARACTERS = 200  # of a call's arguments


class RemoteTraceback(Exception):  # noqa: N818 - it is no error, but where one happened
    """The cause of an exception that a task raised: its traceback in the container, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n'''\n{self.text}'''"


class PoolFuture(Future[Any]):
    """The result of a task.

    :param task_id: as in messages and logs.
    :param callback: called with the future when it has a result or an error. Let go of then, and when it is cancelled:
        joblib's refers to all that is to go at the end of its block, the future among it.
    """

    def __init__(
        self, task_id: str, function: Callable[[], Any], call: str, callback: Callable[[Any], Any] | None = None
    ) -> None:
        super().__init__()
        self.task_id, self.call = task_id, call
        self.function: Callable[[], Any] | None = function
        self._callback = callback
        self.max_nbytes: int | None = None
        self.mmap_mode: Literal["r", "c"] | None = "r"
        self.threads: int | None = None
        self.seconds = 0.0
        """That the task ran in its container."""

    def finish(self, result: Any = None, error: BaseException | None = None) -> None:
        """Once; what comes later is of no account."""
        self.function, callback = None, self._callback
        self._callback = None
        try:
            if error is not None:
                self.set_exception(error)
            else:
                self.set_result(result)
        except InvalidStateError:
            return
        if callback is not None:
            try:
                callback(self)
            except Exception:  # as concurrent.futures does: it is the caller's, and the pool serves others too
                _LOG.exception("What was to be called when the task %s is done raised an error.", self.task_id)

    def drop(self) -> None:
        """Nobody waits for it any more."""
        self.function = self._callback = None
        self.cancel()


class OpenTasks:
    """Those that have no result yet, by id. Used by several threads."""

    def __init__(self) -> None:
        self._tasks: dict[str, PoolFuture] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._tasks

    def add(self, future: PoolFuture) -> None:
        with self._lock:
            self._tasks[future.task_id] = future

    def pop(self, task_id: str) -> PoolFuture | None:
        with self._lock:
            return self._tasks.pop(task_id, None)

    def pop_call(self, call: str) -> list[PoolFuture]:
        with self._lock:
            found = [future for future in self._tasks.values() if future.call == call]
            for future in found:
                del self._tasks[future.task_id]
        return found

    def pop_all(self) -> list[PoolFuture]:
        with self._lock:
            found = list(self._tasks.values())
            self._tasks.clear()
        return found


def settle(future: PoolFuture, report: Done | Failed | Lost, read: Callable[[Payload], bytes]) -> None:
    """Give a task's future what the task became.

    :param read: the bytes of a payload, checked.
    """
    if isinstance(report, Done):
        future.seconds = report.seconds
        try:
            result = pickles.loads(read(report.payload))
        except Exception as error:
            future.finish(error=_unreadable(future, error))
            return
        future.finish(result)
    elif isinstance(report, Failed):
        future.finish(error=_raised(future, report, read))
    else:
        starts = "".join(f"\n  - {attempt}" for attempt in report.attempts)
        future.finish(
            error=TaskLostError(
                f"{describe(future.function)} is given up (task {future.task_id}): each time that it was started, its "
                f"process or its container ended.{starts}\nDoes it need more memory than its container has, or does "
                "it crash?"
            )
        )


def describe(function: Any) -> str:
    """A task by what it calls: a batch of joblib's, or any function."""
    calls = getattr(function, "items", None)
    if not isinstance(calls, list) or not calls:
        return _short(repr(function))
    shown = [_call_text(*call) for call in calls[:_SHOWN_CALLS]]
    more = f" and {len(calls) - _SHOWN_CALLS} more calls" if len(calls) > _SHOWN_CALLS else ""
    return ", ".join(shown) + more


def _call_text(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    name = getattr(function, "__qualname__", None) or repr(function)
    said = [
        *(_short(repr(one), 60) for one in args),
        *(f"{key}={_short(repr(one), 60)}" for key, one in kwargs.items()),
    ]
    module = getattr(function, "__module__", "")
    return f"{module}.{name}({_short(', '.join(said))})"


def _short(text: str, length: int = _SHOWN_CHARACTERS) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 3]}..."


def _raised(future: PoolFuture, report: Failed, read: Callable[[Payload], bytes]) -> BaseException:
    """What the task raised, with the traceback of the container as its cause."""
    said = f"{report.type}: {report.message}"
    error: BaseException
    if report.stage == "read":
        error = RemoteTaskError(
            f"A container could not read the task {describe(future.function)}: {said}\nModules that it uses must be in "
            "the worker image; those of yours alone can travel with it: cloudpickle.register_pickle_by_value(module)."
        )
    elif report.stage == "storage":
        error = RemoteTaskError(
            f"A container could not reach what the pool stores, for the task {describe(future.function)}: {said}"
        )
    elif report.stage == "write":
        error = RemoteTaskError(f"The result of {describe(future.function)} could not be pickled: {said}")
    elif report.payload is None:
        error = RemoteTaskError(f"{said}\n(The exception itself could not be pickled in the container.)")
    else:
        try:
            found = pickles.loads(read(report.payload))
            if not isinstance(found, BaseException):
                raise TypeError(f"a {type(found).__name__} is no exception")
            error = found
        except Exception as problem:
            error = RemoteTaskError(
                f"{said}\n(The exception itself could not be unpickled here: {type(problem).__name__}: {problem})"
            )
    if report.traceback:
        error.__cause__ = RemoteTraceback(report.traceback)
    return error


def _unreadable(future: PoolFuture, error: Exception) -> Exception:
    if isinstance(error, AirflowSklearnError):  # out of reach, or forged
        return error
    unreadable = RemoteTaskError(
        f"The result of {describe(future.function)} could not be unpickled here: {type(error).__name__}: {error}"
    )
    unreadable.__cause__ = error
    return unreadable
