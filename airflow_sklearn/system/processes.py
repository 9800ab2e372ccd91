"""Processes of this machine that are told apart from later ones with the same number."""

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
    """One process, by number and start time.

    :param group: its process group, which holds all that it started.
    :param started: seconds since the epoch.
    """

    pid: int
    started: float
    group: int = 0
    parent_pid: int = 0
    parent_started: float = 0.0

    def to_dict(self) -> dict[str, Any]:
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
        """:raises UserError: the process is one of another machine."""
        if data["host"] != socket.gethostname():
            raise UserError(
                f"The job runs on {data['host']}, but it is watched from {socket.gethostname()}. A LocalRuntime with "
                "deferrable=True needs the triggerer and the tasks on one machine: set deferrable=False."
            )
        return cls(data[f"{prefix}pid"], data[f"{prefix}started"], group=data["group"])

    def is_alive(self) -> bool:
        """Whether it runs. A process that has ended, and that nobody has asked for its exit code yet, does not."""
        try:
            found = psutil.Process(self.pid)
            return abs(found.create_time() - self.started) < _SAME_START and found.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def signal_group(self, number: signal.Signals) -> None:
        """Signal it and all that it started; nothing if it has ended."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.group, number)


def process_of(pid: int, *, group: int, parent: int = 0) -> Process:
    """A process that runs, with its start time."""
    return Process(pid, _started(pid), group, parent, _started(parent) if parent else 0.0)


def run_detached(command: list[str], environment: Mapping[str, str], *, log: Path, exit_code: Path) -> Process:
    """Start a command that outlives this process, is no child of it, and leaves its exit code in a file.

    A shell starts a second one in the background and ends. The second runs the command and is what is watched: it
    outlives the command, however that ends, and writes its exit code.
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
