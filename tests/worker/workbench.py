"""A folder in which tests train and predict through real jobs, in this process, without Airflow."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import joblib
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from pyarrow import dataset as ds

from airflow_sklearn.contract.data import CsvOptions, OutputFiles, SourceFiles
from airflow_sklearn.contract.jobs import JobResult, PredictJob, TrainJob
from airflow_sklearn.contract.model import FactoryEstimator, ModelManifest, PresetEstimator
from airflow_sklearn.contract.plan import Chunk, Plan
from airflow_sklearn.contract.receipt import Receipt
from airflow_sklearn.datasets.planning import make_plan
from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.runs.verify import verify
from airflow_sklearn.storage import Storage
from airflow_sklearn.worker.run import run_job
from tests.factories import publish


class Workbench:
    """:param root: a folder's URI.
    :param model: the URI of the model to predict with; default: the one in the folder, as trained here.
    """

    def __init__(self, root: str, storage: Storage | None = None, *, model: str = "") -> None:
        self.root, self.storage = root, storage or Storage()
        self.model = model or f"{root}/model"

    def write(self, table: pa.Table, name: str) -> SourceFiles:
        """Store a table in the format that the name's ending says."""
        sink = pa.BufferOutputStream()
        if name.endswith(".csv"):
            pyarrow.csv.write_csv(table, sink, pyarrow.csv.WriteOptions(quoting_style="needed"))
        else:
            pq.write_table(table, sink, row_group_size=max(1, table.num_rows // 40))
        return self.write_bytes(sink.getvalue().to_pybytes(), name)

    def write_bytes(self, data: bytes, name: str, **options: Any) -> SourceFiles:
        self.storage.write(f"{self.root}/{name}", data)
        return self.source(name, **options)

    def source(self, *names: str, **options: Any) -> SourceFiles:
        kind = "parquet" if names[0].endswith(".parquet") else "csv"
        return SourceFiles(
            uris=tuple(f"{self.root}/{name}" for name in names), file_format=kind, csv=CsvOptions(**options)
        )

    def train_job(self, source: SourceFiles, estimator: Any = "sparse_logistic", **changes: Any) -> TrainJob:
        """:param estimator: a preset, ``package.module:factory``, or as a job says it."""
        params, spec = changes.pop("params", {}), estimator
        if isinstance(estimator, str):
            spec = (
                FactoryEstimator(path=estimator, params=params)
                if ":" in estimator
                else PresetEstimator(name=estimator, params=params)
            )
        fields: dict[str, Any] = {
            "result_uri": f"{self.root}/jobs/{uuid.uuid4()}.json",
            "model": f"{self.root}/model",
            "version": uuid.uuid4().hex,
            "estimator": spec,
            "target": "y",
            "primary_key": ("key",),
            "source": source,
            "objects": self.storage.expand(source.uris),
            "cross_validation": 0,
        }
        return TrainJob(**{**fields, **changes})

    def train(self, source: SourceFiles, estimator: Any = "sparse_logistic", **changes: Any) -> ModelManifest:
        job = self.train_job(source, estimator, **changes)
        result = self.run(job)
        assert result.status == "succeeded", result.error
        self.model = job.model
        return ModelManifest.from_json(self.storage.read(result.output_uri))

    def with_batch_rows(self, manifest: ModelManifest, batch_rows: int) -> str:
        """The same model with batches of another shape; its manifest's URI."""
        uri = f"{self.root}/model/versions/{manifest.version}-{batch_rows}/manifest.json"
        self.storage.write(uri, manifest.model_copy(update={"batch_rows": batch_rows}).to_json())
        return uri

    def estimator(self, manifest: ModelManifest) -> Any:
        return joblib.load(manifest.artifact.uri.removeprefix("file://"))

    def plan(
        self, source: SourceFiles, *, chunks: int = 1, output: str = "parquet", **changes: Any
    ) -> tuple[Plan, str]:
        size = sum(found.size for found in self.storage.expand(source.uris, allow_empty=True))
        fields: dict[str, Any] = {
            "model": self.model,
            "source": source,
            "destination": OutputFiles(uri=f"{self.root}/out-{uuid.uuid4()}", file_format=output),
            "partition": "p",
            "chunk_size": max(1, -(-size // chunks)),
            "look_at_columns": False,  # what the plan does not find, the worker must
        }
        return make_plan(self.storage, **{**fields, **changes})

    def predict_job(self, plan: Plan, chunk: Chunk, **changes: Any) -> PredictJob:
        fields: dict[str, Any] = {
            "result_uri": f"{self.root}/jobs/{uuid.uuid4()}.json",
            "spec": plan.spec,
            "fingerprint": plan.fingerprint,
            "ledger": plan.ledger,
            "chunk": chunk,
        }
        return PredictJob(**{**fields, **changes})

    def run(self, job: TrainJob | PredictJob) -> JobResult:
        """Do a job as a container does, in this process."""
        uri = job.result_uri.replace(".json", ".job.json")
        self.storage.write(uri, job.to_json())
        run_job(uri, self.storage)
        return JobResult.from_json(self.storage.read(job.result_uri))

    def run_chunk(self, plan: Plan, number: int = 0) -> JobResult:
        return self.run(self.predict_job(plan, plan.chunks[number]))

    def receipt(self, plan: Plan, number: int = 0) -> Receipt:
        receipt = Ledger(self.storage, plan.ledger).read_receipt(plan.chunks[number].id, plan.fingerprint)
        assert receipt is not None
        return receipt

    def predict(self, source: SourceFiles, **options: Any) -> pa.Table:
        """Plan, predict every chunk, commit, and read what was published, in order."""
        plan, uri = self.plan(source, **options)
        for number in range(len(plan.chunks)):
            result = self.run_chunk(plan, number)
            assert result.status == "succeeded", result.error
        return self.publish(plan, uri)

    def publish(self, plan: Plan, uri: str) -> pa.Table:
        """Commit a plan whose chunks are done, and read what was published, in order."""
        published, _ = publish(self.storage, plan, verify(self.storage, plan, uri))
        return self.read_published([part.uri for part in published.files], plan.destination.file_format)

    def read_published(self, uris: list[str], file_format: str) -> pa.Table:
        return ds.dataset([uri.removeprefix("file://") for uri in uris], format=file_format).to_table()


def error_of(result: JobResult) -> str:
    """What a person reads: the message and all problems."""
    assert result.error is not None
    return "\n".join([result.error.message, *(str(problem) for problem in result.error.problems)])


def problems_of(result: JobResult) -> Mapping[tuple[str, str | None], int]:
    """Counts by kind and column."""
    assert result.error is not None
    return {(problem.kind, problem.column): problem.count for problem in result.error.problems}


def folder(path: Path) -> str:
    return f"file://{path}"
