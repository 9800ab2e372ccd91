"""``LocalRuntime``: the worker as a process of this machine. For laptops, tests, and small deployments."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from airflow_sklearn.contract.arguments import check_count, is_known
from airflow_sklearn.exceptions import BrokenEnvironmentError, UserError
from airflow_sklearn.runtimes.base import JobHandle, JobState, JobStatus, Runtime, job_key, worker_arguments
from airflow_sklearn.runtimes.local.job_data import LocalJobData
from airflow_sklearn.runtimes.local.state_folder import StateFolder, default_state_dir, store_handle
from airflow_sklearn.storage import use_aws
from airflow_sklearn.system.processes import process_of, run_detached

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydantic import JsonValue

    from airflow_sklearn.contract.jobs import Job
    from airflow_sklearn.system.processes import Process

#: The environment variable with the id of the task's process. The worker ends when that process does.
PARENT_VARIABLE = "AIRFLOW_SKLEARN_EXIT_WITH_PARENT"
PROCESSES_VARIABLE = "AIRFLOW_SKLEARN_PROCESSES"
SECONDS_TO_END = 3.0  # from SIGTERM to SIGKILL; Airflow gives a killed task 5 s

#: Airflow's configuration and connections stay out of the worker, as they do in a container.
_AIRFLOW_VARIABLES = ("AIRFLOW__", "AIRFLOW_CONN_", "AIRFLOW_VAR_", "_AIRFLOW_", "__AIRFLOW_")
_LAST_THREADS = 2.0  # seconds that a process without its first thread may take until it has an exit code
_NO_MODULE = "No module named "

_children: dict[str, subprocess.Popen[bytes]] = {}
"""By job folder: the processes that this process started itself, and whose exit codes only it can learn."""


@dataclass(repr=False)
class LocalRuntime(Runtime):
    """Runs each job as a process beside the Airflow task, in a session of its own, with its log in a file.

    Without deferral the process dies with its task, in whatever way the task dies. With ``deferrable=True`` it outlives
    the task and is watched from the triggerer, which must then run on the same machine as the task.

    :param python: the interpreter for the worker, for example of an environment without Airflow. It needs
        ``airflow-sklearn[worker]``. None: the interpreter of the task, with the task's import path.
    :param env: further environment variables for the worker.
    :param processes: the most processes that a job may use; None: one a core. Set it if several tasks run side by side.
    :param state_dir: a folder for logs and process ids, the same for all attempts of a task, to which only this user
        may write. None: a folder in Airflow's home, or in the system's temporary folder if Airflow's home is not the
        user's.
    """

    template_fields: ClassVar[tuple[str, ...]] = ("python", "env", "state_dir")
    default_poll_interval: ClassVar[float] = 0.5
    on_this_machine: ClassVar[bool] = True
    stored_as: ClassVar[str] = "airflow_sklearn.runtimes.local:LocalRuntime"

    python: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    processes: int | None = None
    state_dir: str | None = None

    def __post_init__(self) -> None:
        """Check the arguments.

        :raises UserError: an argument is invalid.
        """
        if self.processes is not None:
            check_count("LocalRuntime: processes", self.processes, 1)
        texts = self.env.values() if isinstance(self.env, Mapping) else [None]
        if is_known(self.env) and not all(isinstance(value, str) for value in texts):
            raise UserError("LocalRuntime: env is a dict of texts, such as {'TMPDIR': '/large/tmp'}.")
        for name in ("python", "state_dir"):
            if (value := getattr(self, name)) is not None and not isinstance(value, str | os.PathLike):
                raise UserError(f"LocalRuntime: {name}={value!r}: give a path.")

    def __repr__(self) -> str:
        """Names the variables of ``env``, never their values: Airflow stores and shows this text."""
        said = {
            "python": self.python,
            "env": sorted(self.env),
            "processes": self.processes,
            "state_dir": self.state_dir,
        }
        return f"LocalRuntime({', '.join(f'{name}={value!r}' for name, value in said.items() if value)})"

    def submit(self, job_uri: str, job: Job, *, survives_parent: bool, capacity_refusals: int = 0) -> JobHandle:
        """See ``Runtime.submit``. ``capacity_refusals`` is ignored: a process always starts."""
        command = [self._interpreter(), "-m", "airflow_sklearn.worker", *worker_arguments(job_uri, job)]
        folder = self._state().create(f"{job_key(job)}-{secrets.token_hex(4)}")
        environment = self._worker_environment(job_uri, job)
        if survives_parent:
            process = run_detached(command, environment, log=folder / "log", exit_code=folder / "exit_code")
        else:
            environment[PARENT_VARIABLE] = str(os.getpid())
            process = self._run_attached(command, environment, folder / "log")
        handle = JobHandle(
            key=job_key(job),
            job_uri=job_uri,
            result_uri=job.result_uri,
            job_sha256=job.digest(),
            submitted_at=time.time(),
            data=LocalJobData(folder=folder, survives_parent=survives_parent, **process.to_dict()).stored(),
        )
        store_handle(handle)
        return handle

    def poll(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        """See ``Runtime.poll``."""
        return [self._status(handle) for handle in handles]

    def cancel(self, handle: JobHandle) -> None:
        """See ``Runtime.cancel``. SIGTERM first; SIGKILL if the process has not ended after 3 seconds."""
        data = LocalJobData.of(handle)
        folder, process = data.folder, data.process
        if not process.is_alive():
            return
        (folder / "cancelled").touch()
        process.signal_group(signal.SIGTERM)
        until = time.monotonic() + SECONDS_TO_END
        while process.is_alive() and time.monotonic() < until:
            time.sleep(0.02)
        process.signal_group(signal.SIGKILL)

    def logs(self, handle: JobHandle, cursor: JsonValue = None) -> tuple[list[str], JsonValue]:
        """See ``Runtime.logs``. The cursor is a byte offset. A line is returned only when it is complete."""
        start = cursor if isinstance(cursor, int) else 0
        ended = self._status(handle).state.finished
        try:
            with open(LocalJobData.of(handle).folder / "log", "rb") as file:
                file.seek(start)
                new = file.read()
        except FileNotFoundError:
            return [], start
        whole = new if ended else new[: new.rfind(b"\n") + 1]
        return whole.decode(errors="replace").splitlines(), start + len(whole)

    def find(self, job: Job) -> JobHandle | None:
        """See ``Runtime.find``. Handles are stored in ``state_dir``."""
        for handle in self._state().handles(job_key(job)):
            if self._status(handle).state is JobState.RUNNING and not self._is_orphaned(handle):
                return handle.model_copy(update={"taken_over": True})
        return None

    def software_fingerprint(self, module: str = "") -> str:
        """See ``Runtime.software_fingerprint``: versions of Python and of the packages that models depend on, and the
        module's digest, as the worker's interpreter has them.

        :raises BrokenEnvironmentError: the interpreter has no airflow-sklearn, or does not start.
        """
        done = subprocess.run(
            [self._interpreter(), "-m", "airflow_sklearn.runtimes.software", module],
            env={**self._base_environment(), **self.env},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BrokenEnvironmentError(self._cannot_run(done.stderr.strip()[-500:]))
        return done.stdout.strip()

    def package_versions(self) -> dict[str, str]:
        """See ``Runtime.package_versions``: as the worker's interpreter has them."""
        found = (word.split(" ", 1) for word in self.software_fingerprint().split(", "))
        return {pair[0]: pair[1] for pair in found if len(pair) == 2}

    def poll_key(self) -> str:
        """See ``Runtime.poll_key``."""
        return f"local:{self._state().path}"

    def _status(self, handle: JobHandle) -> JobStatus:
        data = LocalJobData.of(handle)
        try:
            folder, process = data.folder, data.process
        except UserError as error:
            return JobStatus(state=JobState.FAILED, message=str(error))
        code = _exit_code(folder)
        if code is None and process.is_alive():
            return JobStatus(state=JobState.RUNNING)
        # Read again: the process may have ended normally since the first look, or its last threads are still ending.
        code = code if code is not None else _exit_code(folder, wait=_LAST_THREADS)
        if code == 1 and _NO_MODULE in (last := _last_line(folder / "log")):  # Python's own words: no worker ran
            return JobStatus(state=JobState.FAILED, message=self._cannot_run(last))
        return _status_of_exit(code, cancelled=(folder / "cancelled").exists(), pid=process.pid)

    @staticmethod
    def _is_orphaned(handle: JobHandle) -> bool:
        """Whether the job's task is gone. The worker is about to notice, and will end itself."""
        data = LocalJobData.of(handle)
        return not data.survives_parent and not data.parent.is_alive()

    def _run_attached(self, command: list[str], environment: dict[str, str], log: Path) -> Process:
        with open(log, "wb") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        _children[str(log.parent)] = child
        return process_of(child.pid, group=child.pid, parent=os.getpid())

    def _interpreter(self) -> str:
        """The path of the worker's interpreter.

        :raises UserError: it does not exist.
        """
        python = self.python or sys.executable
        if shutil.which(python) is None:
            raise UserError(f"LocalRuntime(python={python!r}): there is no such program on {socket.gethostname()}.")
        return python

    def _cannot_run(self, why: str) -> str:
        return (
            f"{self.python or sys.executable} cannot run the worker: {why}\n"
            "Install airflow-sklearn[worker] there, or name an interpreter that has it: LocalRuntime(python=...)."
        )

    def _state(self) -> StateFolder:
        return StateFolder(self.state_dir or default_state_dir())

    def _worker_environment(self, job_uri: str, job: Job) -> dict[str, str]:
        environment = self._base_environment()
        if self._aws and use_aws((job_uri, *job.uris())):
            environment.update(self._aws.environment())
        if self.processes:
            environment[PROCESSES_VARIABLE] = str(self.processes)
        return {**environment, "PYTHONUNBUFFERED": "1", **self.env}

    def _base_environment(self) -> dict[str, str]:
        """This process's environment variables, without those for itself alone: the worker ends with another
        process.
        """
        kept: Mapping[str, str] = {
            name: value
            for name, value in os.environ.items()
            if name != PARENT_VARIABLE and not name.startswith(_AIRFLOW_VARIABLES)
        }
        if self.python is None:
            # The same interpreter sees the same modules as the task: factories in the DAGs folder, for example.
            return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        return dict(kept)


def _exit_code(folder: Path, wait: float = 0.0) -> int | None:
    if child := _children.get(str(folder)):
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(wait)
        return None
    try:
        return int((folder / "exit_code").read_text())
    except FileNotFoundError:
        return None


def _status_of_exit(code: int | None, *, cancelled: bool, pid: int) -> JobStatus:
    if code == 0:
        return JobStatus(state=JobState.SUCCEEDED, exit_code=0)
    if cancelled:
        return JobStatus(state=JobState.CANCELLED, exit_code=code, message="The worker was stopped.")
    if code is None:
        return JobStatus(state=JobState.LOST, message=f"The worker (process {pid}) is gone, and left no exit code.")
    number = -code if code < 0 else code - 128
    if number == signal.SIGKILL:
        message = "The worker was killed (SIGKILL). The kernel does that to processes when memory runs out."
        return JobStatus(state=JobState.LOST, exit_code=code, message=message)
    if number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        name = signal.Signals(number).name
        return JobStatus(state=JobState.LOST, exit_code=code, message=f"The worker was stopped from outside ({name}).")
    return JobStatus(state=JobState.FAILED, exit_code=code, message=f"The worker ended with exit code {code}.")


def _last_line(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1000))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return lines[-1].strip() if lines else ""
