"""A whole Airflow on this machine, for what ``dag.test()`` cannot show: kills, restarts, the triggerer, retries."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.operators.airflow_services import RemoteServices, wait_until_ready
from tests.operators.conftest import PREAMBLE
from tests.operators.database import AIRFLOW_2, Database, Run
from tests.waiting import PATIENCE, wait_for

#: After so many looks a test asks whether Airflow's services still run.
_LOOKS = 50


class RealAirflow:
    """An Airflow that ``airflow_services.py`` runs. Others use it at the same time.

    :param home: its home.
    :param name: of this process of tests: its DAGs have ids of their own.
    """

    def __init__(self, home: Path, name: str) -> None:
        ready = wait_until_ready(home)
        self.home, self.dags, self.database = home, home / "dags", Database(ready["url"])
        self.default_args: dict[str, Any] = {}
        self._name, self._environment = name, ready["environment"]
        self._services = RemoteServices(home)

    @contextlib.contextmanager
    def without_triggerer(self, number: signal.Signals = signal.SIGTERM) -> Iterator[None]:
        """Nobody runs triggers within the block: one test at a time has one."""
        with (self.home / "triggerer.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._services.stop("triggerer", number)
            try:
                yield
            finally:
                self._services.start("triggerer")

    @contextlib.contextmanager
    def with_one_triggerer(self) -> Iterator[None]:
        """No other test stops it within the block: the next one would log again what a job has said so far."""
        with (self.home / "triggerer.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield

    def command(self, *arguments: str) -> str:
        return self.program("airflow", *arguments)

    def program(self, module: str, *arguments: str) -> str:
        """``python -m MODULE``, as on the machine of the scheduler; what it printed."""
        return self._python("-m", module, *arguments)

    def connect(self, **connections: dict[str, Any]) -> None:
        """Add connections to its database, by their ids; ``airflow connections import`` takes seconds of a core."""
        for name, fields in connections.items():
            columns = {"conn_id": name, **fields, "extra": json.dumps(fields.get("extra", {}))}
            self.database.write("DELETE FROM connection WHERE conn_id = ?", name)
            self.database.write(
                f"INSERT INTO connection ({', '.join(columns)}, is_encrypted, is_extra_encrypted) "
                f"VALUES ({', '.join('?' * len(columns))}, false, false)",
                *columns.values(),
            )

    def add_file(self, name: str, source: str) -> None:
        """Into the DAGs folder, in one step: half a file would be parsed, and then not again for a while.

        Its DAGs get this process's ``default_args``.
        """
        new = self.home / name
        new.write_text(source.replace("with DAG(\n", f"with DAG(\n    default_args={self.default_args!r},\n"))
        new.rename(self.dags / name)

    def wait_for_dag(self, dag_id: str) -> None:
        """Until Airflow has parsed a DAG and can run it."""
        self.wait_for(dag_id, lambda: self._row("SELECT 1 FROM serialized_dag WHERE dag_id = ?", dag_id))

    def run(self, name: str, body: str) -> Run:
        """Write a DAG that runs once, and wait until its run has begun."""
        dag_id = f"{self._name}_{name}"
        dag = f"with DAG(\n    dag_id={dag_id!r}, start_date=datetime(2026, 1, 1), schedule='@once'\n) as dag:\n"
        self.add_file(f"{dag_id}.py", f"{PREAMBLE}\n{dag}" + textwrap.indent(textwrap.dedent(body), "    "))
        return self.wait_for_first_run(dag_id)

    def wait_for_first_run(self, dag_id: str) -> Run:
        """Of a DAG that runs once."""
        (run_id,) = self.wait_for(
            f"a run of {dag_id}", lambda: self._row("SELECT run_id FROM dag_run WHERE dag_id = ?", dag_id)
        )
        return Run(self.database, dag_id, run_id, "running")

    def trigger(self, dag_id: str, conf: str) -> Run:
        """Run a DAG now, as soon as Airflow knows it."""
        self.wait_for_dag(dag_id)
        self.command("dags", "trigger", dag_id, "--run-id", "triggered", "--conf", conf)
        return Run(self.database, dag_id, "triggered", "running")

    def wait_for_run(self, run: Run, *, seconds: float = PATIENCE) -> str:
        """Until the run has ended; its state."""
        query = "SELECT state FROM dag_run WHERE dag_id = ? AND run_id = ? AND state IN ('success', 'failed')"
        (state,) = self.wait_for(
            f"{run.dag_id} to end", lambda: self._row(query, run.dag_id, run.run_id), seconds=seconds
        )
        return str(state)

    def wait_for_state(
        self, run: Run, task_id: str, state: str, map_index: int = -1, *, seconds: float = PATIENCE
    ) -> None:
        self.wait_for(f"{task_id} to be {state}", lambda: run.states(task_id).get(map_index) == state, seconds=seconds)

    def mark(self, run: Run, task_id: str, state: str, map_index: int = -1) -> None:
        """What the UI does when a person marks a task."""
        self.database.write(
            "UPDATE task_instance SET state = ? WHERE dag_id = ? AND run_id = ? AND task_id = ? AND map_index = ?",
            *(state, run.dag_id, run.run_id, task_id, map_index),
        )

    def fail_run(self, run: Run) -> None:
        """What the UI does when a person marks a DAG run as failed: its unfinished tasks are stopped."""
        self._python(
            "-c",
            "from airflow.api.common.mark_tasks import set_dag_run_state_to_failed as fail\n"
            "from airflow.models.serialized_dag import SerializedDagModel\n"
            f"fail(dag=SerializedDagModel.get_dag({run.dag_id!r}), run_id={run.run_id!r}, commit=True)\n",
        )

    def wait_for(self, what: str, look: Callable[[], Any], *, seconds: float = PATIENCE, pause: float = 0.5) -> Any:
        looks = itertools.count(1)

        def found() -> Any:
            seen = look()
            if not seen and next(looks) % _LOOKS == 0:
                assert not (ended := self._services.ended()), f"ended: {ended}\n{self._standing()}"
            return seen

        return wait_for(found, lambda: f"for {what}\n{self._standing()}", seconds=seconds, pause=pause)

    def events_of(self, uri: str) -> int:
        """How many asset (dataset) events there are for a URI."""
        asset, event = ("dataset", "dataset_event") if AIRFLOW_2 else ("asset", "asset_event")
        query = f"SELECT count(*) FROM {event} e JOIN {asset} a ON a.id = e.{asset}_id WHERE a.uri = ?"
        return int(self._row(query, uri)[0])

    def _python(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _row(self, query: str, *values: Any) -> Any:
        return next(iter(self.database.query(query, *values)), None)

    def _standing(self) -> str:
        """What is known of those that have not ended: which task, since when, who has it, and what they said last."""
        tasks = self.database.query(
            "SELECT dag_id, task_id, map_index, state, try_number, queued_dttm, start_date, next_method, trigger_id "
            "FROM task_instance WHERE state IS NULL OR state NOT IN ('success', 'failed', 'skipped', 'upstream_failed')"
        )
        triggers = self.database.query("SELECT id, triggerer_id, created_date FROM trigger")
        said = [f"Triggers: {triggers}", "Tasks that have not ended:", *map(repr, tasks)]
        for dag_id, task_id, map_index, *_ in tasks:
            wanted = f"map_index={map_index}" if map_index >= 0 else ""
            for path in sorted((self.home / "logs").glob(f"dag_id={dag_id}/run_id=*/task_id={task_id}/**/*.log*")):
                if wanted in str(path):
                    said += [f"--- {path.relative_to(self.home)}", path.read_text(errors="replace")[-1500:]]
        for log in sorted(self.home.glob("*.log")):
            said.append(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")
        return "\n".join(said)
