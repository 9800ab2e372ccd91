"""The processes that run a container's tasks, as the container's first process sees them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from airflow_sklearn.system.cgroup import memory_limit, oom_kills
from airflow_sklearn.system.software import limit_threads

if TYPE_CHECKING:
    from airflow_sklearn.contract.jobs import PoolWorkerJob

_END_SECONDS = 10.0
_LOOK_SECONDS = 1.0


class TaskProcessDiedError(Exception):
    """A process ended before it returned its task's result. The message says how it ended."""


class TaskProcess:
    """A process that runs tasks. It is started when it is first needed, and again after it has died.

    One thread calls ``run``; any thread may call ``kill``.
    """

    def __init__(self, job: PoolWorkerJob, cache: str) -> None:
        self._job, self._cache = job, cache
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def start(self) -> None:
        """Start the process if it does not run, so that the first task need not wait for it."""
        ours, theirs = socket.socketpair()
        with theirs:
            settings = {
                "socket": theirs.fileno(),
                "parent": os.getpid(),
                "folder": self._job.folder,
                "worker": self._job.worker,
                "cache": self._cache,
            }
            self._process = subprocess.Popen(
                [sys.executable, "-m", "airflow_sklearn.pool.worker.task_process", json.dumps(settings)],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=limit_threads(os.environ, self._job.threads, self._job.processes),
                start_new_session=True,
            )
        self._connection = Connection(ours.detach())

    def run(self, task: bytes) -> bytes:
        """Run a task, and return the report on it.

        :param task: a ``Task`` as JSON.
        :return: a ``Done`` or ``Failed`` as JSON.
        :raises TaskProcessDiedError: the process ended, or was killed, before it returned the report.
        """
        if self._process is None or self._process.poll() is not None:
            self.close()
            self.start()
        process, connection = self._process, self._connection
        if process is None or connection is None:
            raise TaskProcessDiedError("its process was closed")
        kills = oom_kills()
        try:
            connection.send_bytes(task)
            while not connection.poll(_LOOK_SECONDS):
                if process.poll() is not None:  # checked, because a process forked by the task may keep the socket open
                    _kill_group(process)
                    break
            return connection.recv_bytes()
        except (EOFError, OSError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)
            _kill_group(process)
            raise TaskProcessDiedError(_how_it_died(process.returncode, kills)) from None

    def kill(self) -> None:
        """Kill the process, and all that its task has started, at once."""
        process = self._process
        if process is not None and process.poll() is None:
            _kill_group(process)

    def close(self) -> None:
        """Kill the process, and free its resources."""
        self.kill()
        if self._process is not None:
            self._process.wait()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process group, also if its first process has ended: processes started by the task may live on."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _how_it_died(code: int | None, kills_before: int) -> str:
    if oom_kills() > kills_before:
        return f"its process was killed because the container's {memory_limit() / 2**20:,.0f} MiB of memory ran out"
    if code is None:
        return "its process did not answer"
    if code >= 0:
        return f"its process ended with exit code {code}"
    hint = ": the kernel does that when memory runs out" if code == -signal.SIGKILL else ""
    return f"its process was killed by {signal.Signals(-code).name}{hint}"
