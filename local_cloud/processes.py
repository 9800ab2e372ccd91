"""Servers as processes of this machine: started, waited for, and ended with the process that started them."""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from local_cloud.waiting import PATIENCE

#: In ``PYTHONPATH`` of those that run modules of this package.
REPOSITORY = Path(__file__).resolve().parents[1]
#: Below those that Linux gives to connections of its own accord: nobody gets one between its choice and its use.
_PORTS = range(10_000, 32_000)


@contextmanager
def process(
    command: Sequence[str], log: Path, health: str, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Start a server, wait until the URL ``health`` answers, and end it.

    :raises RuntimeError: it ended or did not answer in time; the message holds the end of its log.
    """
    with log.open("wb") as output:
        started = subprocess.Popen(
            [*ends_with_this_process(), *command], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_until_it_answers(health, started, log)
        yield
    finally:
        started.terminate()
        try:
            started.wait(30)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def ends_with_this_process() -> list[str]:
    """Before a command, where Linux can: also when this process is killed, nothing stays behind."""
    return ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []


def free_port(host: str) -> int:
    """A port that nobody listens on."""
    while True:
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind((host, port))
            return port


def _wait_until_it_answers(health: str, started: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if started.poll() is not None:
            break
        try:
            urllib.request.urlopen(health, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    name = " ".join(started.args) if isinstance(started.args, list) else started.args
    raise RuntimeError(f"{name!r} did not start (exit code {started.poll()}):\n{log.read_text()[-2000:]}")
