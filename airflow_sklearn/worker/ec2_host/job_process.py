"""One job as a process: its output as it appears, and its end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING

from airflow_sklearn.contract import exit_codes
from airflow_sklearn.contract.job_queue import JobEnd
from airflow_sklearn.system.cgroup import memory_limit, oom_kills

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

_PARENT_VARIABLE = "AIRFLOW_SKLEARN_EXIT_WITH_PARENT"  # see airflow_sklearn.worker.run
_WAIT = 0.2  # seconds
_KILLED = 128 + 9
#: If memory runs out, the kernel must kill the job, and not the process that reports it.
_KILL_ME_FIRST = "1000"
_LAST_LINES = 5.0  # seconds to wait; a process that the job has left behind may keep the pipe open


class JobProcess:
    """Runs ``python -m airflow_sklearn.worker JOB_URI`` while the context is open.

    :param write: called in a thread with each line that the worker prints.
    :param options: further command line options of the worker.
    """

    def __init__(self, job_uri: str, write: Callable[[str], None], options: Sequence[str] = ()) -> None:
        self._kills = oom_kills()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "airflow_sklearn.worker", *options, job_uri],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, _PARENT_VARIABLE: str(os.getpid())},
            start_new_session=True,
        )
        _offer_to_the_kernel(self._process.pid)
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=_pass_on, args=(self._process.stdout, write), daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.kill()
        self._process.wait()

    def runs(self) -> bool:
        """Whether the process still runs, after waiting for 0.2 seconds."""
        try:
            self._process.wait(_WAIT)
        except subprocess.TimeoutExpired:
            return True
        return False

    def terminate(self) -> None:
        """Ask the process to end in an orderly way (SIGTERM)."""
        self._process.terminate()

    def kill(self) -> None:
        """Kill the process at once."""
        if self._process.poll() is None:
            self._process.kill()

    def end(self) -> JobEnd:
        """How the process ended. Its output has been passed on by then."""
        code = self._process.wait()
        self._reader.join(_LAST_LINES)
        code = 128 - code if code < 0 else code
        died_of_hunger = code == _KILLED and oom_kills() > self._kills
        return JobEnd(
            exit_code=code,
            out_of_memory=died_of_hunger or code == exit_codes.OUT_OF_MEMORY,
            memory=memory_limit() // 2**20,
        )


def _pass_on(stream: IO[bytes], write: Callable[[str], None]) -> None:
    for line in stream:
        write(line.decode(errors="replace").rstrip("\n"))


def _offer_to_the_kernel(process: int) -> None:
    try:
        Path(f"/proc/{process}/oom_score_adj").write_text(_KILL_ME_FIRST)
    except OSError:  # it has ended already, or this is no Linux
        return
