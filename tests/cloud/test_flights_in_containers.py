"""The demo's DAG on ECS and on EC2: the same file with another runtime and ``s3://`` paths gives the same bits."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_sklearn.storage import Storage
from demo import data
from demo.cloud import dag_source
from local_cloud.container_cloud import ContainerCloud
from tests.cloud.workload import Workload
from tests.operators.database import Run
from tests.operators.real_airflow import RealAirflow

TEMPLATE = Path(__file__).parents[2] / "dags" / "flights_monthly.py"
CONF = {"month": "2013-07", "training_months": "2013-06", "chunk_size": "1.2MB"}
COLUMNS = ["flight_id", "late_proba_false", "late_proba_true"]


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of its own with the flights by month."""
    folder = tmp_path_factory.mktemp("flights")
    data.write(data.flights(), folder / "csv", "csv")
    return folder


@pytest.fixture(scope="module")
def in_processes(airflow_home: Path, csv: Path) -> pa.Table:
    """What local processes predict."""
    run_in_processes(airflow_home / "dags", csv)
    return read(Storage(), f"file://{csv}/predictions/late/2013-07")


@pytest.mark.parametrize("place", ["ecs", "ec2"])
def test_the_flights_dag_in_containers_gives_the_bits_of_local_processes(
    airflow: RealAirflow, container_cloud: ContainerCloud, csv: Path, in_processes: pa.Table, place: str
) -> None:
    workload = Workload(container_cloud, chunks=0, name=f"flights-{place}")
    for month in ("2013-06", "2013-07"):
        workload.put(f"csv/{month}.csv", (csv / "csv" / f"{month}.csv").read_text())

    run = run_in_containers(airflow, container_cloud, workload.uri, place)
    container_cloud.wait_until_none_runs()
    chunks = run.xcoms("predict.predict")
    assert len(chunks) >= 4
    hosts = container_cloud.tasks() if place == "ecs" else container_cloud.instances()
    mine = {"airflow_dag_id": run.dag_id, "airflow_run_id": run.run_id}
    training, *predicting = (one for one in hosts if mine.items() <= tags(one).items())
    assert tags(training)["airflow_task_id"] == "train"
    assert sorted(tags(one)["airflow_map_index"] for one in predicting) == sorted(map(str, range(len(chunks))))
    if place == "ecs":
        assert most_at_once(predicting) >= 2
    predicted = f"{workload.uri}/predictions/late/2013-07"
    in_containers = read(Storage(lambda: container_cloud.direct.client("s3")), predicted)
    assert in_containers.num_rows == sum(chunk["rows"] for chunk in chunks) == 29_425
    assert in_containers.equals(in_processes)


def run_in_containers(airflow: RealAirflow, local: ContainerCloud, root: str, place: str) -> Run:
    """The template as `make cloud` changes it, in a whole Airflow."""
    source = dag_source(TEMPLATE.read_text(), local, place)
    dag_id = f"flights_{place}"
    exchanged = {
        'os.environ.get("FLIGHTS_ROOT", "s3://my-bucket/flights")': repr(root),
        '"flights_monthly"': repr(dag_id),
    }
    for text, other in exchanged.items():
        assert text in source
        source = source.replace(text, other)
    airflow.add_file(f"{dag_id}.py", source)
    run = airflow.trigger(dag_id, json.dumps(CONF))
    assert airflow.wait_for_run(run) == "success"
    return run


def run_in_processes(dags: Path, folder: Path) -> None:
    """The template as it is, by ``dag.test()``; the file must be in the DAGs folder."""
    copy = Path(shutil.copy(TEMPLATE, dags))
    program = (
        "import runpy, sys\n"
        "dag = runpy.run_path(sys.argv[1])['dag']\n"
        f"run = dag.test(run_conf={CONF!r})\n"
        "sys.exit(str(run.state) != 'success')\n"
    )
    environment = {**os.environ, "FLIGHTS_ROOT": f"file://{folder}"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(copy)], env=environment, capture_output=True, text=True, check=False
    )
    copy.unlink()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def read(storage: Storage, folder: str) -> pa.Table:
    """Published predictions, in the order of their key."""
    manifest = json.loads(storage.read(f"{folder}/_manifest.json"))
    parts = [pq.read_table(io.BytesIO(storage.read(part["uri"])), columns=COLUMNS) for part in manifest["files"]]
    return pa.concat_tables(parts).sort_by("flight_id").combine_chunks()


def tags(task: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in task["tags"]}


def most_at_once(tasks: list[dict[str, Any]]) -> int:
    """How many ECS tasks ran at the same moment."""
    moments = sorted([(task["startedAt"], 1) for task in tasks] + [(task["executionStoppedAt"], -1) for task in tasks])
    running = most = 0
    for _, change in moments:
        running += change
        most = max(most, running)
    return most
