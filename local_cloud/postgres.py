"""A PostgreSQL server of one's own: in a temporary folder, on a free port, gone when it ends.

It trusts whoever can reach it, this machine and its containers: it listens on the loopback interface and on
Docker's bridge only. Rows do not survive a power cut (``fsync=off``), so that it is quick.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_cloud import processes
from local_cloud.waiting import PATIENCE

FOLDERS = "airflow-sklearn-postgres-"
#: PostgreSQL refuses to run as root.
ACCOUNT = "postgres"
#: In a server's folder: locked by the process that has started it, as long as that runs.
_LOCK = "in-use"
LOOPBACK = "127.0.0.1"


class NoPostgresError(RuntimeError):
    """PostgreSQL cannot be run here; the message says what is missing."""


@dataclass(frozen=True)
class Postgres:
    """A running server.

    :param host: under which this machine and containers reach it.
    """

    host: str
    port: int
    user: str = ACCOUNT
    database: str = "postgres"

    def query(self, sql: str) -> list[list[str]]:
        """What ``psql`` prints for the statements: rows of text.

        :raises RuntimeError: they failed.
        """
        address = ["--host", self.host, "--port", str(self.port), "--username", self.user, "--dbname", self.database]
        options = ["--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "--set", "ON_ERROR_STOP=1"]
        done = subprocess.run(
            [program("psql"), *address, *options, "--field-separator", "\t", "--command", sql],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return [line.split("\t") for line in done.stdout.splitlines()]


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs, of the newest version that is installed.

    :raises FileNotFoundError: it is not installed.
    """
    found = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(re.sub(r"\D", "", path.parts[4]) or 0)
    )
    if not found:
        raise FileNotFoundError(f"PostgreSQL's {name} is not installed")
    return str(found[-1])


def check() -> None:
    """:raises NoPostgresError: a server cannot be started here."""
    remedy = "`.ci/install-container-tests`, as root, on Debian, installs what is needed."
    if os.geteuid() != 0:
        raise NoPostgresError(f"starting PostgreSQL under its own account needs root. {remedy}")
    try:
        version = Path(program("initdb")).parts[4]
    except FileNotFoundError as error:
        raise NoPostgresError(f"{error}. {remedy}") from error
    if not Path(f"/usr/share/postgresql/{version}/extension/plpython3u.control").exists():
        raise NoPostgresError(f"PostgreSQL {version} has no plpython3u. {remedy}")


@contextmanager
def running(host: str, log: Path) -> Iterator[Postgres]:
    """Make an empty cluster of databases, start its server, and end and forget it. Needs root.

    :param host: Docker's bridge; the server listens on the loopback interface too.
    :param log: the file that gets what it prints.
    :raises RuntimeError: it did not start; the message holds the end of its log.
    """
    folder = Path(tempfile.mkdtemp(prefix=FOLDERS))
    data, port = folder / "data", processes.free_port(host)
    in_use = (folder / "locking").open("w")
    fcntl.flock(in_use, fcntl.LOCK_EX)
    (folder / "locking").rename(folder / _LOCK)  # nobody finds it unlocked, and takes it for a leftover
    try:
        shutil.chown(folder, ACCOUNT, ACCOUNT)
        _make(data, log)
        with log.open("ab") as output:
            server = subprocess.Popen(_command(data, host, port), stdout=output, stderr=output, cwd=folder)
        try:
            _wait_until_ready(host, port, server, log)
            yield Postgres(host, port)
        finally:
            server.send_signal(signal.SIGINT)  # fast shutdown: clients are disconnected
            server.wait(PATIENCE)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        in_use.close()


def remove_leftovers() -> None:
    """The folders of servers that were killed with the process that had started them."""
    for lock in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*/{_LOCK}"):
        with contextlib.suppress(OSError), lock.open() as in_use:
            fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)  # else it belongs to another process that runs
            shutil.rmtree(lock.parent, ignore_errors=True)


def _make(data: Path, log: Path) -> None:
    options = ["--auth=trust", f"--username={ACCOUNT}", "--encoding=UTF8", "--locale=C", "--no-sync"]
    with log.open("ab") as output:
        done = subprocess.run(
            [*_as_account(), program("initdb"), *options, "--pgdata", str(data)],
            stdout=output,
            stderr=output,
            check=False,
            cwd=data.parent,
        )
    if done.returncode != 0:
        raise RuntimeError(f"PostgreSQL's initdb failed:\n{log.read_text()[-2000:]}")
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write("host all all samenet trust\n")  # of the interfaces that it listens on: containers


def _command(data: Path, host: str, port: int) -> list[str]:
    settings = {
        "listen_addresses": ",".join(dict.fromkeys((LOOPBACK, host))),
        "port": port,
        "unix_socket_directories": data.parent,
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        "wal_level": "minimal",
        "max_wal_senders": 0,
        "max_wal_size": "4GB",
        "shared_buffers": "256MB",
        "max_connections": 200,
    }
    options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
    return [*_as_account("--pdeathsig", "INT"), program("postgres"), "-D", str(data), *options]


def _as_account(*options: str) -> Sequence[str]:
    return ["setpriv", "--reuid", ACCOUNT, "--regid", ACCOUNT, "--init-groups", *options]


def _wait_until_ready(host: str, port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    ask = [program("pg_isready"), "--quiet", "--host", host, "--port", str(port)]
    while time.monotonic() < deadline and server.poll() is None:
        if subprocess.run(ask, check=False, env={**os.environ, "PGCONNECT_TIMEOUT": "3"}).returncode == 0:
            return
        time.sleep(0.05)
    raise RuntimeError(f"PostgreSQL did not start (exit code {server.poll()}):\n{log.read_text()[-2000:]}")
