"""The processes of a whole Airflow. ``python -m tests.operators.airflow_services HOME`` runs them for others.

Several processes of tests share one Airflow: the one that controls them starts this module, and they ask it to stop and
start a service. The database is in PostgreSQL where that can run, else in SQLite.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any

from local_cloud import postgres, processes
from local_cloud.waiting import PATIENCE, wait_for
from tests.operators.database import AIRFLOW_2

SERVICES = ("scheduler", "triggerer") if AIRFLOW_2 else ("api-server", "scheduler", "dag-processor", "triggerer")
#: In the home: what others must know to use it, once it runs, or why it does not.
READY, FAILED, CONTROL = "ready.json", "failed.txt", "control"


class AirflowServices:
    """Those of one home, as children of this process.

    :param environment: of all of them.
    """

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self._home, self._environment = home, environment
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        options = [] if name in ("api-server", "dag-processor") else ["--skip-serve-logs"]
        with (self._home / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [*processes.ends_with_this_process(), sys.executable, "-m", "airflow", name, *options],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        process = self._processes.pop(name)
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop_all(self) -> None:
        for process in self._processes.values():
            process.terminate()
        give_up = time.monotonic() + 5
        while any(process.poll() is None for process in self._processes.values()) and time.monotonic() < give_up:
            time.sleep(0.1)
        for name in list(self._processes):
            self.stop(name, signal.SIGKILL)

    def ended(self) -> list[str]:
        """The names of those that have ended though nobody stopped them."""
        return [name for name, process in self._processes.items() if process.poll() is not None]


class RemoteServices:
    """Those that another process runs; see :class:`AirflowServices`."""

    def __init__(self, home: Path) -> None:
        self._address = str(home / CONTROL)

    def start(self, name: str) -> None:
        self._ask("start", name)

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        self._ask("stop", name, number)

    def ended(self) -> list[str]:
        return list(self._ask("ended"))

    def _ask(self, method: str, *arguments: Any) -> Any:
        with Client(self._address, "AF_UNIX") as connection:
            connection.send((method, arguments))
            return connection.recv()


@contextlib.contextmanager
def airflow_host(home: Path) -> Iterator[None]:
    """Start a process that runs an Airflow in ``home``, without waiting until it is ready, and end it."""
    (home / "dags").mkdir(parents=True)
    with (home / "host.log").open("wb") as log:
        command = [*processes.ends_with_this_process(), sys.executable, "-m", __name__, str(home)]
        path = os.pathsep.join(path for path in sys.path if path)
        host = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        host.terminate()
        host.wait(PATIENCE)


def wait_until_ready(home: Path) -> dict[str, Any]:
    """What others must know of the Airflow in ``home``: ``url`` of its database, ``environment`` for its commands."""
    ready, failed = home / READY, home / FAILED
    wait_for(lambda: ready.exists() or failed.exists(), lambda: _said(home), pause=0.2)
    assert not failed.exists(), failed.read_text()
    found: dict[str, Any] = json.loads(ready.read_text())
    return found


def main(home: Path) -> None:
    """Run an Airflow until SIGTERM, and start and stop its services for other processes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with ExitStack() as stack:
            url = stack.enter_context(_database(home))
            port = processes.free_port("127.0.0.1")
            environment = _environment(home, url, port)
            subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=environment, check=True)
            services = AirflowServices(home, environment)
            stack.callback(services.stop_all)
            for name in SERVICES:
                services.start(name)
            if not AIRFLOW_2:
                wait_for(lambda: _api_answers(port), lambda: _said(home), pause=0.2)
            listener = stack.enter_context(Listener(str(home / CONTROL), "AF_UNIX"))
            unfinished = home / f"{READY}.new"
            unfinished.write_text(json.dumps({"url": url, "environment": environment}))
            unfinished.rename(home / READY)
            _serve(listener, services)
    except Exception as error:
        (home / FAILED).write_text(f"{error!r}\n{_said(home)}")
        raise


def _serve(listener: Listener, services: AirflowServices) -> None:
    # In this thread: a service ends with the thread that has started it.
    while True:
        with contextlib.suppress(EOFError, OSError), listener.accept() as connection:
            method, arguments = connection.recv()
            connection.send(getattr(services, method)(*arguments))


@contextlib.contextmanager
def _database(home: Path) -> Iterator[str]:
    try:
        postgres.check()
    except postgres.NoPostgresError:
        yield f"sqlite:///{home}/airflow.db?timeout=120"
        return
    with postgres.running(postgres.LOOPBACK, home / "postgres.log") as server:
        yield f"postgresql+psycopg2://{server.user}@{server.host}:{server.port}/{server.database}"


def _api_answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/version", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _said(home: Path) -> str:
    return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in sorted(home.glob("*.log")))


def _environment(home: Path, database: str, port: int) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
        **_settings(home, database, port),
        # Airflow 2's executor calls `airflow` by name.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONWARNINGS": "ignore",
    }


def _settings(home: Path, database: str, port: int) -> dict[str, str]:
    url = f"http://127.0.0.1:{port}"
    one_by_one = AIRFLOW_2 and database.startswith("sqlite")
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTOR": "SequentialExecutor" if one_by_one else "LocalExecutor",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        # Services that start beside each other would each make one.
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW__CORE__PARALLELISM": "12",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        # What follows looks often enough for tests that wait, and seldom enough for the cores that they share.
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2",
        # A new or changed file is parsed at once in any case; to parse all the others again kept a core busy.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "1800",
        "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "300",
        "AIRFLOW__CORE__DAG_FILE_PROCESSOR_TIMEOUT": "300",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
        "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "2",
        "AIRFLOW__SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "1800",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
        # Not LOCAL_TASK_JOB_HEARTBEAT_SEC: it is also how long a task of Airflow 2 may be silent before it ends itself.
        "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
        # On a busy machine the API server answers late. A call that is made again is a conflict with the first one.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",
        # A task whose worker is gone is missed after a minute and a half, not after five. (Airflow 3, Airflow 2) A live
        # one on a busy machine may be silent for a minute.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "90",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": "90",
        "AIRFLOW__SCHEDULER__ZOMBIE_DETECTION_INTERVAL": "5",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
