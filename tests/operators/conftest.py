"""DAGs that run for real: written into Airflow's DAGs folder, run by ``dag.test()``, read in Airflow's database."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_sklearn.contract.jobs import JobIdentity, TrainJob
from airflow_sklearn.contract.train_settings import TrainSettings
from airflow_sklearn.datasets.files import Dataset
from airflow_sklearn.runs.train_job import make_train_job
from airflow_sklearn.storage import Storage

if TYPE_CHECKING:
    from tests.operators.database import Run

ROWS = 600
HEADER = "id,x,kind,y\n"
PREAMBLE = """
from datetime import datetime, timedelta
from airflow_sklearn.airflow_compat import DAG, task, Asset
from airflow_sklearn import *
"""


def rows(start: int, stop: int) -> str:
    """CSV records of a table from which ``y`` can be learned."""
    return "".join(f"{i},{(i * 37 % 101) / 10},{'abc'[i % 3]},{int(i * 37 % 101 > 50)}\n" for i in range(start, stop))


@pytest.fixture
def run_dag(airflow_home: Path) -> Iterator[Callable[..., Run]]:
    """``run_dag(body, date="2026-01-01")`` runs the tasks that ``body`` (Python source) makes, in this process."""
    from tests.operators.database import AIRFLOW_2, Database, Run  # not where Airflow is not installed

    written: list[Path] = []

    def run(body: str, date: str = "2026-01-01", name: str = "") -> Run:
        dag_id = name or f"dag_{uuid.uuid4().hex[:8]}"
        path = airflow_home / "dags" / f"{dag_id}.py"
        path.write_text(
            f"{PREAMBLE}\nwith DAG({dag_id!r}, start_date=datetime(2020, 1, 1), schedule=None) as dag:\n"
            + textwrap.indent(textwrap.dedent(body), "    ")
        )
        written.append(path)
        spec = importlib.util.spec_from_file_location(dag_id, path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        logical = {"execution_date" if AIRFLOW_2 else "logical_date": datetime.fromisoformat(date).replace(tzinfo=UTC)}
        dag_run = module.dag.test(**logical)
        return Run(Database(f"sqlite:///{airflow_home}/airflow.db"), dag_id, dag_run.run_id, str(dag_run.state))

    yield run
    for path in written:
        path.unlink(missing_ok=True)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A folder with ``train.csv``, and its rows again in two files below ``new/``."""
    (tmp_path / "new").mkdir()
    (tmp_path / "train.csv").write_text(HEADER + rows(0, ROWS))
    for number in range(2):
        part = rows(number * ROWS // 2, (number + 1) * ROWS // 2)
        (tmp_path / "new" / f"part-{number}.csv").write_text(HEADER + part)
    return tmp_path


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a model that the worker has trained, for tests that are about prediction."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "train.csv").write_text(HEADER + rows(0, ROWS))
    storage = Storage()
    job, uri = plain_train_job(storage, "sparse_logistic", f"{folder}/train.csv", f"file://{folder}/model")
    storage.write(uri, job.to_json())
    subprocess.run([sys.executable, "-m", "airflow_sklearn.worker", uri], check=True, capture_output=True)
    return job.model


def plain_train_job(storage: Storage, estimator: str, source: str, model: str) -> tuple[TrainJob, str]:
    """A job that learns ``y``, and the URI for it."""
    return make_train_job(
        storage,
        settings=TrainSettings(target="y", primary_key=("id",), cross_validation=0),
        identity=JobIdentity(),
        attempt="1",
        estimator=estimator,
        estimator_params={},
        source=Dataset(source).to_source(),
        model=model,
        software="",
        image="",
        deadline_seconds=None,
    )


def train(folder: Path, **changes: str) -> str:
    """Source of a training task; ``changes`` are arguments as source."""
    arguments = {
        "task_id": "'train'",
        "estimator": "'sparse_logistic'",
        "source": f"'{folder}/train.csv'",
        "target": "'y'",
        "primary_key": "'id'",
        "model": f"'{folder}/model'",
        "cross_validation": "0",
        "runtime": f"LocalRuntime(state_dir='{folder}/state', processes=1)",
        **changes,
    }
    return f"train = SklearnTrainOperator({', '.join(f'{k}={v}' for k, v in arguments.items() if v)})\n"


def predict(folder: Path, model: str = "train.output", **changes: str) -> str:
    """Source of a prediction group over the two files, a chunk each.

    :param model: a URI; default: what the task ``train`` returns.
    """
    arguments = {
        "group_id": "'score'",
        "model": f"'{model}'" if "://" in model else model,
        "source": f"'{folder}/new/*.csv'",
        "destination": f"'{folder}/scores'",
        "partition": "'date={{ ds }}'",
        "chunk_size": "5000",
        "runtime": f"LocalRuntime(state_dir='{folder}/state', processes=1)",
        **changes,
    }
    return f"score = sklearn_predict({', '.join(f'{k}={v}' for k, v in arguments.items())})\n"


def published_rows(folder: Path) -> list[int]:
    """The keys in a published folder, as its manifest names its files."""
    import pyarrow.parquet as pq

    manifest = json.loads((folder / "_manifest.json").read_bytes())
    return sorted(
        key
        for part in manifest["files"]
        for key in pq.read_table(part["uri"].removeprefix("file://"))["id"].to_pylist()
    )
