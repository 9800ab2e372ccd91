"""The tasks of a pool on the driver's side, and their results."""

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
_SHOWN_CHARACTERS = 200  # of a call's arguments in a description


class RemoteTraceback(Exception):  # noqa: N818 - it is no error, but where one happened
    """The traceback of a task's exception in its container, as text. It is the exception's cause."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n'''\n{self.text}'''"


class PoolFuture(Future[Any]):
    """The future of a task.

    :param task_id: the task's id in messages and logs.
    :param callback: called with the future when it is done. The reference is dropped then, and when the task is
        cancelled: joblib's callback refers to objects, the future among them, that must be freed at the end of its
        block.
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
        """Set the result or the error. Only the first call has an effect."""
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
            except Exception:  # logged, as concurrent.futures does: an error in a callback must not stop the pool
                _LOG.exception("What was to be called when the task %s is done raised an error.", self.task_id)

    def drop(self) -> None:
        """Cancel the future."""
        self.function = self._callback = None
        self.cancel()


class OpenTasks:
    """The tasks without a result so far, by id. Several threads may use it."""

    def __init__(self) -> None:
        self._tasks: dict[str, PoolFuture] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._tasks

    def add(self, future: PoolFuture) -> None:
        """Add a task."""
        with self._lock:
            self._tasks[future.task_id] = future

    def pop(self, task_id: str) -> PoolFuture | None:
        """Remove a task and return it; None if it is not there."""
        with self._lock:
            return self._tasks.pop(task_id, None)

    def pop_call(self, call: str) -> list[PoolFuture]:
        """Remove all tasks of a call, and return them."""
        with self._lock:
            found = [future for future in self._tasks.values() if future.call == call]
            for future in found:
                del self._tasks[future.task_id]
        return found

    def pop_all(self) -> list[PoolFuture]:
        """Remove all tasks, and return them."""
        with self._lock:
            found = list(self._tasks.values())
            self._tasks.clear()
        return found


def settle(future: PoolFuture, report: Done | Failed | Lost, read: Callable[[Payload], bytes]) -> None:
    """Set a future's result or error from a worker's report.

    :param read: returns a payload's bytes, checked.
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
    """A task as text: the functions in joblib's batch, or any other function."""
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
    """The exception of a task, with its traceback in the container as its cause."""
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
    if isinstance(error, AirflowSklearnError):  # the storage does not answer, or the bytes are forged
        return error
    unreadable = RemoteTaskError(
        f"The result of {describe(future.function)} could not be unpickled here: {type(error).__name__}: {error}"
    )
    unreadable.__cause__ = error
    return unreadable
