"""Write the golden files of this version: ``python -m tests.golden.write``.

They are what a training, a plan, a chunk and a commit leave in a folder. Documents that only AWS would make are those
of version 0.1.0, read and written again. A folder is written anew until its version is released, and never after that.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from airflow_sklearn import __version__
from airflow_sklearn.contract.data import OutputFiles, SourceFiles
from airflow_sklearn.contract.document import Document
from airflow_sklearn.contract.explanation import ModelExplanation
from airflow_sklearn.contract.job_queue import JobEnd, Placement, QueueEntry, QueueInstance
from airflow_sklearn.contract.jobs import JobIdentity, JobResult, PoolWorkerJob, PredictJob, RegisterJob, TrainJob
from airflow_sklearn.contract.metrics import ModelMetrics
from airflow_sklearn.contract.model import Artifact, ModelManifest, ModelPointer, StoredParitySample
from airflow_sklearn.contract.plan import PlanIndex, PlannedChunk
from airflow_sklearn.contract.proof import Publishing
from airflow_sklearn.contract.receipt import Receipt
from airflow_sklearn.contract.register_settings import RegisterSettings
from airflow_sklearn.contract.tables import Snapshot
from airflow_sklearn.contract.train_settings import TrainSettings
from airflow_sklearn.datasets.planning import make_plan
from airflow_sklearn.runs.attempts import read_attempts
from airflow_sklearn.runs.ledger import Ledger, read_chunk
from airflow_sklearn.runs.register_job import make_register_job
from airflow_sklearn.runs.train_job import make_train_job
from airflow_sklearn.runs.verify import verify
from airflow_sklearn.storage import Storage
from airflow_sklearn.worker.run import run_job
from tests.factories import publish

HERE = Path(__file__).parent
FOLDER = HERE / __version__.partition(".dev")[0]
_BY_AWS: dict[str, type[Document]] = {
    "job-end": JobEnd,
    "placement": Placement,
    "pool-worker-job": PoolWorkerJob,
    "publishing": Publishing,
    "roster-entry": QueueEntry,
    "roster-instance": QueueInstance,
    "snapshot": Snapshot,
}


def documents(root: str) -> Iterator[tuple[str, Document]]:
    """Each document with the name of its file.

    :param root: URI of a folder, which appears in the documents.
    """
    storage = Storage()
    rows = (f"{n},{n % 7 / 4},{'ab'[n % 2]},{'no' if n % 3 else 'yes'}\n" for n in range(300))
    storage.write(f"{root}/customers.csv", ("id,amount,city,churned\n" + "".join(rows)).encode())
    source = SourceFiles(uris=(f"{root}/customers.csv",), file_format="csv")
    train, uri = train_job(storage, root, source)
    storage.write(uri, train.to_json())
    run_job(uri, storage, digest=train.digest())
    yield "train-job", train
    result = JobResult.from_json(storage.read(train.result_uri))
    yield "job-result", result
    manifest = ModelManifest.from_json(storage.read(result.output_uri))
    yield "model-manifest", manifest
    assert manifest.parity_object is not None
    yield "parity-sample", StoredParitySample.from_json(storage.read(manifest.parity_object.uri))
    assert manifest.explanation_object is not None
    yield "explanation", ModelExplanation.from_json(storage.read(manifest.explanation_object.uri))
    assert manifest.metrics_object is not None
    yield "metrics", ModelMetrics.from_json(storage.read(manifest.metrics_object.uri))
    yield "model-pointer", ModelPointer.from_json(storage.read(f"{manifest.model}/latest.json"))
    (FOLDER / "artifact.joblib").write_bytes(storage.read(manifest.artifact.uri))
    yield "register-job", register_job(storage, root, source, manifest.artifact)[0]
    plan, plan_uri = make_plan(
        storage,
        model=manifest.model,
        source=source,
        destination=OutputFiles(uri=f"{root}/scores"),
        partition="all",
        passthrough=["city"],
        chunk_size=2_000,
    )
    yield "plan", plan
    yield "plan-index", PlanIndex.from_json(storage.read(plan_uri))
    ledger = Ledger(storage, plan.ledger)
    for chunk in plan.chunks:
        planned = read_chunk(storage, plan_uri, chunk.id)
        assert planned is not None
        job = predict_job(planned, plan_uri, ledger.result_uri(chunk.id, "1"))
        storage.write(ledger.job_uri(chunk.id, "1"), job.to_json())
        run_job(ledger.job_uri(chunk.id, "1"), storage, plan=plan_uri)
    yield "planned-chunk", planned
    yield "predict-job", job
    yield "receipt", Receipt.from_json(storage.read(ledger.receipt_uri(chunk.id)))
    storage.write(
        ledger.job_uri(chunk.id, "2"), predict_job(planned, plan_uri, ledger.result_uri(chunk.id, "2")).to_json()
    )
    run_job(ledger.job_uri(chunk.id, "2"), storage, plan=plan_uri)
    (attempt,), _ = read_attempts(storage, plan.ledger, [f"{one.id}-1" for one in plan.chunks], most=2)
    assert attempt.start is not None
    assert attempt.end is not None
    yield "attempt-start", attempt.start
    yield "attempt-end", attempt.end
    proof = verify(storage, plan, plan_uri)
    yield "proof", proof
    yield "published", publish(storage, plan, proof)[0]
    for name, cls in _BY_AWS.items():
        before = cls.from_json((HERE / "0.1.0" / f"{name}.json").read_bytes())
        yield name, before.model_copy(update={"written_by": __version__} if cls is PoolWorkerJob else {})


def train_job(storage: Storage, root: str, source: SourceFiles) -> tuple[TrainJob, str]:
    return make_train_job(
        storage,
        settings=TrainSettings(target="churned", primary_key=("id",), cross_validation=3),
        identity=JobIdentity(),
        attempt="1",
        estimator="hist_gradient_boosting_classifier",
        estimator_params={"max_iter": 5},
        source=source,
        model=f"{root}/model",
        software="golden",
        image="",
        deadline_seconds=None,
    )


def register_job(storage: Storage, root: str, source: SourceFiles, artifact: Artifact) -> tuple[RegisterJob, str]:
    return make_register_job(
        storage,
        settings=RegisterSettings(target="churned", primary_key=("id",), features=("amount", "city")),
        identity=JobIdentity(),
        attempt="1",
        fitted=artifact.uri,
        sha256=artifact.sha256,
        source=source,
        model=f"{root}/registered",
        software="golden",
        image="",
        deadline_seconds=None,
    )


def predict_job(planned: PlannedChunk, plan_uri: str, result_uri: str) -> PredictJob:
    return PredictJob(
        result_uri=result_uri,
        spec=planned.spec,
        fingerprint=planned.fingerprint,
        ledger=planned.ledger,
        chunk=planned.chunk,
        plan=plan_uri,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default="/data/golden", help="an empty folder that appears in documents")
    root = parser.parse_args().root
    root.mkdir(parents=True)
    FOLDER.mkdir(exist_ok=True)
    for name, document in documents(f"file://{root}"):
        (FOLDER / f"{name}.json").write_bytes(document.to_json())
    print(f"{len(list(FOLDER.iterdir()))} files in {FOLDER}")
