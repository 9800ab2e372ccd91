"""``Runtime``: the interface through which Airflow's side uses a place where jobs run.

A runtime is an operator argument: a dataclass whose fields are JSON values, so that it can travel to the triggerer. It
gets its access to AWS by ``bind``; it never looks up a connection.
"""

from __future__ import annotations

import copy
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from pydantic import ConfigDict, Field, JsonValue

from airflow_sklearn.contract.document import Value, content_id
from airflow_sklearn.exceptions import BrokenEnvironmentError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from airflow_sklearn.aws.iam.rights import RuntimeRights
    from airflow_sklearn.contract.jobs import Job
    from airflow_sklearn.runtimes.hosts import Host


_ENV = "env"  # the field of a runtime that holds variables for the worker
DIGEST_OPTION = "--sha256"
"""Of the worker. Workers of earlier versions do not know it, and end with the exit code 2."""


class JobState(StrEnum):
    """The state of a job. The final states differ in what a retry should do."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    """Ended well, as far as the runtime can see. The job's result document has the last word."""
    FAILED = "failed"
    """The worker ended itself with an error."""
    LOST = "lost"
    """The host, the container or the process is gone: a retry is right."""
    OUT_OF_MEMORY = "out_of_memory"
    """A retry needs more memory."""
    NO_CAPACITY = "no_capacity"
    """Never started: nothing free, or a quota. A later retry may find room."""
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """This poll could not see it; another will."""

    @property
    def finished(self) -> bool:
        """Whether the state is final."""
        return self not in (JobState.PENDING, JobState.RUNNING, JobState.UNKNOWN)


class JobHandle(Value):
    """One submission of a job, as JSON values, so that it can be stored while a task is deferred."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    key: str
    """``job_key`` of the job."""
    job_uri: str
    result_uri: str
    job_sha256: str = ""
    """Of the job's document, as the worker was told it. Empty: submitted by a version that did not."""
    submitted_at: float
    """Seconds since the epoch."""
    taken_over: bool = False
    """Submitted by an earlier attempt of the task, and found by ``Runtime.find``."""
    capacity_refusals: int = Field(0, alias="refused")
    """How often the job found no room before."""
    asked_since: float = 0.0
    """Seconds since the epoch at which room was first asked for."""
    data: dict[str, JsonValue] = {}
    """What the runtime needs to find the job again: its own ``JobData`` as JSON."""


class JobStatus(Value):
    """A job's status, as one poll saw it."""

    state: JobState
    message: str = ""
    """For people: why a job ended, or what it waits for."""
    exit_code: int | None = None
    expired: bool = False
    """Airflow's side stopped the job, because its time was over."""

    @classmethod
    def of_expired(cls) -> Self:
        """The status of a job that Airflow's side stopped at its deadline, because the worker had not stopped
        itself.
        """
        message = "The job ran past the task's deadline or execution_timeout, and was stopped."
        return cls(state=JobState.CANCELLED, message=message, expired=True)

    @classmethod
    def of_unseen(cls, seconds: float, last: JobStatus) -> Self:
        """The status of a job that successful polls have not found for a long time.

        :param seconds: for how many seconds.
        :param last: the last poll's status, ``UNKNOWN``.
        """
        said = f"The job has not been seen for {seconds:,.0f} s. {last.message}".rstrip()
        return cls(state=JobState.LOST, message=said)


class AwsAccess(Protocol):
    """A runtime's access to AWS: the operator's connection, without its name."""

    def client(self, service: str, region_name: str | None = None, *, attempts: int | None = None) -> Any:
        """A boto3 client.

        :param service: such as ``ecs``.
        :param region_name: the region; None: the connection's.
        :param attempts: the largest number of attempts a call; None: boto3's default.
        """

    def environment(self) -> Mapping[str, str]:
        """The connection as ``AWS_*`` environment variables, for a process without a role of its own."""


class LeftoverOption(NamedTuple):
    """The option of the reaper's command that says where to look for a runtime's hosts."""

    flag: str
    """Such as ``--cluster``."""
    metavar: str | None
    """Of its argument, which may be given several times; None: it takes none."""
    help: str


class Runtime(ABC):
    """A place where jobs run. Subclasses are dataclasses (not frozen) with JSON values as fields.

    All methods are called in a task, ``poll`` and ``cancel`` also in threads of the triggerer. They may block.
    """

    template_fields: ClassVar[tuple[str, ...]] = ()
    startup_allowance: float = 15.0
    """Seconds that a job may take to start before its deadline begins to count."""
    default_poll_interval: ClassVar[float] = 10.0
    """Seconds between two polls of a job that has run for a while."""
    first_poll_pause: ClassVar[float] = 0.05
    """Seconds to the first poll of a task that waits; they grow to the interval, so that short jobs end soon."""
    log_delay: ClassVar[float] = 0.0
    """Seconds by which the last lines of a log may come later than the job's end."""
    submits_once: ClassVar[bool] = False
    """Whether ``submit``, called again with equal arguments, gives the job that the first call started."""
    on_this_machine: ClassVar[bool] = False
    """Whether jobs share this machine's files and cores."""
    capacity_timeout: float = 0.0
    """Seconds for which a task goes on asking when ``submit`` finds no room."""
    submit_only: ClassVar[tuple[str, ...]] = (_ENV,)
    """Fields that nothing but submitting a job needs; they have defaults."""
    leftovers: ClassVar[LeftoverOption | None] = None
    """The reaper's option that names where to look for ``hosts``. None: this runtime leaves nothing behind."""

    stored_as: ClassVar[str] = ""
    """``module:Class`` by which descriptions name the class; empty: as it is. A class that has moved keeps its name."""

    _aws: AwsAccess | None = None

    def bind(self, aws: AwsAccess) -> Self:
        """A copy of this runtime that uses ``aws``, without anything that this one has looked up with other access."""
        bound = copy.copy(self)
        for name in [name for name in vars(bound) if isinstance(getattr(type(self), name, None), cached_property)]:
            del vars(bound)[name]
        bound._aws = aws
        return bound

    @abstractmethod
    def submit(self, job_uri: str, job: Job, *, survives_parent: bool, capacity_refusals: int = 0) -> JobHandle:
        """Start a worker for a job that has been stored.

        :param job_uri: the URI of the job's document. The worker is started with it and with the document's digest.
        :param job: the document.
        :param survives_parent: whether the job must outlive the calling process, because the task is about to be
            deferred.
        :param capacity_refusals: how often this job has found no capacity so far.
        :raises NoCapacityError: there is no capacity now; the same call may succeed later.
        :raises ThrottledError: there were too many calls; the same call may be repeated.
        """

    @abstractmethod
    def poll(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        """The statuses of many jobs, in their order, with as few calls as possible."""

    @abstractmethod
    def cancel(self, handle: JobHandle) -> None:
        """Stop a job. If it has ended already, nothing happens. May be called repeatedly, and from signal handlers."""

    def abandon(self, job_uri: str) -> None:
        """Make sure that a job which found no capacity is never done. ``submit`` will not be called for it again."""
        return

    def job_url(self, handle: JobHandle) -> str:
        """The URL of a page about the job's host; empty if there is none."""
        return ""

    def log_url(self, handle: JobHandle) -> str:
        """The URL of a page with the job's log; empty if there is none."""
        return ""

    def logs(self, handle: JobHandle, cursor: JsonValue = None) -> tuple[list[str], JsonValue]:
        """Read the lines that the worker logged after ``cursor``.

        :param cursor: the cursor that the last call returned; None: the beginning.
        :return: the lines, and the next cursor.
        """
        return [], cursor

    def find(self, job: Job) -> JobHandle | None:
        """A running submission of the same work by an earlier attempt of the same task; None if there is none.

        Submissions that have ended do not count: their results are looked up in the ledger or below the model; if these
        are gone, the work is done again. The work is compared (``job_key``), not only the task: a map index can stand
        for another chunk after the task was expanded again.
        """
        return None

    def software_fingerprint(self, module: str = "") -> str:
        """A text that identifies the software in which jobs run. A model is trained again if it changes.

        :param module: the user's module that makes the estimator. Its source counts too, if it can be found.
        """
        return ""

    def package_versions(self) -> dict[str, str]:
        """The versions of packages, and of ``python``, that jobs have, by name; empty if only a job could find out."""
        return {}

    @classmethod
    def hosts(cls, aws: AwsAccess, where: str, *, region_name: str | None, tags: Mapping[str, str]) -> Iterator[Host]:
        """Everything that runs in this kind of runtime for Airflow tasks, whoever started it.

        :param aws: access to AWS.
        :param where: the value of the reaper's option for this runtime; empty if there is none.
        :param region_name: the region; None: the connection's.
        :param tags: tags that a host must have, beside those that lead back to its Airflow task.
        """
        return iter(())

    @classmethod
    def rights(cls) -> RuntimeRights | None:
        """The AWS permissions that this kind of runtime needs; None: none."""
        return None

    @property
    def jobs_in_a_row(self) -> int:
        """How many jobs may run one after another, this one last. Each may take as long as its deadline."""
        return 1

    @property
    def image(self) -> str:
        """The name of the container image; empty if there is none."""
        return ""

    def poll_key(self) -> str:
        """A key. Handles of runtimes with equal keys can be polled in one call."""
        return content_id(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """This runtime as JSON, for ``runtime_from_dict``. Of the variables in ``env`` it holds the names, never the
        values.
        """
        arguments = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        if isinstance(env := arguments.get(_ENV), Mapping):
            arguments[_ENV] = sorted(env)
        path = vars(type(self)).get("stored_as") or f"{type(self).__module__}:{type(self).__qualname__}"
        return {"class": path, "arguments": arguments}

    def described_for_jobs(self) -> dict[str, Any]:
        """This runtime as JSON, for a job that starts further ones, with everything that only Airflow's side may look
        up.

        The job's container has the variables of ``env`` itself, and passes them on.
        """
        return self.to_dict()

    def described_for_triggers(self) -> dict[str, Any]:
        """This runtime as JSON, for a trigger, which Airflow's database stores. Fields that only ``submit`` needs are
        left out.
        """
        described = self.to_dict()
        kept = {name: value for name, value in described["arguments"].items() if name not in self.submit_only}
        return {**described, "arguments": kept}


def runtime_from_dict(data: Mapping[str, Any], env: Mapping[str, str] | None = None) -> Runtime:
    """The runtime that ``to_dict`` described.

    :param data: the result of ``to_dict``.
    :param env: the values of its environment variables; None: they are not needed.
    :raises UserError: the data describe no runtime.
    :raises BrokenEnvironmentError: a variable has no value.
    """
    module, _, name = data["class"].partition(":")
    found = getattr(import_module(module), name, None)
    if not (isinstance(found, type) and issubclass(found, Runtime)):
        raise UserError(f"{data['class']} is no Runtime.")
    arguments = dict(data["arguments"])
    if isinstance(names := arguments.get(_ENV), list):  # earlier versions wrote a dict of names and values
        arguments[_ENV] = {} if env is None else _values(names, env)
    return found(**arguments)


def _values(names: Sequence[str], env: Mapping[str, str]) -> dict[str, str]:
    if missing := [name for name in names if name not in env]:
        raise BrokenEnvironmentError(
            f"The runtime's variables {', '.join(missing)} are not set here, so further containers cannot get them. "
            "Fix: let the image's entry point keep the environment that the container was started with."
        )
    return {name: env[name] for name in names}


def worker_arguments(job_uri: str, job: Job) -> list[str]:
    """A worker's command line arguments: the job's URI, and the digest that the document there must have.

    The URI comes last, because earlier versions look for it there.
    """
    return [DIGEST_OPTION, job.digest(), job_uri]


def read_worker_arguments(arguments: Sequence[str]) -> tuple[str, str]:
    """The job's URI and its digest in a worker's command line arguments. The digest is empty if an earlier version
    wrote them.
    """
    before = list(arguments[:-1])
    return arguments[-1], before[1] if before[:1] == [DIGEST_OPTION] and len(before) > 1 else ""


def job_key(job: Job) -> str:
    """Identifies the work of one task instance over its attempts: 24 hexadecimal digits."""
    from airflow_sklearn.contract.jobs import PoolWorkerJob, PredictJob, RegisterJob, TrainJob

    work: tuple[str, ...] = ()
    if isinstance(job, TrainJob | RegisterJob):
        work = (job.model, job.version)
    elif isinstance(job, PredictJob):
        work = (job.ledger, job.fingerprint, job.chunk.id)
    elif isinstance(job, PoolWorkerJob):
        work = (job.folder, job.worker)
    identity = job.identity
    return content_id(
        [job.FORMAT, identity.dag_id, identity.task_id, identity.run_id, identity.map_index, *work], length=24
    )
