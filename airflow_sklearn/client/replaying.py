"""Running one chunk of a production run here, to look into it."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from airflow_sklearn.client.jobs import attempt, error_of
from airflow_sklearn.client.model import Model, load
from airflow_sklearn.client.rows import read_parts
from airflow_sklearn.contract.jobs import JobIdentity, PredictJob, job_from_json
from airflow_sklearn.contract.plan import PlannedChunk
from airflow_sklearn.contract.receipt import Receipt
from airflow_sklearn.exceptions import AirflowSklearnError, DataError, UserError
from airflow_sklearn.runs.ledger import Ledger, read_chunk
from airflow_sklearn.storage import Storage, join
from airflow_sklearn.storage.uris import parent, place_uri
from airflow_sklearn.worker.prediction.features import read_features

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_sklearn.contract.problems import Problem


@dataclass(frozen=True)
class Replay:
    """What a chunk did here.

    :param error: why it failed; None: it did not.
    :param predictions: what it wrote; empty if it failed.
    :param receipt: its receipt here; None: it failed.
    :param production: the receipt of production; None: it failed there.
    :param model: the model.
    """

    error: AirflowSklearnError | None
    predictions: pd.DataFrame
    receipt: Receipt | None
    production: Receipt | None
    model: Model
    _job: PredictJob
    _storage: Storage

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems of the rows, those that failed the chunk and those that policies let pass."""
        if isinstance(self.error, DataError):
            return self.error.problems
        return self.receipt.problems if self.receipt else ()

    @property
    def same(self) -> bool:
        """Whether the chunk wrote the same bytes here as in production."""
        ours, theirs = ([part.sha256 for part in one.parts] if one else None for one in (self.receipt, self.production))
        return ours is not None and ours == theirs

    @property
    def features(self) -> pd.DataFrame:
        """The features of the chunk's rows, as the model gets them.

        :raises DataError: a file cannot be read; the error carries all problems.
        """
        return read_features(self._storage, self._job, self.model.manifest).to_pandas()


def replay(chunk: str | Mapping[str, str], *, storage: Storage | None = None) -> Replay:
    """Run one chunk of a production run in this process. Nothing in production is changed.

    :param chunk: the URI of the chunk's receipt or of one of its jobs (the task's log names it), or the chunk as
        ``SklearnPlanOperator`` returned it.
    :param storage: access to the URIs; None: with the environment's credentials.
    :raises UserError: it is none of these.
    :raises ObjectNotFoundError: the source, the model or the ledger is gone.
    """
    storage = storage or Storage()
    planned = _planned(storage, chunk)
    production = Ledger(storage, planned.ledger).read_receipt(planned.chunk.id, planned.fingerprint)
    folder = tempfile.mkdtemp(prefix="airflow-sklearn-replay-")
    try:
        ledger = Ledger(storage, f"file://{folder}/{planned.fingerprint[:32]}")
        job = PredictJob(
            identity=JobIdentity(),
            result_uri=ledger.result_uri(planned.chunk.id, "replay"),
            spec=planned.spec,
            fingerprint=planned.fingerprint,
            ledger=ledger.uri,
            chunk=planned.chunk,
        )
        result = attempt(storage, job, ledger.job_uri(planned.chunk.id, "replay"))
        receipt = ledger.read_receipt(planned.chunk.id, planned.fingerprint)
        parts = [part.uri for part in receipt.parts] if receipt else []
        predictions = _read(storage, job, parts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    named = {"manifest_uri": job.spec.model_manifest_uri, "manifest_sha256": job.spec.model_manifest_sha256}
    error = error_of(result.error) if result.error else None
    return Replay(error, predictions, receipt, production, load(named, storage=storage), job, storage)


def _read(storage: Storage, job: PredictJob, parts: list[str]) -> pd.DataFrame:
    if job.spec.output_format == "parquet":
        return read_parts(storage, parts)
    options: dict[str, Any] = {"sep": job.spec.output_csv.delimiter, "compression": None}
    tables = [pd.read_csv(part.removeprefix("file://"), **{**options, "compression": "infer"}) for part in parts]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _planned(storage: Storage, chunk: str | Mapping[str, str]) -> PlannedChunk:
    if not isinstance(chunk, str):
        found = read_chunk(storage, chunk["plan"], chunk["id"])
        if found is None:
            raise UserError(f"The plan {chunk['plan']} has no chunk {chunk['id']}.")
        return found
    uri = place_uri(chunk)
    folder = parent(uri)
    kind, ledger = folder.rpartition("/")[2], parent(folder)
    if kind == "jobs":
        job = job_from_json(storage.read(uri), where=uri)
        if isinstance(job, PredictJob):
            return PlannedChunk(spec=job.spec, fingerprint=job.fingerprint, ledger=job.ledger, chunk=job.chunk)
    if kind == "receipts":
        receipt = Receipt.from_json(storage.read(uri), where=uri)
        for obj in storage.list(join(ledger, "plans", "chunks", "")):
            planned = PlannedChunk.from_json(storage.read(obj.uri), where=obj.uri)
            if planned.chunk.id == receipt.chunk_id:
                return planned
        raise UserError(f"The ledger {ledger} has no plan of this chunk. Fix: give a job's URI.")
    raise UserError(
        f"{uri} is neither a receipt (<ledger>/receipts/....json) nor a chunk's job (<ledger>/jobs/....json)."
    )
