"""The template of a search over containers, in a whole Airflow: each fit in a container that the job itself started."""

from __future__ import annotations

import json
from pathlib import Path

from airflow_sklearn.contract.model import ModelManifest
from airflow_sklearn.storage import Storage
from demo import data
from demo.cloud import runtime
from local_cloud.container_cloud import ContainerCloud
from tests.cloud.observing import log_of
from tests.cloud.workload import Workload
from tests.operators.database import Run
from tests.operators.real_airflow import RealAirflow

TEMPLATE = Path(__file__).parents[2] / "dags" / "search_in_containers.py"


def test_the_template_searches_over_further_containers(
    airflow: RealAirflow, container_cloud: ContainerCloud, tmp_path: Path
) -> None:
    flights = data.flights()
    data.write(flights[flights.scheduled_departure < "2013-01-08"], tmp_path / "parquet", "parquet")
    workload = Workload(container_cloud, chunks=0, name="search")
    client = container_cloud.direct.client("s3")
    client.upload_file(
        str(tmp_path / "parquet" / "2013-01.parquet"),
        container_cloud.bucket,
        f"{workload.name}/parquet/2013-01.parquet",
    )

    run = run_template(airflow, container_cloud, workload.uri)

    container_cloud.wait_until_none_runs()
    storage = Storage(lambda: container_cloud.direct.client("s3"))
    (answer,) = run.xcoms("train")
    manifest = ModelManifest.from_json(storage.read(answer["manifest_uri"]))
    assert len(manifest.search_results[0].candidates) == 4
    assert 0 < answer["rows"] < 7000
    assert set(answer["metrics"]) >= {"r2", "rmse"}
    tasks = [task for task in container_cloud.tasks() if {"key": "airflow_dag_id", "value": run.dag_id} in task["tags"]]
    # The job's own container and two further ones, which lead back to the same task; all have ended.
    assert len(tasks) == 3
    assert {task["lastStatus"] for task in tasks} == {"STOPPED"}
    further = [task for task in tasks if "/pools/" in task["overrides"]["containerOverrides"][0]["command"][-1]]
    assert len(further) == 2
    assert "2 further containers were started" in "".join(
        workload.log_of(task) for task in tasks if task not in further
    )
    assert not container_cloud.direct.client("sqs").list_queues().get("QueueUrls")
    assert not list(storage.list(f"{workload.uri}/models/search_in_containers/pools/"))


def run_template(airflow: RealAirflow, local: ContainerCloud, root: str) -> Run:
    """The template with another runtime and another root."""
    source = TEMPLATE.read_text()
    exchanged = {
        "RUNTIME = LocalRuntime()\n": f"RUNTIME = {runtime(local)}\n",
        "import Dataset, LocalRuntime,": "import Dataset, EcsRuntime,",
        'os.environ.get("FLIGHTS_ROOT", "s3://my-bucket/flights")': repr(root),
    }
    for line, other in exchanged.items():
        assert line in source
        source = source.replace(line, other)
    name = TEMPLATE.stem
    airflow.add_file(TEMPLATE.name, source)
    run = airflow.trigger(name, json.dumps({"table": f"{root}/parquet/2013-01.parquet"}))
    assert airflow.wait_for_run(run) == "success", log_of(airflow, run, "train")
    return run
