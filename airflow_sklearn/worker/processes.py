"""One function over several forked processes: they share a loaded model by copy on write."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import traceback
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, TypeVar, cast

from airflow_sklearn.exceptions import AirflowSklearnError

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


class WorkerProcessDiedError(AirflowSklearnError):
    """A forked process ended without an answer."""


def run_forked(work: Callable[[int], _T], count: int) -> list[_T]:
    """``[work(0), ..., work(count - 1)]``, each in a forked process; in this one when there is only one.

    :raises WorkerProcessDiedError: a process was killed, by the kernel for want of memory for example.
    """
    if count == 1:
        return [work(0)]
    context = multiprocessing.get_context("fork")
    # What is there now is never collected in the children: a collection would write to, and so copy, every shared page.
    gc.collect()
    gc.freeze()
    processes, connections = [], []
    for number in range(count):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(work, number, theirs), name=f"slice-{number}", daemon=True)
        process.start()
        theirs.close()
        processes.append(process)
        connections.append(ours)
    try:
        return _collect(processes, connections)
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
            process.join()
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
    hint = " The kernel kills for want of memory: give the container more." if code == -signal.SIGKILL else ""
    return f"A predicting process was killed by {signal.Signals(-code).name} before it was done.{hint}"


def _child(work: Callable[[int], Any], number: int, connection: Connection) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        answer = (True, work(number))
    except BaseException as error:
        answer = (False, _portable(error))
    connection.send(answer)
    connection.close()
    os._exit(0)


def _portable(error: BaseException) -> BaseException:
    """The error with its traceback as text, in a form that survives pickling."""
    text = "".join(traceback.format_exception(error))
    error.__traceback__ = error.__cause__ = error.__context__ = None
    error.add_note(f"In a forked process:\n{text}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(text)
    return error
