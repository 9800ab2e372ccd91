"""The table-to-table template on a cluster: a Redshift table in, a Redshift table out, by way of containers."""

from __future__ import annotations

import io
import json
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from airflow_sklearn.contract.model import ModelManifest
from airflow_sklearn.models.frames import to_frame
from demo import data, warehouse
from demo.cloud import tables_dag_source
from local_cloud.container_cloud import ContainerCloud
from tests.cloud.workload import Workload
from tests.operators.database import Run
from tests.operators.real_airflow import RealAirflow

TEMPLATE = Path(__file__).parents[2] / "dags" / "table_to_table.py"
LEARN_UNTIL = "2013-02-01"
ROWS = 336_776


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    return data.flights()


@pytest.fixture
def workload(container_cloud: ContainerCloud, flights: pd.DataFrame) -> Workload:
    """The flights are in a table; what becomes of them is below a prefix of its own."""
    warehouse.load(container_cloud, flights)
    return Workload(container_cloud, chunks=0, name="table-to-table")


def test_336_776_flights_go_from_table_to_table_through_containers_to_the_bit(
    airflow: RealAirflow, container_cloud: ContainerCloud, workload: Workload, flights: pd.DataFrame
) -> None:
    run = run_template(airflow, container_cloud, workload)
    chunks = run.xcoms("predict.predict")
    assert len([chunk for chunk in chunks if chunk["rows"]]) >= 4
    assert sum(chunk["rows"] for chunk in chunks) == ROWS
    mine = [{"key": "airflow_dag_id", "value": run.dag_id}, {"key": "airflow_task_id", "value": "predict.predict"}]
    predicted = [task for task in container_cloud.tasks() if all(tag in task["tags"] for tag in mine)]
    assert len(predicted) == len(chunks)

    manifest = model_of(container_cloud, run)
    assert manifest.source.rows_used == int(
        ((flights.scheduled_departure < LEARN_UNTIL) & flights.arrival_delay.notna()).sum()
    )
    expected = predict_in_memory(container_cloud, manifest, flights)
    published = container_cloud.redshift.query(
        "SELECT flight_id, arrival_delay, arrival_delay_pred FROM public.arrival_delay ORDER BY flight_id"
    )
    assert len(published) == ROWS
    order = np.argsort(flights.flight_id.to_numpy(dtype=str), kind="stable")
    assert [row[0] for row in published] == flights.flight_id.to_numpy()[order].tolist()
    delays = [None if pd.isna(delay) else int(delay) for delay in flights.arrival_delay.to_numpy()[order]]
    assert [row[1] for row in published] == delays
    assert np.array_equal(np.array([row[2] for row in published]), expected[order])


def run_template(airflow: RealAirflow, local: ContainerCloud, workload: Workload) -> Run:
    """The template with this cloud's names in its first lines, in a whole Airflow."""
    airflow.add_file(TEMPLATE.name, tables_dag_source(TEMPLATE.read_text(), local, workload.uri))
    airflow.connect(redshift_default=local.redshift.connection)
    run = airflow.trigger("table_to_table", json.dumps({"learn_until": LEARN_UNTIL, "chunk_size": "3MB"}))
    assert airflow.wait_for_run(run) == "success"
    return run


def model_of(local: ContainerCloud, run: Run) -> ModelManifest:
    return ModelManifest.from_json(_read(local, run.xcom("train")["manifest_uri"]))


def predict_in_memory(local: ContainerCloud, manifest: ModelManifest, flights: pd.DataFrame) -> np.ndarray:
    """The model's answer to one call with all rows, from the table that was loaded into Redshift."""
    estimator = joblib.load(io.BytesIO(_read(local, manifest.artifact.uri)))
    names = list(manifest.feature_schema.feature_names)
    table = pa.Table.from_pandas(flights[names], preserve_index=False).replace_schema_metadata()
    return estimator.predict(to_frame(table, manifest.feature_schema.features))


def _read(local: ContainerCloud, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return local.direct.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
