"""One function over several processes: forked ones share a loaded model by copy on write."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from airflow_sklearn.contract.exit_codes import kind_of
from airflow_sklearn.exceptions import AirflowSklearnError
from airflow_sklearn.system.signals import signals_held

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class WorkerProcessDiedError(AirflowSklearnError):
    """A predicting process ended before it returned a result."""


def run_in_processes(
    work: Callable[[int], _T],
    count: int,
    *,
    method: Literal["fork", "spawn"] = "fork",
    started: Callable[[list[int]], None] | None = None,
) -> list[_T]:
    """Run ``work(0)``, ..., ``work(count - 1)``, each in a process of its own. With ``count=1`` this process runs it.

    An exception of ``work`` is raised here; the other processes are then killed.

    :param count: the number of processes.
    :param method: ``fork`` shares this process's memory by copy on write. ``spawn`` starts new interpreters: ``work``
        must be picklable.
    :param started: called with the processes' ids after all have started.
    :return: the results in order.
    :raises WorkerProcessDiedError: a process ended without a result; the kernel may have killed it for lack of memory.
    :raises OSError: a process could not be started. Those that were started before have ended then.
    """
    if count == 1:
        return [work(0)]
    context: Any = multiprocessing.get_context(method)
    # Children must not collect the objects that exist now: that would write to every shared page, and so copy it.
    gc.collect()
    gc.freeze()
    processes: list[Any] = []
    connections: list[Connection] = []
    try:
        for number in range(count):
            ours, theirs = context.Pipe(duplex=False)
            inherited = [*connections, ours] if method == "fork" else []
            connections.append(ours)
            with theirs:
                process = context.Process(
                    target=_child, args=(work, number, theirs, inherited), name=f"slice-{number}", daemon=True
                )
                with signals_held():  # a signal during the fork could be lost, or reach the child
                    process.start()
                    processes.append(process)
        if started is not None:
            started([process.pid for process in processes])
        return _collect(processes, connections)
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()  # not SIGTERM: the child may not have set its handler yet
            process.join()
        for connection in connections:
            connection.close()
        gc.unfreeze()


def _collect(processes: list[Any], connections: list[Connection]) -> list[Any]:
    answers: dict[int, Any] = {}
    numbers = {connection.fileno(): number for number, connection in enumerate(connections)}
    while len(answers) < len(connections):
        waiting = [connection for number, connection in enumerate(connections) if number not in answers]
        for ready in cast("list[Connection]", wait(waiting)):
            number = numbers[ready.fileno()]
            try:
                good, answers[number] = ready.recv()
            except EOFError:
                processes[number].join()
                raise WorkerProcessDiedError(_how_it_died(processes[number].exitcode)) from None
            if not good:
                raise answers[number]
    return [answers[number] for number in range(len(connections))]


def _how_it_died(code: int) -> str:
    if code >= 0:
        return f"A predicting process ended with exit code {code} before it was done."
    hint = " A kernel does that when memory runs out." if code == -signal.SIGKILL else ""
    return f"A predicting process was killed by {signal.Signals(-code).name} before it was done.{hint}"


def _child(work: Callable[[int], Any], number: int, connection: Connection, inherited: list[Connection]) -> None:
    _end_with_parent()
    for end in inherited:  # a pipe shows the parent's death only if no sibling holds its end
        end.close()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        answer = (True, work(number))
    except BaseException as error:
        answer = (False, _portable(error))
    connection.send(answer)
    connection.close()
    os._exit(0)


def _end_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies in any way (``PR_SET_PDEATHSIG``, Linux only)."""
    parent = multiprocessing.parent_process()
    if sys.platform != "linux" or parent is None:
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent.pid:  # it died before prctl took effect
        os._exit(1)


def _portable(error: BaseException) -> BaseException:
    """The exception in a form that can be pickled, with its traceback as text."""
    text = "".join(traceback.format_exception(error))
    if kind_of(error) == "memory" and not isinstance(error, MemoryError):
        error = MemoryError(str(error))  # only its cause was a MemoryError, and causes are not pickled
    error.__traceback__ = error.__cause__ = error.__context__ = None
    error.add_note(f"In a predicting process:\n{text}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(text)
    return error
