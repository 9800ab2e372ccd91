"""Kills, retries and restarts, in a whole Airflow with its scheduler and triggerer."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.operators.conftest import ROWS, predict, published_rows, train
from tests.operators.database import Run
from tests.operators.real_airflow import RealAirflow

#: A factory that says that it runs, and waits until it may go on: training lasts as long as a test likes.
SLOW_MODELS = """
import os, time
from pathlib import Path
from sklearn.tree import DecisionTreeClassifier

def slow(folder):
    folder = Path(folder)
    (folder / f"started-{os.getpid()}").touch()
    while not (folder / "go").exists():
        time.sleep(0.05)
    return DecisionTreeClassifier(max_depth=2)
"""


@pytest.fixture(scope="module")
def airflow(real_airflow: RealAirflow) -> RealAirflow:
    real_airflow.add_file("slow_models.py", SLOW_MODELS)
    return real_airflow


@pytest.fixture(autouse=True)
def leave_no_worker(table: Path) -> Iterator[None]:
    """A test that fails must not leave a detached worker that waits for ever."""
    yield
    go(table)


def slow_train(folder: Path, **changes: str) -> str:
    """Source of a training task that waits for ``go`` in the folder."""
    return train(folder, estimator="'slow_models:slow'", estimator_params=f"{{'folder': '{folder}'}}", **changes)


def worker_of(airflow: RealAirflow, folder: Path, *, other_than: int = 0) -> int:
    """The process id of the worker that has begun to train."""

    def look() -> int:
        pids = [int(path.name.partition("-")[2]) for path in folder.glob("started-*")]
        return next((pid for pid in pids if pid != other_than), 0)

    return int(airflow.wait_for("a worker to train", look))


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_dead(airflow: RealAirflow, pid: int) -> None:
    airflow.wait_for("the worker to be stopped", lambda: not is_alive(pid))


def go(folder: Path) -> None:
    (folder / "go").touch()


RETRIES = {"retries": "1", "retry_delay": "timedelta(seconds=0)"}


@pytest.mark.parametrize("deferrable", ["False", "True"], ids=["waiting", "deferred"])
def test_a_worker_that_is_killed_half_way_is_retried(airflow: RealAirflow, table: Path, deferrable: str) -> None:
    run = airflow.run(f"killed_worker_{deferrable}", slow_train(table, deferrable=deferrable, **RETRIES))
    pid = worker_of(airflow, table)
    os.kill(pid, signal.SIGKILL)
    assert worker_of(airflow, table, other_than=pid)
    go(table)
    assert airflow.wait_for_run(run) == "success"
    assert run.xcom("train")["rows"] == ROWS


@pytest.mark.parametrize("deferrable", ["False", "True"], ids=["waiting", "deferred"])
def test_a_task_that_a_person_fails_stops_its_worker(airflow: RealAirflow, table: Path, deferrable: str) -> None:
    run = airflow.run(f"marked_failed_{deferrable}", slow_train(table, deferrable=deferrable))
    pid = worker_of(airflow, table)
    airflow.wait_for_state(run, "train", "deferred" if deferrable == "True" else "running")
    airflow.mark(run, "train", "failed")
    wait_until_dead(airflow, pid)


def test_a_task_that_is_killed_hard_takes_its_worker_with_it(airflow: RealAirflow, table: Path) -> None:
    run = airflow.run("killed_task", slow_train(table))
    pid = worker_of(airflow, table)
    task = psutil.Process(pid).ppid()
    os.kill(task, signal.SIGKILL)
    wait_until_dead(airflow, pid)
    airflow.mark(run, "train", "failed")


def test_a_triggerer_that_restarts_leaves_the_job_alone(airflow: RealAirflow, table: Path) -> None:
    run = airflow.run("restarted_triggerer", slow_train(table, deferrable="True"))
    pid = worker_of(airflow, table)
    airflow.wait_for_state(run, "train", "deferred")
    with airflow.without_triggerer():
        assert is_alive(pid)
    go(table)
    assert airflow.wait_for_run(run) == "success"
    assert list(table.glob("started-*")) == [table / f"started-{pid}"], "one worker did it all"


def test_a_deferred_task_past_its_execution_timeout_stops_its_worker(airflow: RealAirflow, table: Path) -> None:
    run = airflow.run("timed_out", slow_train(table, deferrable="True", execution_timeout="timedelta(seconds=30)"))
    pid = worker_of(airflow, table)
    assert airflow.wait_for_run(run) == "failed"
    wait_until_dead(airflow, pid)


def test_a_cleared_deferred_task_goes_on_with_its_job_or_with_one_anew(airflow: RealAirflow, table: Path) -> None:
    """The next attempt and the old trigger race: the attempt takes the job over, or the trigger stops it first."""
    run = airflow.run("cleared_deferred", slow_train(table, deferrable="True"))
    worker_of(airflow, table)
    airflow.wait_for_state(run, "train", "deferred")
    airflow.command("tasks", "clear", "--yes", run.dag_id)
    airflow.wait_for("the next attempt", lambda: run.attempts("train") == 2)
    airflow.wait_for_state(run, "train", "deferred")
    go(table)
    assert airflow.wait_for_run(run) == "success"
    assert run.xcom("train")["rows"] == ROWS
    for path in table.glob("started-*"):
        wait_until_dead(airflow, int(path.name.partition("-")[2]))


def test_a_cleared_chunk_is_not_computed_again(airflow: RealAirflow, table: Path, model: str) -> None:
    run = airflow.run("cleared_chunk", predict(table, model, partition="'p'", deferrable="True"))
    assert airflow.wait_for_run(run) == "success"
    assert [chunk["reused"] for chunk in run.xcoms("score.predict")] == [False, False]
    receipts = sorted((table / "scores" / "_airflow_sklearn").rglob("receipts/*"))
    before = [path.stat().st_mtime_ns for path in receipts]

    airflow.command("tasks", "clear", "--yes", "--task-regex", "score.predict", "--downstream", run.dag_id)
    airflow.wait_for("the chunks to have run again", lambda: _all_reused(run))
    assert airflow.wait_for_run(run) == "success"
    assert [path.stat().st_mtime_ns for path in receipts] == before
    assert run.xcom("score.commit")["published"] is False
    assert published_rows(table / "scores" / "p") == list(range(ROWS))


def _all_reused(run: Run) -> bool:
    chunks = run.xcoms("score.predict")
    return all(chunk and chunk["reused"] for chunk in chunks)


def test_a_chunk_that_runs_twice_at_the_same_moment_counts_once(airflow: RealAirflow, table: Path, model: str) -> None:
    body = f"""
plan = SklearnPlanOperator(
    task_id="plan", model="{model}", source="{table}/new/*.csv", destination="{table}/scores", partition="p",
)
@task
def twice(chunks):
    return list(chunks) * 2
predict = SklearnPredictOperator.partial(
    task_id="predict", runtime=LocalRuntime(state_dir="{table}/state", processes=1), deferrable=True,
).expand(chunk=twice(plan.output))
predict >> SklearnCommitOperator(task_id="commit", plan=plan.output)
"""
    run = airflow.run("twice", body)
    assert airflow.wait_for_run(run) == "success"
    assert [chunk["rows"] for chunk in run.xcoms("predict")] == [ROWS] * 2
    assert run.xcom("commit")["chunks"] == 1
    assert published_rows(table / "scores" / "p") == list(range(ROWS))


def test_links_labels_and_asset_events_of_a_deferred_mapped_run(airflow: RealAirflow, table: Path, model: str) -> None:
    watcher = (
        f"with DAG('watcher', start_date=datetime(2026, 1, 1), schedule=[Asset('file://{table}/scores')]):\n"
        "    @task\n    def see():\n        pass\n    see()\n"
    )
    airflow.add_file(
        "watcher.py",
        f"from datetime import datetime\nfrom airflow_sklearn.airflow_compat import DAG, Asset, task\n{watcher}",
    )
    airflow.wait_for_dag("watcher")
    run = airflow.run("announced", predict(table, model, partition="'p'", deferrable="True"))
    assert airflow.wait_for_run(run) == "success"
    assert run.labels("score.predict") == ["part-0.csv (1 of 2)", "part-1.csv (2 of 2)"]
    for index in range(2):
        assert "_airflow_sklearn/" in run.xcom("score.predict", index, "airflow_sklearn_run_ledger")
    assert run.xcom("score.commit", key="airflow_sklearn_published_data") == f"file://{table}/scores/p/"
    assert airflow.events_of(f"file://{table}/scores") == 1


def test_a_mapped_training_announces_each_model(airflow: RealAirflow, table: Path) -> None:
    """Their URIs are not known when the DAG is parsed; whoever waits for one declares it."""
    go(table)
    airflow.add_file(
        "model_watcher.py",
        "from datetime import datetime\nfrom airflow_sklearn.airflow_compat import DAG, Asset, task\n"
        f"with DAG('model_watcher', start_date=datetime(2026, 1, 1), schedule=[Asset('file://{table}/b')]):\n"
        "    @task\n    def see():\n        pass\n    see()\n",
    )
    body = f"""
SklearnTrainOperator.partial(
    task_id="train", estimator="slow_models:slow", estimator_params={{"folder": "{table}"}},
    source="{table}/train.csv", target="y", primary_key="id", cross_validation=0,
    runtime=LocalRuntime(state_dir="{table}/state", processes=1),
).expand(model=["{table}/a", "{table}/b"])
"""
    airflow.wait_for_dag("model_watcher")
    run = airflow.run("mapped_models", body)
    assert airflow.wait_for_run(run) == "success"
    assert airflow.events_of(f"file://{table}/b") == 1


def test_without_reuse_a_cleared_task_fits_again(airflow: RealAirflow, table: Path) -> None:
    run = airflow.run("cleared_training", train(table, reuse="False", retries="1"))
    assert airflow.wait_for_run(run) == "success"
    first = run.xcom("train")
    airflow.command("tasks", "clear", "--yes", run.dag_id)
    airflow.wait_for("the model to be fitted again", lambda: _version(run) not in ("", first["version"]))
    assert run.xcom("train")["reused"] is False


def _version(run: Run) -> str:
    return (run.xcom("train") or {}).get("version", "")
