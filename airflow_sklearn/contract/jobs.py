"""What a container is handed, and what it answers. No document here names a secret."""

from __future__ import annotations

import contextlib
import json
from typing import Literal

from pydantic import Field

from airflow_sklearn.contract.data import SourceFiles, SourceObject
from airflow_sklearn.contract.document import Document, Value
from airflow_sklearn.contract.model import EstimatorSpec
from airflow_sklearn.contract.plan import Chunk, PredictionSpec
from airflow_sklearn.contract.problems import Problem
from airflow_sklearn.contract.schema import Policies
from airflow_sklearn.contract.tables import Snapshot


class JobIdentity(Value):
    """Who asked: the Airflow task instance. Leads back from a container to its task."""

    dag_id: str = ""
    task_id: str = ""
    run_id: str = ""
    map_index: int = -1
    try_number: int = 1


class Job(Document):
    """What every job has."""

    identity: JobIdentity = JobIdentity()
    result_uri: str
    """Where the worker writes its ``JobResult``, whatever happens."""
    deadline_seconds: float | None = None
    """The worker ends itself after this many seconds, even if Airflow is gone."""


class TrainJob(Job):
    """Fit one estimator on one table."""

    FORMAT = "airflow-sklearn/train-job"

    kind: Literal["train"] = "train"
    model: str
    version: str
    estimator: EstimatorSpec
    target: str
    primary_key: tuple[str, ...] = ()
    excluded_columns: tuple[str, ...] = ()
    sample_weight: str | None = None
    preprocessing: Literal["auto", "default", "none"] = "auto"
    """``default`` puts the package's preprocessing before the estimator; ``auto`` does so unless it is a Pipeline."""
    cross_validation: int = Field(default=4, ge=0)
    """Folds; 0 skips validation."""
    policies: Policies = Policies()
    source: SourceFiles
    objects: tuple[SourceObject, ...]
    snapshot: Snapshot | None = None
    """What the objects were unloaded from."""
    image: str = ""


class PredictJob(Job):
    """Predict one chunk."""

    FORMAT = "airflow-sklearn/predict-job"

    kind: Literal["predict"] = "predict"
    spec: PredictionSpec
    fingerprint: str
    ledger: str
    chunk: Chunk


def job_from_json(data: bytes, *, where: str) -> TrainJob | PredictJob:
    """Read a job of either kind.

    :raises DocumentError: it is no job, or of a format that this version does not read.
    """
    with contextlib.suppress(ValueError, AttributeError):
        if json.loads(data).get("kind") == "predict":
            return PredictJob.from_json(data, where=where)
    return TrainJob.from_json(data, where=where)


ErrorKind = Literal["user", "data", "environment", "deadline", "cancelled", "memory", "internal"]


class JobError(Value):
    """Why a job failed. ``kind`` decides whether a retry can help; see ``airflow_sklearn.worker.exit_codes``."""

    kind: ErrorKind
    type: str
    message: str
    problems: tuple[Problem, ...] = ()
    traceback: str = ""


class JobResult(Document):
    """How a job ended. Without it a job has not succeeded, whatever its exit code."""

    FORMAT = "airflow-sklearn/job-result"

    status: Literal["succeeded", "failed"]
    output_uri: str = ""
    """Train: the model manifest. Predict: the receipt."""
    output_sha256: str = ""
    error: JobError | None = None
    seconds: float = 0.0
