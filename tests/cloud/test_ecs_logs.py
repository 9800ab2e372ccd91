"""What a person sees of a container in Airflow: its log in the task's log, and links to it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from tests.cloud.observing import at_the_gate, finish, log_of
from tests.cloud.workload import Workload
from tests.operators.database import AIRFLOW_2
from tests.operators.real_airflow import RealAirflow


@pytest.mark.both_airflows  # their logs differ
@pytest.mark.parametrize("deferrable", ["False", "True"], ids=["waiting", "deferred"])
def test_a_containers_lines_appear_once_at_their_levels_while_it_runs_and_after(
    airflow: RealAirflow, workload_of: Callable[..., Workload], gated_model: str, deferrable: str
) -> None:
    workload = workload_of(chunks=1)
    with airflow.with_one_triggerer():
        run = airflow.run(f"logs_{deferrable}", workload.predict(gated_model, deferrable=deferrable))
        at_the_gate(airflow, workload, run, count=1)
        airflow.wait_for(
            "the running container's line",
            lambda: "Waiting at the gate." in log_of(airflow, run, "score.predict", 0),
        )
        finish(airflow, workload, run)
    # Airflow itself logs a trigger's event, which carries the last lines for the error of a job that failed.
    lines = [line for line in log_of(airflow, run, "score.predict", 0).splitlines() if "TriggerEvent<" not in line]
    log = "\n".join(lines)
    waiting = [line for line in lines if "Waiting at the gate." in line]
    succeeded = [line for line in lines if "Succeeded after" in line]
    assert (len(waiting), len(succeeded)) == (1, 1)
    assert level(waiting[0]) == "warning"
    assert level(succeeded[0]) == "info"
    assert log.count("Exit code 0.") == 1


def test_links_open_the_ecs_task_its_log_and_the_runs_folder(
    airflow: RealAirflow, workload: Workload, gated_model: str
) -> None:
    run = airflow.run("links", workload.predict(gated_model, deferrable="True"))
    finish(airflow, workload, run)
    tasks = {
        tag["value"]: task for task in workload.tasks() for tag in task["tags"] if tag["key"] == "airflow_map_index"
    }
    for index in range(2):
        task_id = tasks[str(index)]["taskArn"].rpartition("/")[2]
        assert f"/clusters/ml/tasks/{task_id}/" in run.xcom("score.predict", index, "airflow_sklearn_job")
        assert run.xcom("score.predict", index, "airflow_sklearn_job_log").endswith(f"worker$252Fworker$252F{task_id}")
        ledger = run.xcom("score.predict", index, "airflow_sklearn_run_ledger")
        assert ledger.startswith(f"{workload.uri}/scores/_airflow_sklearn/")


def level(line: str) -> str:
    """Airflow 3 writes JSON, Airflow 2 text."""
    if not AIRFLOW_2:
        return str(json.loads(line)["level"])
    found = re.search(r"\b(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b", line)
    assert found, line
    return found[0].lower()
