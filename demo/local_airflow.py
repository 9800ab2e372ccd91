"""A real Airflow on this machine: its services as processes on free loopback ports, which end with this process."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
START_SECONDS = 120
STOP_SECONDS = 10
AIRFLOW = (sys.executable, "-m", "airflow")
_SCHEDULER = "scheduler --skip-serve-logs"


class LocalAirflowError(Exception):
    """Airflow did not start, or refused what was asked."""


class LocalAirflow:
    """Airflow with SQLite and the LocalExecutor, as a context manager.

    :param home: the AIRFLOW_HOME; made when it is not there.
    :param dags: the folder of DAG files.
    :param environment: what is added to the environment: further settings of Airflow, what the DAGs read.
    :param port: of the API server and UI; any free one when that is taken.
    :param triggerer: start the triggerer too (deferrable operators need it).
    :param scheduler: False: the scheduler starts only by ``start_scheduler``.
    :param tell: called with what is being done now, whenever that changes.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        environment: Mapping[str, str],
        *,
        port: int | None = None,
        triggerer: bool = False,
        scheduler: bool = True,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.home, self._tell = home, tell
        self.url = f"http://{HOST}:{_free_port(port)}"
        self.environment = {**_clean_environment(), **environment, **_settings(home, dags, self.url)}
        self._services = ["api-server", *([_SCHEDULER] if scheduler else []), "dag-processor"]
        if triggerer:
            self._services.append("triggerer --skip-serve-logs")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._token = ""

    def __enter__(self) -> LocalAirflow:
        self.home.mkdir(parents=True, exist_ok=True)
        self._migrate()
        try:
            for service in self._services:
                self._start(service)
            self._token = self._wait_for(lambda: self.call("GET", "/auth/token")["access_token"], "its API")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start_scheduler(self) -> None:
        """Start the scheduler, if ``scheduler=False`` has left it out."""
        self._start(_SCHEDULER)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Ask Airflow's REST API.

        :raises LocalAirflowError: it does not answer, or answers with an error.
        """
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise LocalAirflowError(f"{method} {path}: {error}: {error.read().decode(errors='replace')}") from error
        except OSError as error:
            raise LocalAirflowError(f"{method} {path}: {error}") from error

    def command(self, *arguments: str) -> str:
        """Run ``airflow ARGUMENTS``.

        :return: what it printed.
        :raises LocalAirflowError: it failed.
        """
        done = subprocess.run([*AIRFLOW, *arguments], env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LocalAirflowError(f"airflow {' '.join(arguments)} failed:\n{(done.stdout + done.stderr)[-3000:]}")
        return done.stdout

    def wait_for_dag(self, dag_id: str) -> None:
        """Until the DAG processor has read the DAG.

        :raises LocalAirflowError: the file that holds it does not import, or it does not appear in time.
        """
        self._wait_for(
            lambda: self.call("GET", f"/api/v2/dags/{dag_id}"), f"the DAG {dag_id}", self._raise_import_errors
        )

    def check_services(self) -> None:
        """:raises LocalAirflowError: a service has ended by itself."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                log = self._log(name)
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
                raise LocalAirflowError(
                    f"Airflow's {name} ended with code {process.returncode}. {log} ends with:\n{tail}"
                )

    def stop(self) -> None:
        """End every service and whatever it started, politely at first."""
        self._tell("Airflow's services end")
        running = [process for process in self._processes.values() if process.poll() is None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        for process in self._processes.values():
            _kill_session(process)
            process.wait()
        self._processes.clear()

    def _migrate(self) -> None:
        migrated = self.home / "migrated"
        if not migrated.exists() or migrated.read_text() != version("apache-airflow"):
            self._tell("Airflow makes its database")
            self.command("db", "migrate")
            migrated.write_text(version("apache-airflow"))

    def _start(self, service: str) -> None:
        name, *options = service.split()
        log = self._log(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._processes[name] = subprocess.Popen(
                [*AIRFLOW, name, *options],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    def _log(self, service: str) -> Path:
        return self.home / "logs" / "services" / f"{service}.log"

    def _wait_for(self, ask: Callable[[], Any], what: str, check: Callable[[], None] = lambda: None) -> Any:
        self._tell(f"waiting until Airflow offers {what}")
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.check_services()
            try:
                return ask()
            except LocalAirflowError:
                check()
                time.sleep(0.2)
        raise LocalAirflowError(
            f"Airflow did not offer {what} within {START_SECONDS} seconds. See {self._log('api-server').parent}"
        )

    def _raise_import_errors(self) -> None:
        errors = self.call("GET", "/api/v2/importErrors")["import_errors"]
        if errors:
            raise LocalAirflowError("\n".join(f"{error['filename']}:\n{error['stack_trace']}" for error in errors))


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """One demo or UI at a time works on one Airflow home.

    :raises LocalAirflowError: another one is at it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LocalAirflowError(
                "`make demo`, `make airflow` or `make cloud` is running already: end it first."
            ) from error
        yield


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn signals that end a process into SystemExit, so that the services are ended on the way out."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _settings(home: Path, dags: Path, url: str) -> dict[str, str]:
    sections = {
        "CORE": {
            "DAGS_FOLDER": str(dags),
            "EXECUTION_API_SERVER_URL": f"{url}/execution/",
            "EXECUTOR": "LocalExecutor",
            "LOAD_EXAMPLES": "False",
            # As many tasks at a time as a laptop bears: each chunk's worker uses the cores that it finds.
            "PARALLELISM": str(max(2, min(8, os.cpu_count() or 2))),
            # For one person on a loopback port: no password.
            "SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        },
        "API": {
            "BASE_URL": url,
            "HOST": HOST,
            "PORT": url.rpartition(":")[2],
            "WORKERS": "1",
            "SECRET_KEY": secrets.token_hex(32),
        },
        "API_AUTH": {"JWT_SECRET": secrets.token_hex(32)},
        "DATABASE": {"SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}?timeout=60"},
        "SCHEDULER": {"SCHEDULER_IDLE_SLEEP_TIME": "0.2"},
        "USAGE_DATA_COLLECTION": {"ENABLED": "False"},
    }
    settings = {
        f"AIRFLOW__{section}__{key}": value for section, keys in sections.items() for key, value in keys.items()
    }
    return {"AIRFLOW_HOME": str(home), **settings}


def _clean_environment() -> dict[str, str]:
    """Without what configures an Airflow of the user's own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}


def _free_port(wanted: int | None) -> int:
    for port in (wanted, 0):
        if port is None:
            continue
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((HOST, port))
            except OSError:
                continue
            return int(listener.getsockname()[1])
    raise LocalAirflowError("no free port")


def _end_with_parent() -> None:
    """On Linux the kernel ends a service when this process is killed in a way that no handler sees."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    """What is left of the service's own process group, children included."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
