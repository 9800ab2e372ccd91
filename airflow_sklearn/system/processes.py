"""Processes of this machine, identified by number and start time, since the system uses a number again."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped,unused-ignore]

from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping
    from pathlib import Path

_SAME_START = (
    10.0  # seconds by which a start time may differ when the clock is set; numbers do not come round that fast
)


@dataclass(frozen=True)
class Process:
    """One process, identified by number and start time.

    :param pid: its number.
    :param started: its start time in seconds since 1970.
    :param group: the number of its process group, which holds the processes that it started; 0: unknown.
    :param parent_pid: the number of the process that started it; 0: unknown.
    :param parent_started: the start time of that process in seconds since 1970.
    """

    pid: int
    started: float
    group: int = 0
    parent_pid: int = 0
    parent_started: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The process as JSON values, together with the name of this machine. ``from_dict`` reads it."""
        return {
            "host": socket.gethostname(),
            "pid": self.pid,
            "started": self.started,
            "group": self.group,
            "parent_pid": self.parent_pid,
            "parent_started": self.parent_started,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], prefix: str = "") -> Process:
        """Read what ``to_dict`` gave.

        :param prefix: ``parent_`` for the process that started it; empty for the process itself.
        :raises UserError: the process runs on another machine.
        """
        if data["host"] != socket.gethostname():
            raise UserError(
                f"The job runs on {data['host']}, but it is watched from {socket.gethostname()}. A LocalRuntime with "
                "deferrable=True needs the triggerer and the tasks on one machine: set deferrable=False."
            )
        return cls(data[f"{prefix}pid"], data[f"{prefix}started"], group=data["group"])

    def is_alive(self) -> bool:
        """Whether the process runs. One that has ended, but whose exit code was not yet read (a zombie), does not."""
        try:
            found = psutil.Process(self.pid)
            return abs(found.create_time() - self.started) < _SAME_START and found.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the process and its process group. If the process has ended, nothing happens."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.group, number)


def process_of(pid: int, *, group: int, parent: int = 0) -> Process:
    """The running process with a number, together with its start time.

    :param pid: its number.
    :param group: the number of its process group.
    :param parent: the number of the process that started it; 0: unknown.
    """
    return Process(pid, _started(pid), group, parent, _started(parent) if parent else 0.0)


def run_detached(command: list[str], environment: Mapping[str, str], *, log: Path, exit_code: Path) -> Process:
    """Start a command that outlives this process, is not its child, and leaves its exit code in a file.

    A shell starts a second shell in the background and ends. The second one runs the command and then writes the exit
    code, however the command ends.

    :param command: the program and its arguments.
    :param environment: the command's environment variables.
    :param log: the file for its output and errors.
    :param exit_code: the file for its exit code.
    :return: the second shell, which ends after the command.
    """
    temporary = shlex.quote(f"{exit_code}.new")
    record = f"echo $? > {temporary}; mv {temporary} {shlex.quote(str(exit_code))}"
    run = f"( trap : TERM INT HUP; {shlex.join(command)}; {record} )"
    done = subprocess.Popen(
        ["/bin/sh", "-c", f"{run} > {shlex.quote(str(log))} 2>&1 < /dev/null & echo $!"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=dict(environment),
        start_new_session=True,
    )
    output, _ = done.communicate()
    return process_of(int(output), group=done.pid)


def _started(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return 0.0
