"""Documents for tests, right in all that a test does not care about."""

from __future__ import annotations

import hashlib
from typing import Any

from airflow_sklearn.contract.data import OutputFiles, SourceFiles
from airflow_sklearn.contract.jobs import JobIdentity
from airflow_sklearn.contract.model import (
    Artifact,
    ModelManifest,
    ModelPointer,
    ParitySample,
    Performance,
    PresetEstimator,
    TrainingSource,
    Versions,
)
from airflow_sklearn.contract.plan import Plan
from airflow_sklearn.contract.proof import Proof, PublishedManifest
from airflow_sklearn.contract.receipt import Consumed, KeyHash, OutputPart, Receipt
from airflow_sklearn.contract.schema import Column, Feature, FeatureSchema, OutputColumn, Target
from airflow_sklearn.datasets.base import Attempt
from airflow_sklearn.datasets.planning import make_plan
from airflow_sklearn.datasets.publish_files import read_published
from airflow_sklearn.datasets.publishing import publish_run
from airflow_sklearn.datasets.registry import destination_of
from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.storage import Storage, join


def manifest(model: str, **changes: Any) -> ModelManifest:
    """A model of one feature ``x`` and a binary target ``y``, with the key ``id``; nothing was fitted."""
    outputs = (
        OutputColumn(name="y_proba_0", arrow_type="double", method="predict_proba", index=0),
        OutputColumn(name="y_proba_1", arrow_type="double", method="predict_proba", index=1),
        OutputColumn(name="y_pred", arrow_type="int64", method="predict"),
    )
    fields: dict[str, Any] = {
        "model": model,
        "version": "v1",
        "created_at": "2026-01-01T00:00:00+00:00",
        "estimator": PresetEstimator(name="sparse_logistic"),
        "estimator_class": "sklearn.linear_model.LogisticRegression",
        "artifact": Artifact(uri=f"{model}/artifact", sha256="0" * 64, size=1),
        "feature_schema": FeatureSchema(
            features=(Feature(name="x", kind="numeric", arrow_type="double"),),
            targets=(Target(name="y", arrow_type="int64", task="classification", classes=(0, 1)),),
            primary_key=(Column(name="id", arrow_type="int64"),),
        ),
        "methods": ("predict_proba", "predict"),
        "batch_rows": 1024,
        "parity": ParitySample(outputs=outputs),
        "source": TrainingSource(
            files=SourceFiles(uris=("file:///t.csv",), file_format="csv"), objects=(), rows_read=1, rows_used=1
        ),
        "performance": Performance(fit_seconds=1.0, predict_rows_per_second=1.0, peak_memory_bytes=1),
        "versions": Versions(python="3.11.0", packages={}),
    }
    return ModelManifest(**{**fields, **changes})


def stored_model(storage: Storage, model: str, **changes: Any) -> str:
    """Store a manifest as training does; its URI."""
    document = manifest(model, **changes)
    uri = join(model, "versions", document.version, "manifest.json")
    storage.write(uri, document.to_json())
    sha256 = hashlib.sha256(document.to_json()).hexdigest()
    pointer = ModelPointer(version=document.version, manifest_uri=uri, manifest_sha256=sha256)
    storage.write(join(model, "latest.json"), pointer.to_json())
    return uri


def csv_plan(storage: Storage, root: str, *, rows: int = 100, chunks: int = 4, **changes: Any) -> tuple[Plan, str]:
    """A plan over one CSV file of ``rows`` records of 10 bytes, without a header, in ``chunks`` chunks."""
    if not storage.exists(f"{root}/in/x.csv"):
        storage.write(f"{root}/in/x.csv", b"".join(b"%04d,1234\n" % i for i in range(rows)))
    if not storage.exists(f"{root}/model/latest.json"):
        stored_model(storage, f"{root}/model")
    fields: dict[str, Any] = {
        "model": f"{root}/model",
        "source": SourceFiles(uris=(f"{root}/in/x.csv",), file_format="csv"),
        "destination": OutputFiles(uri=f"{root}/out", file_format="csv"),
        "partition": "day=1",
        "chunk_size": rows * 10 // chunks,
        "look_at_columns": False,
    }
    return make_plan(storage, **{**fields, **changes})


def receipt(storage: Storage, plan: Plan, number: int, *, data: bytes | None = None, **changes: Any) -> Receipt:
    """The receipt that a worker would make for a chunk of ``csv_plan``; its part is stored."""
    chunk = plan.chunks[number]
    consumed = tuple(
        Consumed(object=p.object, first=p.start, last=p.end, total=p.object.size, rows=(p.end - p.start) // 10)
        for p in chunk.pieces
    )
    rows = sum(piece.rows for piece in consumed)
    data = data if data is not None else f"chunk {chunk.id}\n".encode() * rows
    sha256 = hashlib.sha256(data).hexdigest()
    part = OutputPart(
        uri=Ledger(storage, plan.ledger).part_uri(sha256, ".csv"), sha256=sha256, size=len(data), rows=rows
    )
    storage.write(part.uri, data)
    fields: dict[str, Any] = {
        "fingerprint": plan.fingerprint,
        "chunk_id": chunk.id,
        "consumed": consumed,
        "rows_in": rows,
        "rows_out": rows,
        "parts": (part,),
        "key_hash": KeyHash(value=2**63 + number),
        "model_sha256": "0" * 64,
    }
    return Receipt(**{**fields, **changes})


def publish(storage: Storage, plan: Plan, proof: Proof, **options: Any) -> tuple[PublishedManifest, bool]:
    """Publish a proven run into its folder; the folder's manifest, and whether anything was published now."""
    done = publish_run(Attempt(storage, JobIdentity()), destination_of(plan.destination), plan, proof, **options)
    manifest = read_published(storage, join(plan.destination.uri, plan.partition))
    assert manifest
    assert (done.rows, done.proof_uri) == (manifest.rows, manifest.proof_uri)
    return manifest, done.published
