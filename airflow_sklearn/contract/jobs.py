"""Jobs, which containers receive, and their results. No document here contains a secret."""

from __future__ import annotations

import contextlib
import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, JsonValue

from airflow_sklearn import __version__
from airflow_sklearn.contract.data import SourceFiles, SourceObject
from airflow_sklearn.contract.document import Document, Later, Value, upgrades
from airflow_sklearn.contract.model import EstimatorSpec, OneEstimatorSpec, RegisteredEstimator
from airflow_sklearn.contract.plan import Chunk, PredictionSpec
from airflow_sklearn.contract.problems import Problem
from airflow_sklearn.contract.register_settings import RegisterSettings
from airflow_sklearn.contract.tables import Snapshot
from airflow_sklearn.contract.train_settings import TrainSettings
from airflow_sklearn.contract.validation import HeldOutRows

LONGEST_SECONDS = 1e9  # 31 years: the longest time that timers accept


class JobIdentity(Value):
    """The Airflow task instance that asked for a job. It leads from a container back to its task."""

    dag_id: str = ""
    task_id: str = ""
    run_id: str = ""
    map_index: int = -1
    try_number: int = 1

    @property
    def path(self) -> str:
        """All of it in one text, as receipts have it."""
        return f"{self.dag_id}/{self.task_id}/{self.run_id}/{self.map_index}/{self.try_number}"


class Job(Document):
    """The common fields of all jobs."""

    VERSION: ClassVar[int] = 2

    written_by: str = __version__
    """The package version that made the job. Empty: 0.1, which did not store it."""
    identity: JobIdentity = JobIdentity()
    result_uri: str
    """The URI at which the worker stores its ``JobResult`` in any case. Empty: it stores none."""
    deadline_seconds: float | None = Field(default=None, gt=0, le=LONGEST_SECONDS)
    """Seconds after which the worker ends itself, even if Airflow is gone; None: no limit."""
    show_values: Annotated[bool, Later()] = True
    """Whether messages, the log, the result and the receipt may contain values of rows."""

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
    """The runtime of the containers: the result of ``Runtime.described_for_jobs``."""
    folder: str
    """The URI of the folder in which the pool's folder is made."""


class TrainJob(TrainSettings, Job):
    """A job that fits one estimator on one table."""

    FORMAT = "airflow-sklearn/train-job"

    kind: Literal["train"] = "train"
    model: str
    version: str
    estimator: EstimatorSpec
    transformer: Annotated[OneEstimatorSpec | None, Later()] = None
    """What replaces the package's preprocessing; None: nothing does."""
    source: SourceFiles
    objects: tuple[SourceObject, ...]
    snapshot: Snapshot | None = None
    """The snapshot to which the objects belong; None: the source is files."""
    image: str = ""
    search: SearchPool | None = None
    """Not a part of the model's version, because it does not change the fitted estimator."""
    trusted_types: Annotated[tuple[str, ...], Later()] = ()
    """The types that a model in the format skops may contain. They come from Airflow's configuration."""

    def uris(self) -> tuple[str, ...]:
        """See ``Job.uris``."""
        pools = [self.search.folder] if self.search else []
        held_out = self.validation.objects if isinstance(self.validation, HeldOutRows) else ()
        others = self.will_score.uris() if self.will_score else ()
        read = (*self.source.uris, *(one.uri for one in (*self.objects, *held_out)), *others)
        return (*super().uris(), self.model, *read, *pools)


class RegisterJob(RegisterSettings, Job):
    """A job that stores an estimator, which was fitted elsewhere, as a version of a model."""

    FORMAT = "airflow-sklearn/register-job"
    VERSION: ClassVar[int] = 1

    kind: Literal["register"] = "register"
    model: str
    version: str
    estimator: RegisteredEstimator
    source: SourceFiles
    """Rows as the model will predict. The schema is learned from them, and the model is checked on them."""
    objects: tuple[SourceObject, ...]
    snapshot: Snapshot | None = None
    """The snapshot to which the objects belong; None: the source is files."""
    image: str = ""
    trusted_types: tuple[str, ...] = ()
    """The types that an estimator in the format skops may contain. They come from Airflow's configuration."""

    def uris(self) -> tuple[str, ...]:
        """See ``Job.uris``."""
        objects = (one.uri for one in self.objects)
        return (*super().uris(), self.model, self.estimator.uri, *self.source.uris, *objects)


class PredictJob(Job):
    """A job that predicts one chunk."""

    FORMAT = "airflow-sklearn/predict-job"

    kind: Literal["predict"] = "predict"
    spec: PredictionSpec
    fingerprint: str
    ledger: str
    chunk: Chunk
    plan: Annotated[str, Later()] = ""
    """The plan's URI, the result of planning."""

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
    """The URI of the pool's folder, with its key, its arguments and the driver's signs of life."""
    worker: str
    """The worker's name in the pool; a replacement has the same."""
    tasks: str
    """The URI of the queue of tasks: ``sqs://region/name`` or ``file:///folder``."""
    reports: str

    """The queue that results go to."""
    software: dict[str, str]
    """The driver's versions, which the worker's must fit."""
    processes: int = Field(default=1, ge=1)
    """The number of tasks that run at the same time."""
    threads: int | None = Field(default=None, ge=1)
    """Threads of numeric libraries in each task. None: the cores, shared by the processes."""
    restarts: int = Field(default=2, ge=1)
    """How often a task is started again after its process or container has ended."""
    visibility_seconds: float = Field(default=30.0, gt=0)
    """Seconds after which another worker gets a task that was not renewed."""
    idle_seconds: float = Field(default=300.0, gt=0)
    """Seconds without a task after which the worker ends."""
    driver_seconds: float = Field(default=60.0, gt=0)
    """Seconds without a sign of life of the driver after which the worker ends, and removes the pool."""
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


#: The jobs that make a version of a model.
VersionJob = TrainJob | RegisterJob
AnyJob = VersionJob | PredictJob | PoolWorkerJob

_KINDS: dict[str, type[RegisterJob | PredictJob | PoolWorkerJob]] = {
    "register": RegisterJob,
    "predict": PredictJob,
    "pool_worker": PoolWorkerJob,
}


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
    """The URI of the result: a model manifest, or a receipt."""
    output_sha256: str = ""
    error: JobError | None = None
    seconds: float = 0.0
