"""How container tests see what Airflow and the containers do."""

from __future__ import annotations

from collections import Counter
from typing import Any

from local_cloud import docker_engine
from tests.cloud.workload import Workload
from tests.operators.database import Run
from tests.operators.real_airflow import RealAirflow


def at_the_gate(airflow: RealAirflow, workload: Workload, run: Run, count: int = 2) -> list[dict[str, Any]]:
    """The ECS tasks of a workload, once so many wait at its gate."""

    def look() -> list[dict[str, Any]]:
        assert "failed" not in run.states("score.plan").values(), log_of(airflow, run, "score.plan")
        now = workload.running()
        return now if len(now) >= count else []

    found: list[dict[str, Any]] = airflow.wait_for(f"{count} containers at the gate", look, pause=1)
    return found


def finish(airflow: RealAirflow, workload: Workload, run: Run, *, seconds: float = 600) -> None:
    """Open the gate, and see the run through: every row once, and no container left."""
    workload.open_gate()
    try:
        assert airflow.wait_for_run(run, seconds=seconds) == "success"
    except AssertionError as error:
        error.add_note(standing(workload))
        raise
    assert workload.published() == workload.rows
    workload.local.wait_until_none_runs()


def standing(workload: Workload) -> str:
    """How each of a workload's ECS tasks or instances stands, and what it said last."""
    said = []
    for one in workload.tasks():
        name = one.get("taskArn") or one["InstanceId"]
        state = one.get("lastStatus") or (one["State"]["Name"], one.get("StateReason"))
        said.append(f"--- {name}: {state}\n{workload.log_of(one)[-1500:]}")
    return "\n".join([*said, docker_engine.docker("ps")])


def containers_by_chunk(workload: Workload) -> Counter[str]:
    """How many ECS tasks each chunk had."""
    chunks = (
        tag["value"] for task in workload.tasks() for tag in task["tags"] if tag["key"] == "airflow_sklearn_chunk"
    )
    return Counter(chunks)


def log_of(airflow: RealAirflow, run: Run, task_id: str, map_index: int = -1) -> str:
    """All attempts' logs of a task, as Airflow keeps them."""
    folders = (airflow.home / "logs").glob(f"dag_id={run.dag_id}/run_id=*/task_id={task_id}*/**/*.log*")
    wanted = f"map_index={map_index}" if map_index >= 0 else ""
    return "\n".join(path.read_text() for path in sorted(folders) if wanted in str(path))
