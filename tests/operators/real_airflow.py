"""A whole Airflow on this machine, for what ``dag.test()`` cannot show: kills, restarts, the triggerer, retries."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from local_cloud import processes
from tests.operators.conftest import PREAMBLE, Run

AIRFLOW_2 = version("apache-airflow").startswith("2.")


class RealAirflow:
    """Scheduler and triggerer (and Airflow 3's API server and DAG processor) with SQLite.

    :param home: a folder of its own.
    :param database: an empty one, which is copied.
    """

    def __init__(self, home: Path, database: Path) -> None:
        self.home, self.dags, self.database = home, home / "dags", home / "airflow.db"
        self.dags.mkdir(parents=True)
        shutil.copy(database, self.database)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._port = processes.free_port("127.0.0.1")
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
            **self._settings(),
            # Airflow 2's executor calls `airflow` by name.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PYTHONWARNINGS": "ignore",
        }

    def start(self) -> None:
        for service in (
            ["scheduler", "triggerer"] if AIRFLOW_2 else ["api-server", "scheduler", "dag-processor", "triggerer"]
        ):
            self.start_service(service)
        if not AIRFLOW_2:
            self.wait_for("the API server", self._api_answers)

    def start_service(self, name: str) -> None:
        options = [] if name in ("api-server", "dag-processor") else ["--skip-serve-logs"]
        with open(self.home / f"{name}.log", "ab") as log:
            self._processes[name] = subprocess.Popen(
                [*processes.ends_with_this_process(), sys.executable, "-m", "airflow", name, *options],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop_service(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        process = self._processes.pop(name)
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        for process in self._processes.values():
            process.terminate()
        give_up = time.monotonic() + 5
        while any(process.poll() is None for process in self._processes.values()) and time.monotonic() < give_up:
            time.sleep(0.1)
        for name in list(self._processes):
            self.stop_service(name, signal.SIGKILL)

    def command(self, *arguments: str) -> str:
        return self.program("airflow", *arguments)

    def program(self, module: str, *arguments: str) -> str:
        """``python -m MODULE``, as on the machine of the scheduler; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def add_file(self, name: str, source: str) -> None:
        """Into the DAGs folder, in one step: half a file would be parsed, and then not again for a while."""
        new = self.home / name
        new.write_text(source)
        new.rename(self.dags / name)

    def wait_for_dag(self, dag_id: str) -> None:
        """Until Airflow has parsed a DAG and can run it."""
        self.wait_for(dag_id, lambda: self._row("SELECT 1 FROM serialized_dag WHERE dag_id = ?", dag_id))

    def run(self, dag_id: str, body: str) -> Run:
        """Write a DAG that runs once, and wait until its run has begun."""
        self.add_file(
            f"{dag_id}.py",
            f"{PREAMBLE}\nwith DAG({dag_id!r}, start_date=datetime(2026, 1, 1), schedule='@once') as dag:\n"
            + textwrap.indent(textwrap.dedent(body), "    "),
        )
        return self.wait_for_first_run(dag_id)

    def wait_for_first_run(self, dag_id: str) -> Run:
        """Of a DAG that runs once."""
        (run_id,) = self.wait_for(
            f"a run of {dag_id}", lambda: self._row("SELECT run_id FROM dag_run WHERE dag_id = ?", dag_id)
        )
        return Run(self.database, dag_id, run_id, "running")

    def wait_for_run(self, run: Run, *, seconds: float = 600) -> str:
        """Until the run has ended; its state."""
        query = "SELECT state FROM dag_run WHERE dag_id = ? AND run_id = ? AND state IN ('success', 'failed')"
        (state,) = self.wait_for(
            f"{run.dag_id} to end", lambda: self._row(query, run.dag_id, run.run_id), seconds=seconds
        )
        return str(state)

    def wait_for_state(self, run: Run, task_id: str, state: str, map_index: int = -1, *, seconds: float = 600) -> None:
        self.wait_for(f"{task_id} to be {state}", lambda: run.states(task_id).get(map_index) == state, seconds=seconds)

    def mark(self, run: Run, task_id: str, state: str, map_index: int = -1) -> None:
        """What the UI does when a person marks a task."""
        self._write(
            "UPDATE task_instance SET state = ? WHERE dag_id = ? AND run_id = ? AND task_id = ? AND map_index = ?",
            *(state, run.dag_id, run.run_id, task_id, map_index),
        )

    def fail_run(self, run: Run) -> None:
        """What the UI does when a person marks a DAG run as failed: its unfinished tasks are stopped."""
        source = (
            "from airflow.api.common.mark_tasks import set_dag_run_state_to_failed as fail\n"
            "from airflow.models.serialized_dag import SerializedDagModel\n"
            f"fail(dag=SerializedDagModel.get_dag({run.dag_id!r}), run_id={run.run_id!r}, commit=True)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", source], env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def wait_for(self, what: str, look: Callable[[], Any], *, seconds: float = 600, pause: float = 0.2) -> Any:
        give_up = time.monotonic() + seconds
        while not (found := look()):
            for name, process in self._processes.items():
                assert process.poll() is None, f"{name} ended:\n{self._tail(name)}"
            assert time.monotonic() < give_up, f"waited {seconds} s for {what}\n{self._standing()}"
            time.sleep(pause)
        return found

    def events_of(self, uri: str) -> int:
        """How many asset (dataset) events there are for a URI."""
        asset, event = ("dataset", "dataset_event") if AIRFLOW_2 else ("asset", "asset_event")
        query = f"SELECT count(*) FROM {event} e JOIN {asset} a ON a.id = e.{asset}_id WHERE a.uri = ?"
        return int(self._row(query, uri)[0])

    def _tail(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text(errors="replace")[-3000:]

    def _standing(self) -> str:
        """What is known of those that have not ended: which task, since when, who has it, and what they said last."""
        query = (
            "SELECT dag_id, task_id, map_index, state, try_number, queued_dttm, start_date, next_method, trigger_id "
            "FROM task_instance WHERE state IS NULL OR state NOT IN ('success', 'failed', 'skipped', 'upstream_failed')"
        )
        with contextlib.closing(sqlite3.connect(self.database, timeout=120)) as connection:
            tasks = [*connection.execute(query)]
            triggers = [*connection.execute("SELECT id, triggerer_id, created_date FROM trigger")]
        said = [f"Triggers: {triggers}", "Tasks that have not ended:", *map(repr, tasks)]
        for dag_id, task_id, map_index, *_ in tasks:
            wanted = f"map_index={map_index}" if map_index >= 0 else ""
            for path in sorted((self.home / "logs").glob(f"dag_id={dag_id}/run_id=*/task_id={task_id}/**/*.log*")):
                if wanted in str(path):
                    said += [f"--- {path.relative_to(self.home)}", path.read_text(errors="replace")[-1500:]]
        return "\n".join([*said, *(f"--- {name}\n{self._tail(name)}" for name in self._processes)])

    def _row(self, query: str, *values: Any) -> Any:
        with contextlib.closing(sqlite3.connect(self.database, timeout=120)) as connection:
            return connection.execute(query, values).fetchone()

    def _write(self, query: str, *values: Any) -> None:
        with contextlib.closing(sqlite3.connect(self.database, timeout=120)) as connection:
            connection.execute(query, values)
            connection.commit()

    def _api_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/api/v2/version", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def _settings(self) -> dict[str, str]:
        url = f"http://127.0.0.1:{self._port}"
        return {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTOR": "SequentialExecutor" if AIRFLOW_2 else "LocalExecutor",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            # Services that start beside each other would each make one.
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self._port),
            "AIRFLOW__API__BASE_URL": url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.database}?timeout=120",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "1",
            # A new or changed file is parsed at once in any case; to parse all the others again kept a core busy.
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "1800",
            "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "300",
            "AIRFLOW__CORE__DAG_FILE_PROCESSOR_TIMEOUT": "300",
            "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
            "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "1",
            "AIRFLOW__SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "1800",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "1",
            "AIRFLOW__SCHEDULER__LOCAL_TASK_JOB_HEARTBEAT_SEC": "1",
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            # On a busy machine the API server answers late. A call that is made again is a conflict with the first one.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",
            # A task whose worker is gone is missed after a minute, not after five. (Airflow 3, Airflow 2)
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": "60",
            "AIRFLOW__SCHEDULER__ZOMBIE_DETECTION_INTERVAL": "5",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }


@contextlib.contextmanager
def real_airflow(home: Path, database: Path) -> Iterator[RealAirflow]:
    airflow = RealAirflow(home, database)
    try:
        airflow.start()
        yield airflow
    finally:
        airflow.stop()
