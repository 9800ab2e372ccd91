"""`make cloud`: a local AWS with real containers and a stand-in for Redshift, and Airflow with two DAGs on it, the
demo's and the table-to-table one, until it is interrupted.

It leaves nothing running. What the DAG made was in the local S3, and goes with it.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo import data, settings, warehouse
from demo.local_airflow import LocalAirflow, LocalAirflowError, ended_by_signals, only_one
from demo.ui import PORT
from local_cloud import container_cloud, docker_engine

if TYPE_CHECKING:
    from local_cloud.container_cloud import ContainerCloud

HOME = settings.HOME / "cloud"
DAG_FILE = f"{settings.DAG_ID}.py"
TABLES_DAG_ID = "table_to_table"
PREFIX = "flights"
#: What the DAG file of the demo says, and what it says here; nothing else changes, FLIGHTS_ROOT is in its environment.
LOCAL_RUNTIME = "RUNTIME = LocalRuntime(processes=1)\n"
IMPORT = "import Dataset, LocalRuntime,"
MEMORY = 2048  # MiB


def main() -> int:
    """:return: the exit code."""
    try:
        # The temporary files go last: the servers that write there have ended by then.
        with (
            only_one(settings.HOME / "lock"),
            ended_by_signals(),
            tempfile.TemporaryDirectory(prefix="airflow-sklearn-cloud-") as folder,
        ):
            data.prepare()
            print("Building the worker image, starting the local AWS ...", flush=True)
            with container_cloud.running(Path(folder)) as local:
                upload(local)
                warehouse.load(local, data.flights())
                serve(local)
    except (LocalAirflowError, docker_engine.NoEngineError, RuntimeError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


def upload(local: ContainerCloud) -> None:
    """The demo's months, into the bucket."""
    client = local.direct.client("s3")
    for path in sorted(settings.CSV_FOLDER.iterdir()):
        client.upload_file(str(path), local.bucket, f"{PREFIX}/csv/{path.name}")


def serve(local: ContainerCloud) -> None:
    """Start an Airflow of its own, whose DAG runs in the containers, and wait."""
    shutil.rmtree(HOME, ignore_errors=True)  # its runs were of another S3
    dags = HOME / "dags"
    dags.mkdir(parents=True)
    (dags / DAG_FILE).write_text(dag_source((settings.DAGS / DAG_FILE).read_text(), local))
    tables = f"{TABLES_DAG_ID}.py"
    staging = f"s3://{local.bucket}/redshift"
    (dags / tables).write_text(tables_dag_source((settings.DAGS / tables).read_text(), local, staging))
    print("Starting Airflow ...", flush=True)
    with LocalAirflow(HOME / "airflow", dags, airflow_environment(local), port=PORT, triggerer=True) as airflow:
        for dag_id in (settings.DAG_ID, TABLES_DAG_ID):
            airflow.wait_for_dag(dag_id)
            airflow.call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})
        print(welcome(airflow.url, local), flush=True)
        while True:
            airflow.check_services()
            time.sleep(1)


def dag_source(template: str, local: ContainerCloud, place: str = "ecs") -> str:
    """The template with another runtime.

    :param place: ``ecs`` or ``ec2``.
    :raises ValueError: the template does not have the lines that are exchanged.
    """
    source = runtime(local) if place == "ecs" else instance_runtime(local)
    name = source.partition("(")[0]
    exchanged = {LOCAL_RUNTIME: f"RUNTIME = {source}\n", IMPORT: f"import Dataset, {name},"}
    for line, other in exchanged.items():
        if line not in template:
            raise ValueError(f"{DAG_FILE} has no line {line!r}: see demo/cloud.py")
        template = template.replace(line, other)
    return template


def tables_dag_source(template: str, local: ContainerCloud, staging: str) -> str:
    """The table-to-table template with this cloud's names in its first lines.

    :raises ValueError: the template does not have the lines that are exchanged.
    """
    for name, value in {"STAGING": repr(staging), "RUNTIME": runtime(local)}.items():
        lines = [line for line in template.splitlines() if line.startswith(f"{name} = ")]
        if len(lines) != 1:
            raise ValueError(f"{TABLES_DAG_ID}.py has no one line {name} = ...: see demo/cloud.py")
        template = template.replace(lines[0], f"{name} = {value}")
    return template


def runtime(local: ContainerCloud) -> str:
    """The source of what a user would write for this cluster."""
    log = {"awslogs-group": local.log_group, "awslogs-region": local.cloud.region, "awslogs-stream-prefix": "worker"}
    definition: dict[str, Any] = {
        "family": "airflow-sklearn",
        "cpu": 256,
        "memory": MEMORY,
        "executionRoleArn": container_cloud.EXECUTION_ROLE,
        "taskRoleArn": container_cloud.TASK_ROLE,
        "containerDefinitions": [{"image": local.image, "logConfiguration": {"logDriver": "awslogs", "options": log}}],
    }
    return f"EcsRuntime(cluster={local.cluster!r}, task_definition={definition!r}, subnets={list(local.subnets)!r})"


def instance_runtime(local: ContainerCloud) -> str:
    """The same on EC2: an instance a job."""
    said: dict[str, Any] = {"image": local.image, "image_id": local.ami, "instance_types": ["t3.small"]}
    said["iam_instance_profile"] = container_cloud.INSTANCE_PROFILE
    return f"Ec2Runtime({', '.join(f'{name}={value!r}' for name, value in said.items())})"


def airflow_environment(local: ContainerCloud) -> dict[str, str]:
    """Airflow's settings, the connection to the local AWS, and what the DAG reads."""
    connection = local.cloud.connection
    # The proxy, which is there for faults, does not keep the headers of large S3 answers.
    connection["extra"]["service_config"] = {"s3": {"endpoint_url": local.direct.endpoint}}
    return {
        **settings.airflow_environment(),
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
        "AIRFLOW_CONN_REDSHIFT_DEFAULT": json.dumps(local.redshift.connection),
        "FLIGHTS_ROOT": f"s3://{local.bucket}/{PREFIX}",
    }


def welcome(url: str, local: ContainerCloud) -> str:
    """What a person can do now."""
    variables = " ".join(f"{name}={value}" for name, value in local.cloud.environment.items())
    redshift = local.redshift
    return f"""
  Airflow      {url}/dags/{settings.DAG_ID}
               Trigger it, with a month such as 2013-07. No password: it listens on this machine only.
               (What Airflow schedules by itself is the month that has just passed, and finds no data: fails.)
               {url}/dags/{TABLES_DAG_ID}
               Trigger it as it is: from the table {warehouse.TABLE} to {warehouse.PREDICTIONS}.
  AWS          {local.cloud.endpoint}  cluster {local.cluster}, logs {local.log_group}, s3://{local.bucket}/{PREFIX}
               {variables}
  containers   watch docker ps --filter label={docker_engine.LABEL}
  Redshift     a stand-in: psql -h {redshift.host} -p {redshift.port} -U {redshift.user} {redshift.database}
  EC2          instances are containers too. Put this in the place of a DAG file's runtime, and import Ec2Runtime:
               {instance_runtime(local)}
  DAG files    {HOME.relative_to(settings.REPOSITORY)}/dags: diff them with those in dags

Ctrl-C ends all of it."""


if __name__ == "__main__":
    sys.exit(main())
