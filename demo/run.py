"""`make demo`: train on half a year of real flights, backfill three later months chunk by chunk, print the table."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

from demo import data, report, settings
from demo.local_airflow import LocalAirflow, LocalAirflowError, ended_by_signals, only_one

RUN_SECONDS = 600
POLL_SECONDS = 0.5
DONE, FAILED = "success", ("failed", "upstream_failed")

_started = time.monotonic()


def main() -> int:
    """:return: the exit code."""
    try:
        with only_one(settings.HOME / "lock"), ended_by_signals():
            return demonstrate()
    except LocalAirflowError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


def demonstrate() -> int:
    """Make the data, run the backfill in a real Airflow, print the table."""
    say("Will a flight from New York arrive more than 15 minutes late? All 336,776 flights of 2013.")
    written = data.prepare()
    say(f"Data: twelve monthly files in {_shown(settings.CSV_FOLDER)}" + ("" if written else " (they were there)"))
    receipts_before, models_before = report.receipts(), report.models()
    say(f"Starting Airflow {version('apache-airflow')}: api-server, scheduler, dag-processor")
    with LocalAirflow(settings.AIRFLOW_HOME, settings.DAGS, settings.dag_environment()) as airflow:
        airflow.wait_for_dag(settings.DAG_ID)
        backfill(airflow, settings.MONTHS)
        failed = follow(airflow, [run_id(month) for month in settings.MONTHS])
        if failed:
            print(f"\n{failed}\n`make airflow` shows the runs and their logs.", file=sys.stderr)
            return 1
    months = [report.read_month(month, receipts_before) for month in settings.MONTHS]
    conclude(months, trained_now=bool(report.models() - models_before))
    return 0 if all(month.complete for month in months) else 1


def backfill(airflow: LocalAirflow, months: Sequence[str]) -> None:
    """Ask Airflow for one run a month; runs that are there already are run again."""
    dag = settings.DAG_ID
    airflow.call("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})
    # Airflow marks a backfill as complete some time after its last run, and allows one at a time.
    for earlier in airflow.call("GET", f"/api/v2/backfills?dag_id={dag}&limit=1000")["backfills"]:
        if earlier["completed_at"] is None:
            airflow.call("PUT", f"/api/v2/backfills/{earlier['id']}/cancel")
    command = (
        *("backfill", "create", "--dag-id", dag),
        *("--from-date", f"{months[0]}-01", "--to-date", f"{months[-1]}-01"),
        *("--max-active-runs", str(len(months)), "--reprocess-behavior", "completed"),
    )
    say("airflow " + " ".join(command))
    airflow.command(*command)


def follow(airflow: LocalAirflow, runs: Sequence[str]) -> str:
    """Tell what the runs do until all of them have ended.

    :return: what failed, with the end of its log; empty when all went well.
    :raises LocalAirflowError: Airflow broke down, or the runs took too long.
    """
    told: set[str] = set()
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        airflow.check_services()
        states = {}
        for run in runs:
            instances = _task_instances(airflow, run)
            for news in _news(run, instances):
                if news not in told:
                    told.add(news)
                    say(news)
            states[run] = airflow.call("GET", f"/api/v2/dags/{settings.DAG_ID}/dagRuns/{run}")["state"]
        if all(state in (DONE, *FAILED) for state in states.values()):
            return "\n".join(_failures(airflow, [run for run, state in states.items() if state != DONE]))
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
        ("the model, its metrics and schema", report.path_of(model.artifact.uri).with_name("manifest.json")),
        ("the DAG", settings.DAGS / f"{settings.DAG_ID}.py"),
        ("Airflow's logs", settings.AIRFLOW_HOME / "logs"),
    ):
        print(f"  {what:34} {_shown(where)}")
    print(f"  {'the runs, chunks and links':34} make airflow")
    say("Done.")


def run_id(month: str) -> str:
    """The id that Airflow gives to a month's run in a backfill."""
    return f"backfill__{month}-01T00:00:00+00:00"


def say(text: str) -> None:
    print(f"[{time.monotonic() - _started:4.0f} s] {text}", flush=True)


def _task_instances(airflow: LocalAirflow, run: str) -> list[dict[str, Any]]:
    path = f"/api/v2/dags/{settings.DAG_ID}/dagRuns/{run}/taskInstances?limit=1000"
    found: list[dict[str, Any]] = airflow.call("GET", path)["task_instances"]
    return found


def _news(run: str, instances: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What there is to say of a run, the same text each time it is asked."""
    month = run.removeprefix("backfill__")[:7]
    by_task: dict[str, list[dict[str, Any]]] = {}
    for instance in instances:
        by_task.setdefault(instance["task_id"].rpartition(".")[2], []).append(instance)
    for task, done in (("train", "the model is ready"), ("commit", "complete, proven and published")):
        states = [instance["state"] for instance in by_task.get(task, ())]
        if "running" in states:
            yield f"{month}: {task} ..."
        if states and set(states) == {DONE}:
            yield f"{month}: {done}"
    chunks = [instance for instance in by_task.get("predict", ()) if instance["map_index"] >= 0]
    finished = sum(chunk["state"] == DONE for chunk in chunks)
    if finished:
        yield f"{month}: {finished} of {len(chunks)} chunks predicted"


def _failures(airflow: LocalAirflow, runs: Sequence[str]) -> Iterator[str]:
    """The failed tasks and the ends of their logs."""
    for run in runs:
        yield f"{run} failed."
        for instance in _task_instances(airflow, run):
            if instance["state"] != "failed":
                continue
            task, tried, index = instance["task_id"], instance["try_number"], instance["map_index"]
            path = f"/api/v2/dags/{settings.DAG_ID}/dagRuns/{run}/taskInstances/{task}/logs/{tried}?map_index={index}"
            lines = [str(line.get("event", line)) for line in airflow.call("GET", path)["content"]]
            yield "\n".join(
                [f"Its task {task} (chunk {index}), attempt {tried}:", *(f"  {line}" for line in lines[-20:])]
            )


def _shown(path: Any) -> str:
    return str(path.relative_to(settings.REPOSITORY))


if __name__ == "__main__":
    sys.exit(main())
