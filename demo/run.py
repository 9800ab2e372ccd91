"""`make demo`: train on half a year of real flights, backfill three later months chunk by chunk, print the table."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from demo import data, report, settings
from demo.local_airflow import LocalAirflow, LocalAirflowError, ended_by_signals, only_one

RUN_SECONDS = 600
POLL_SECONDS = 0.5
TRIES = 10
DAG_RUNS = f"/api/v2/dags/{settings.DAG_ID}/dagRuns"
DONE, ENDED = "success", ("success", "failed")

QUIET_SECONDS = 3.0

_started = time.monotonic()
_spoke = threading.Event()
_doing = ""


def main() -> int:
    """:return: the exit code."""
    try:
        with only_one(settings.HOME / "lock"), ended_by_signals(), never_silent():
            return demonstrate()
    except LocalAirflowError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


def demonstrate() -> int:
    """Make the data, run the backfill in a real Airflow, print the table."""
    say("Will a flight from New York arrive more than 15 minutes late? All 336,776 flights of 2013.")
    doing("writing the flights, with the weather and the planes, as a table a month")
    written = data.prepare()
    say(f"Data: twelve monthly files in {_shown(settings.CSV_FOLDER)}" + ("" if written else " (they were there)"))
    receipts_before, models_before = report.receipts(), report.models()
    say(f"Starting Airflow {version('apache-airflow')}: api-server, scheduler, dag-processor")
    # Else Airflow, when the DAG is unpaused, adds a run of the newest month, for which there are no flights.
    environment = {**settings.airflow_environment(), "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False"}
    # The scheduler starts last. SQLite has one writer: a backfill that is refused takes back the runs that it has made,
    # and a scheduler that works on one of them ends with an error.
    with LocalAirflow(settings.AIRFLOW_HOME, settings.DAGS, environment, tell=doing, scheduler=False) as airflow:
        airflow.wait_for_dag(settings.DAG_ID)
        try:
            backfill(airflow, settings.MONTHS)
            airflow.start_scheduler()
            failed = follow(airflow, settings.MONTHS)
            close_backfills(airflow)
        finally:  # `make airflow` goes by the schedules
            set_paused(airflow, True)
        if failed:
            print(f"\n{failed}\n`make airflow` shows the runs and their logs.", file=sys.stderr)
            return 1
    doing("reading what was published")
    months = [report.read_month(month, receipts_before) for month in settings.MONTHS]
    conclude(months, trained_now=bool(report.models() - models_before))
    return 0 if all(month.complete for month in months) else 1


def backfill(airflow: LocalAirflow, months: Sequence[str]) -> None:
    """Ask Airflow for one run a month; runs that are there already are run again."""
    dag = settings.DAG_ID
    set_paused(airflow, False)
    close_backfills(airflow)
    # What a demo that was interrupted left running runs no longer: its processes ended with it.
    for run in _backfill_runs(airflow):
        if run["state"] not in ENDED:
            airflow.call("PATCH", f"{DAG_RUNS}/{quote(run['dag_run_id'])}", {"state": "failed"})
    command = (
        *("backfill", "create", "--dag-id", dag),
        *("--from-date", f"{months[0]}-01", "--to-date", f"{months[-1]}-01"),
        *("--max-active-runs", str(len(months)), "--reprocess-behavior", "completed"),
    )
    say("airflow " + " ".join(command))
    doing("Airflow makes a run for each month")
    for left in reversed(range(TRIES)):
        try:
            airflow.command(*command)
            return
        except LocalAirflowError as error:
            # SQLite has one writer, and the DAG processor may be it. One made in part is closed, and made anew.
            if "database is locked" not in str(error) or not left:
                raise
            time.sleep(POLL_SECONDS)
            close_backfills(airflow)


def set_paused(airflow: LocalAirflow, paused: bool) -> None:
    airflow.call("PATCH", f"/api/v2/dags/{settings.DAG_ID}", {"is_paused": paused})


def close_backfills(airflow: LocalAirflow) -> None:
    """Airflow marks a backfill as complete only some time after its last run, and allows one at a time."""
    for one in airflow.call("GET", f"/api/v2/backfills?dag_id={settings.DAG_ID}&limit=1000")["backfills"]:
        if one["completed_at"] is None:
            airflow.call("PUT", f"/api/v2/backfills/{one['id']}/cancel")


def follow(airflow: LocalAirflow, months: Sequence[str]) -> str:
    """Tell what the months' runs do until all of them have ended.

    :return: what failed, with the end of its log; empty when all went well.
    :raises LocalAirflowError: Airflow broke down, or the runs took too long.
    """
    told: set[str] = set()
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        airflow.check_services()
        runs = _runs(airflow, months)
        instances = {month: _task_instances(airflow, run) for month, run in runs.items()}
        doing(_busy_with([one for found in instances.values() for one in found]))
        for month in runs:
            for news in _news(instances[month]):
                if f"{month}: {news}" not in told:
                    told.add(f"{month}: {news}")
                    say(f"{month}: {news}")
        if all(run["state"] in ENDED for run in runs.values()):
            return "\n".join(line for run in runs.values() for line in _failures(airflow, run))
        time.sleep(POLL_SECONDS)
    raise LocalAirflowError(f"The runs have not ended within {RUN_SECONDS} seconds.")


def conclude(months: Sequence[report.Month], *, trained_now: bool) -> None:
    """Print the table, what was computed, and where to look."""
    model = report.newest_model()
    computed, chunks = sum(month.computed_now for month in months), sum(month.chunks for month in months)
    score = ", ".join(f"{name} {value:.3f}" for name, value in model.metrics.items() if value is not None)
    print(f"\n{report.table(months)}\n")
    print("AUC is measured on months that the model has not seen; rows/s is one worker's, its start-up left out.")
    print(f"Model: {model.estimator_class}, {model.source.rows_used:,} flights, cross-validated {score}.")
    if computed or trained_now:
        what = " and ".join([*["the model"] * trained_now, f"{computed} of {chunks} chunks"])
        print(f"Computed now: {what}. Run it again, and nothing will be.")
    else:
        print(f"Nothing was computed again: the model was there, and the receipts of all {chunks} chunks.")
    print("\nWhere to look:")
    for what, where in (
        ("predictions", settings.PREDICTIONS / months[0].name),
        ("what proves them complete", months[0].proof),
        ("the page of its run", months[0].proof.parent.parent / "report.html"),
        ("the model's page", report.path_of(model.artifact.uri).with_name("report.html")),
        ("the model, its metrics and schema", report.path_of(model.artifact.uri).with_name("manifest.json")),
        ("the DAG", settings.DAGS / f"{settings.DAG_ID}.py"),
        ("Airflow's logs", settings.AIRFLOW_HOME / "logs"),
    ):
        print(f"  {what:34} {_shown(where)}")
    print(f"  {'the runs, chunks and links':34} make airflow")
    say("Done.")


def say(text: str) -> None:
    _spoke.set()
    print(f"[{time.monotonic() - _started:4.0f} s] {text}", flush=True)


def doing(what: str) -> None:
    """What is going on now, in case that there is nothing else to say for a while."""
    global _doing
    _doing = what


@contextmanager
def never_silent() -> Iterator[None]:
    """Say what is going on, whenever nothing was said for some seconds."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            _spoke.clear()
            if not _spoke.wait(QUIET_SECONDS) and not ended.is_set():
                say(f"... {_doing}")

    watcher = threading.Thread(target=watch, name="never-silent", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        _spoke.set()
        watcher.join()


def _busy_with(instances: Sequence[dict[str, Any]]) -> str:
    """The tasks that run or are about to, counted by what they do."""
    running = Counter(one["task_id"].rpartition(".")[2] for one in instances if one["state"] == "running")
    if running:
        return "running: " + ", ".join(f"{count} x {task}" for task, count in running.items())
    return "the next tasks are being started"


def _runs(airflow: LocalAirflow, months: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The backfill's run of each month."""
    by_month = {run["logical_date"][:7]: run for run in _backfill_runs(airflow)}
    return {month: by_month[month] for month in months}


def _backfill_runs(airflow: LocalAirflow) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = airflow.call("GET", f"{DAG_RUNS}?run_type=backfill&limit=1000")["dag_runs"]
    return found


def _task_instances(airflow: LocalAirflow, run: dict[str, Any]) -> list[dict[str, Any]]:
    path = f"{DAG_RUNS}/{quote(run['dag_run_id'])}/taskInstances?limit=1000"
    found: list[dict[str, Any]] = airflow.call("GET", path)["task_instances"]
    return found


def _news(instances: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What there is to say of a run's tasks, in the same words each time it is asked."""
    by_task: dict[str, list[dict[str, Any]]] = {}
    for instance in instances:
        by_task.setdefault(instance["task_id"].rpartition(".")[2], []).append(instance)
    for task, done in (("train", "the model is ready"), ("commit", "complete, proven and published")):
        states = [instance["state"] for instance in by_task.get(task, ())]
        if "running" in states:
            yield f"{task} ..."
        if states and set(states) == {DONE}:
            yield done
    chunks = [instance for instance in by_task.get("predict", ()) if instance["map_index"] >= 0]
    finished = sum(chunk["state"] == DONE for chunk in chunks)
    if finished:
        yield f"{finished} of {len(chunks)} chunks predicted"


def _failures(airflow: LocalAirflow, run: dict[str, Any]) -> Iterator[str]:
    """A run's failed tasks and the ends of their logs."""
    if run["state"] != DONE:
        yield f"The run {run['dag_run_id']} has failed."
    for instance in _task_instances(airflow, run):
        if instance["state"] != "failed":
            continue
        task, tried, index = instance["task_id"], instance["try_number"], instance["map_index"]
        log = f"{DAG_RUNS}/{quote(run['dag_run_id'])}/taskInstances/{task}/logs/{tried}?map_index={index}"
        lines = [line for entry in airflow.call("GET", log)["content"] for line in _log_lines(entry)]
        yield "\n".join([f"Task {task}, map index {index}, attempt {tried}:", *(f"  {line}" for line in lines[-20:])])


def _log_lines(entry: dict[str, Any]) -> Iterator[str]:
    """One entry of a task's log as text: what was said, and the exceptions behind it."""
    if not entry["event"].startswith("::"):
        yield entry["event"]
    for error in entry.get("error_detail") or ():
        yield f"{error['exc_type']}: {error['exc_value']}"


def _shown(path: Any) -> str:
    return str(path.relative_to(settings.REPOSITORY))


if __name__ == "__main__":
    sys.exit(main())
