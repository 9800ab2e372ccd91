"""Instances and containers that nobody could tell to end are found by their tags, by operator and by command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.cloud.instance_workload import InstanceWorkload
from tests.cloud.observing import at_the_gate, log_of
from tests.cloud.workload import Workload
from tests.operators.real_airflow import RealAirflow

TEMPLATE = Path(__file__).parents[2] / "dags" / "reap_leftovers.py"


def test_what_ended_tasks_left_running_is_ended_and_nothing_else(
    airflow: RealAirflow,
    workload_of: Callable[..., Workload],
    instances_of: Callable[..., InstanceWorkload],
    gated_model: str,
) -> None:
    containers, instances = workload_of(chunks=2), instances_of(chunks=1)
    runs = {
        name: airflow.run(f"left_{name}", one.predict(gated_model, deferrable="True", retries="0"))
        for name, one in (("containers", containers), ("instances", instances))
    }
    at_the_gate(airflow, containers, runs["containers"], count=2)
    at_the_gate(airflow, instances, runs["instances"], count=1)
    for name, count in (("containers", 2), ("instances", 1)):
        for index in range(count):
            airflow.wait_for_state(runs[name], "score.predict", "deferred", index)
    with airflow.without_triggerer():
        airflow.mark(runs["containers"], "score.predict", "failed", 0)
        airflow.mark(runs["instances"], "score.predict", "failed", 0)

        said = reap(airflow, "--grace", "0", "--dry-run")
        assert "3 found, 2 would be ended" in said
        assert len(instances.tasks("RUNNING")) == 1, "a dry run"

        source = TEMPLATE.read_text()
        exchanged = {
            "CLUSTERS: list[str] = []": 'CLUSTERS = ["ml"]',
            "grace=timedelta(minutes=10)": "grace=timedelta(0)",
            'schedule="@hourly"': 'schedule="@once"',
        }
        for text, other in exchanged.items():
            assert text in source
            source = source.replace(text, other)
        airflow.add_file(TEMPLATE.name, source)
        run = airflow.wait_for_first_run("reap_leftovers")
        assert airflow.wait_for_run(run) == "success"

        airflow.wait_for("the instance to end", lambda: not instances.tasks("RUNNING"))
        (stopped,) = airflow.wait_for("the container to end", lambda: containers.tasks("STOPPED"))
        assert len(containers.tasks("RUNNING")) == 1
        assert "its Airflow task has ended" in stopped["stoppedReason"]
        assert {"key": "airflow_map_index", "value": "0"} in stopped["tags"]
        assert len(run.xcom("reap")) == 2
        assert "works for a task that has not ended" in log_of(airflow, run, "reap")
        assert "1 found, 0 ended" in reap(airflow)
    containers.open_gate()
    assert airflow.wait_for_run(runs["containers"]) == "failed", "one chunk was given up"


def reap(airflow: RealAirflow, *options: str) -> str:
    """What the command says."""
    connection = airflow.default_args["aws_conn_id"]
    return airflow.program(
        "airflow_sklearn.runtimes.reaper", "--ec2", "--cluster", "ml", "--aws-conn-id", connection, *options
    )
