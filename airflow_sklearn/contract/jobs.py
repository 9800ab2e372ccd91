"""Jobs, which containers receive, and their results. No document here contains a secret."""

from __future__ import annotations

import contextlib
import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, JsonValue

from airflow_sklearn import __version__
from airflow_sklearn.contract.data import SourceFiles, SourceObject
from airflow_sklearn.contract.document import Document, Later, Value, upgrades
from airflow_sklearn.contract.model import EstimatorSpec
from airflow_sklearn.contract.plan import Chunk, PredictionSpec
from airflow_sklearn.contract.problems import Problem
from airflow_sklearn.contract.tables import Snapshot
from airflow_sklearn.contract.train_settings import TrainSettings

LONGEST_SECONDS = 1e9  # 31 years: the longest time that timers accept


class JobIdentity(Value):
    """The Airflow task instance that asked for a job. It leads from a container back to its task."""

    dag_id: str = ""
    task_id: str = ""
    run_id: str = ""
    map_index: int = -1
    try_number: int = 1


class Job(Document):
    """The common fields of all jobs."""

    VERSION: ClassVar[int] = 2

    written_by: str = __version__
    """The version of this package that made the job. Empty: 0.1, whose jobs did not say it."""
    identity: JobIdentity = JobIdentity()
    result_uri: str
    """Where the worker writes its ``JobResult``, whatever happens. Empty: nowhere."""
    deadline_seconds: float | None = Field(default=None, gt=0, le=LONGEST_SECONDS)
    """The worker ends itself after this many seconds, even if Airflow is gone."""
    show_values: Annotated[bool, Later()] = True
    """Whether messages, the log, the result and the receipt may have values of rows in them."""

    @property
    def shared_plan(self) -> str:
        """The URI of the plan whose chunks this job and others of its task predict; empty if there is none.

        The URI ends in the plan's digest. An instance for several jobs is started with it, and does no job of another
        plan.
        """
        return ""

    def uris(self) -> tuple[str, ...]:
        """All files, folders and queues that the worker reads or writes. They decide which credentials it gets."""
        return (self.result_uri,)


class SearchPool(Value):
    """The pool of containers in which a training fits, beside the job's own container."""

    containers: int = Field(ge=2)
    runtime: dict[str, JsonValue]
    """Where they run, as ``Runtime.described_for_jobs`` says it."""
    folder: str
    """In storage, that the pool has its own folder in."""


class TrainJob(TrainSettings, Job):
    """A job that fits one estimator on one table."""

    FORMAT = "airflow-sklearn/train-job"

    kind: Literal["train"] = "train"
    model: str
    version: str
    estimator: EstimatorSpec
    source: SourceFiles
    objects: tuple[SourceObject, ...]
    snapshot: Snapshot | None = None
    """What the objects were unloaded from."""
    image: str = ""
    search: SearchPool | None = None
    """No part of the version: where fits run does not change what is fitted."""

    def uris(self) -> tuple[str, ...]:
        """See ``Job.uris``."""
        pools = [self.search.folder] if self.search else []
        return (*super().uris(), self.model, *self.source.uris, *(one.uri for one in self.objects), *pools)


class PredictJob(Job):
    """A job that predicts one chunk."""

    FORMAT = "airflow-sklearn/predict-job"

    kind: Literal["predict"] = "predict"
    spec: PredictionSpec
    fingerprint: str
    ledger: str
    chunk: Chunk
    plan: Annotated[str, Later()] = ""
    """Its URI, as planning returned it."""

    @property
    def shared_plan(self) -> str:
        """See ``Job.shared_plan``."""
        return self.plan

    def uris(self) -> tuple[str, ...]:
        """See ``Job.uris``."""
        source = {piece.object.uri for piece in self.chunk.pieces}
        return (*super().uris(), self.ledger, self.spec.model_manifest_uri, *sorted(source))


class PoolWorkerJob(Job):
    """A job that does a pool's tasks until the driver has no more. It has no result itself; its tasks have."""

    FORMAT = "airflow-sklearn/pool-worker-job"

    kind: Literal["pool_worker"] = "pool_worker"
    result_uri: str = ""
    folder: str
    """Of the pool, with its key, its arguments and the driver's signs of life."""
    worker: str
    """The place in the pool that it fills; a replacement has the same."""
    tasks: str
    """The queue that tasks come from, as ``sqs://region/name`` or ``file:///folder``."""
    reports: str

    """The queue that results go to."""
    software: dict[str, str]
    """Versions of the driver's, which the worker's must fit."""
    processes: int = Field(default=1, ge=1)
    """Tasks that run at the same time."""
    threads: int | None = Field(default=None, ge=1)
    """Of numeric libraries, in each task. None: the cores, shared among the processes."""
    restarts: int = Field(default=2, ge=1)
    """How often a task is started again whose process or container has ended."""
    visibility_seconds: float = Field(default=30.0, gt=0)
    """After which a task that its worker has not renewed goes to another."""
    idle_seconds: float = Field(default=300.0, gt=0)
    """Without a task, after which the worker ends."""
    driver_seconds: float = Field(default=60.0, gt=0)
    """Without a sign of the driver's life, after which the worker ends and removes the pool."""
    key_sha256: Annotated[str, Later()] = ""
    """Of the pool's key. The job's own digest pins it. Empty: written by a version that did not say it."""

    def uris(self) -> tuple[str, ...]:
        """See ``Job.uris``."""
        return (*super().uris(), self.folder, self.tasks, self.reports)


@upgrades(TrainJob.FORMAT, 1)
@upgrades(PredictJob.FORMAT, 1)
@upgrades(PoolWorkerJob.FORMAT, 1)
def _from_version_1(stored: dict[str, Any]) -> dict[str, Any]:
    """Upgrade from version 1, which did not contain the package version that wrote it."""
    return {**stored, "written_by": ""}


AnyJob = TrainJob | PredictJob | PoolWorkerJob

_KINDS: dict[str, type[PredictJob | PoolWorkerJob]] = {"predict": PredictJob, "pool_worker": PoolWorkerJob}


def job_from_json(data: bytes, *, where: str) -> AnyJob:
    """Read a job of any kind.

    :param where: the job's URI, for messages.
    :raises DocumentError: it is no job, or its format cannot be read by this version.
    """
    with contextlib.suppress(ValueError, AttributeError, TypeError, RecursionError):  # from_json will raise
        if kind := _KINDS.get(json.loads(data).get("kind")):
            return kind.from_json(data, where=where)
    return TrainJob.from_json(data, where=where)


ErrorKind = Literal["user", "data", "environment", "deadline", "cancelled", "memory", "internal"]


class JobError(Value):
    """Why a job failed. Its ``kind`` decides whether a retry can help; see ``airflow_sklearn.contract.exit_codes``."""

    kind: ErrorKind
    type: str
    message: str
    problems: tuple[Problem, ...] = ()
    traceback: str = ""


class JobResult(Document):
    """How a job ended. A job without a result has not succeeded, whatever its exit code."""

    FORMAT = "airflow-sklearn/job-result"

    status: Literal["succeeded", "failed"]
    output_uri: str = ""
    """Train: the model manifest. Predict: the receipt."""
    output_sha256: str = ""
    error: JobError | None = None
    seconds: float = 0.0
