"""``EcsRuntime``: each job as one ECS task, on Fargate, on instances of yours, or by a capacity provider."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_sklearn.aws.console import console_of
from airflow_sklearn.aws.retry import insist
from airflow_sklearn.contract.document import content_id
from airflow_sklearn.exceptions import BrokenEnvironmentError
from airflow_sklearn.runtimes.aws.cloudwatch import stream_of
from airflow_sklearn.runtimes.aws.options import check_rendered, raise_problems, read_numbers
from airflow_sklearn.runtimes.aws.tags import tags_of
from airflow_sklearn.runtimes.base import (
    JobHandle,
    JobState,
    JobStatus,
    Runtime,
    job_key,
    read_worker_arguments,
    worker_arguments,
)
from airflow_sklearn.runtimes.ecs import fargate
from airflow_sklearn.runtimes.ecs.errors import explained, is_forgotten, is_throttle, raise_refusal
from airflow_sklearn.runtimes.ecs.memory import bound_of, memory_of, override_of, size_after, with_prospect
from airflow_sklearn.runtimes.ecs.options import LISTS, NUMBERS, WHOLE_NUMBERS, problems
from airflow_sklearn.runtimes.ecs.overrides import overrides_of
from airflow_sklearn.runtimes.ecs.status import OUR_REASON, status_of
from airflow_sklearn.runtimes.ecs.task_definition import find_task_definition, register_task_definition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import JsonValue

    from airflow_sklearn.contract.jobs import Job
    from airflow_sklearn.runtimes.ecs.task_definition import TaskDefinition

_TASKS_A_CALL = 100  # from DescribeTasks' page in the Amazon ECS API reference

_MISSING_AT_FIRST = 300.0  # seconds after RunTask for which other calls may not know a task yet (RunTask's reference)

_RESULT_VARIABLE = "AIRFLOW_SKLEARN_RESULT_URI"
"""For the attempt that takes a task over: it learns from the task's overrides where the result will be."""

_SPOT, _ON_DEMAND = "FARGATE_SPOT", "FARGATE"
_WAITING = ("PROVISIONING", "PENDING", "ACTIVATING")


@dataclass(repr=False)
class EcsRuntime(Runtime):
    """Runs each job as one ECS task: the worker image with the job's URI and digest as arguments.

    The container holds no keys: it reads and writes S3 with its task role. AWS is reached through the operator's
    ``aws_conn_id``. A retry looks for the task of the attempt before, and takes it over. A job that ran out of memory
    gets twice the memory in its next attempt.

    :param cluster: its short name or ARN. (templated)
    :param task_definition: family, family:revision or ARN of one that is registered; or what RegisterTaskDefinition
        takes, as a dict, registered under its family and a digest of its content. (templated)
    :param container_name: the container that runs the worker; default: the only one.
    :param launch_type: ``FARGATE``, ``EC2`` or ``EXTERNAL``; default ``FARGATE``, unless capacity providers are named.
    :param capacity_provider_strategy: as RunTask takes it, for example
        ``[{"capacityProvider": "FARGATE_SPOT", "weight": 1}]``.
    :param on_demand_from_attempt: from this attempt of its Airflow task on, and whenever Spot has no room, a job for
        FARGATE_SPOT runs on FARGATE. Airflow counts attempts on when a task is cleared. None: never.
    :param platform_version: of Fargate.
    :param subnets: of the tasks' network interfaces; needed by the network mode ``awsvpc``, and so by Fargate.
        (templated)
    :param security_groups: of the tasks' network interfaces. (templated)
    :param assign_public_ip: whether tasks get a public address: in a subnet without NAT or endpoints they need one.
    :param cpu: CPU units (1024 are one vCPU); default: the task definition's. The worker runs one process a vCPU, as
        far as its memory goes.
    :param memory: MiB; default: the task definition's.
    :param max_memory: MiB that a job may grow to, after it ran out of memory; default: four times the memory.
    :param ephemeral_storage: GiB, 21 to 200, of Fargate.
    :param env: further environment variables for the worker; no place for secrets, ECS shows them. (templated)
    :param tags: further tags for the tasks, beside those that lead back to DAG, task, run and chunk. (templated)
    :param region_name: default: the connection's.
    :param awslogs_group: the log group, where the task definition does not say it.
    :param awslogs_region: the log group's region, where it is another than the cluster's.
    :param awslogs_stream_prefix: as in the task definition's log options.
    :param capacity_timeout: seconds for which a task waits while ECS has no room, or throttles.
    :param run_task_kwargs: what RunTask takes and no other parameter is for, such as ``placementConstraints`` or
        ``volumeConfigurations``.
    """

    template_fields: ClassVar[tuple[str, ...]] = (
        "cluster",
        "task_definition",
        "subnets",
        "security_groups",
        "env",
        "tags",
    )
    startup_allowance = 900.0
    default_poll_interval: ClassVar[float] = 10.0
    first_poll_pause: ClassVar[float] = 1.0
    log_delay: ClassVar[float] = 5.0
    submits_once: ClassVar[bool] = True
    submit_only: ClassVar[tuple[str, ...]] = ("env", "tags", "task_definition", "run_task_kwargs")

    cluster: str = "default"
    task_definition: str | dict[str, Any] = "airflow-sklearn"
    container_name: str | None = None
    launch_type: str | None = None
    capacity_provider_strategy: list[dict[str, Any]] = field(default_factory=list)
    on_demand_from_attempt: int | None = 2
    platform_version: str | None = None
    subnets: list[str] = field(default_factory=list)
    security_groups: list[str] = field(default_factory=list)
    assign_public_ip: bool = False
    cpu: int | None = None
    memory: int | None = None
    max_memory: int | None = None
    ephemeral_storage: int | None = None
    env: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    region_name: str | None = None
    awslogs_group: str | None = None
    awslogs_region: str | None = None
    awslogs_stream_prefix: str | None = None
    capacity_timeout: float = 900.0
    run_task_kwargs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        read_numbers(self, whole=WHOLE_NUMBERS, others=NUMBERS)
        raise_problems(self, problems(self))

    def __repr__(self) -> str:
        """Names the variables of ``env``, never their values: Airflow stores and shows this text."""
        definition = self.task_definition
        name = definition if isinstance(definition, str) else definition.get("family", "a specification")
        said = {"cluster": self.cluster, "task_definition": name, "env": sorted(self.env)}
        return f"EcsRuntime({', '.join(f'{name}={value!r}' for name, value in said.items() if value)})"

    def submit(self, job_uri: str, job: Job, *, survives_parent: bool, capacity_refusals: int = 0) -> JobHandle:
        """Called again with equal arguments, it makes the same request, and ECS gives the same task.

        The token stands for the job and how often it was refused: what was refused may be asked for differently.

        :raises NoCapacityError: ECS has no room now.
        :raises ThrottledError: it has not judged the request.
        :raises UserError: ECS will never run it like this.
        """
        definition, client = self._definition, self._ecs
        if job_uri not in self._sizes:  # looked up once: what has stopped meanwhile must not change the request
            self._sizes[job_uri] = self._size(job)
        overrides = overrides_of(
            definition,
            worker_arguments(job_uri, job),
            {**self.env, _RESULT_VARIABLE: job.result_uri},
            self._sizes[job_uri],
            ephemeral_storage=self.ephemeral_storage,
            on_fargate=self.on_fargate,
        )
        request = {
            "cluster": self.cluster,
            "taskDefinition": definition.arn,
            "count": 1,
            "startedBy": _started_by(job),
            "clientToken": content_id([job_uri, capacity_refusals], length=64),
            "overrides": overrides,
            "tags": [{"key": key, "value": value} for key, value in tags_of(job, self.tags).items()],
            **self._placement(job.identity.try_number, capacity_refusals),
            **self._network(),
            **({"platformVersion": self.platform_version} if self.platform_version else {}),
            **self.run_task_kwargs,
        }
        with explained(self.cluster):
            answer = client.run_task(**request)
        if not answer["tasks"]:
            raise_refusal(self.cluster, answer.get("failures", []))
        submitted = (job_uri, job.digest())
        return self._handle(answer["tasks"][0], submitted, job.result_uri, job_key(job), taken_over=False)

    def poll(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        statuses: dict[str, JobStatus] = {}
        error: Exception | None = None
        arns = list(dict.fromkeys(_arn(handle) for handle in handles))
        for batch in (arns[start : start + _TASKS_A_CALL] for start in range(0, len(arns), _TASKS_A_CALL)):
            try:
                found = self._ecs.describe_tasks(cluster=self.cluster, tasks=batch)
            except Exception as problem:  # a throttle must not hide what other calls saw
                error = problem
                statuses |= {arn: JobStatus(state=JobState.UNKNOWN, message=str(problem)) for arn in batch}
                continue
            by_arn = {task["taskArn"]: task for task in found["tasks"]}
            by_handle = {_arn(handle): handle for handle in handles}
            statuses |= {arn: _status(by_handle[arn], by_arn.get(arn)) for arn in batch}
        if error is not None and all(status.state is JobState.UNKNOWN for status in statuses.values()):
            raise error
        return [statuses[_arn(handle)] for handle in handles]

    def cancel(self, handle: JobHandle) -> None:
        """Tries for some seconds when ECS throttles, or does not know yet what it has just started."""
        reason = f"{OUR_REASON}stopped with its Airflow task"
        insist(
            lambda: self._ecs.stop_task(cluster=self.cluster, task=_arn(handle), reason=reason),
            is_throttle=is_throttle,
            is_forgotten=is_forgotten,
            is_young=_is_young(handle),
        )

    def logs(self, handle: JobHandle, cursor: JsonValue = None) -> tuple[list[str], JsonValue]:
        stream = stream_of(handle)
        return stream.read(self._client("logs", stream.region), cursor) if stream else ([], cursor)

    def find(self, job: Job) -> JobHandle | None:
        running = [task for task in self._tasks_of(job, "RUNNING") if task.get("desiredStatus") == "RUNNING"]
        for task in sorted(running, key=_created, reverse=True):
            override = override_of(task, self._definition.container)
            uris = {entry["name"]: entry["value"] for entry in override.get("environment", ())}
            if override.get("command") and _RESULT_VARIABLE in uris:
                submitted = read_worker_arguments(override["command"])
                return self._handle(task, submitted, uris[_RESULT_VARIABLE], job_key(job), taken_over=True)
        return None

    def software_fingerprint(self, module: str = "") -> str:
        """The image's name: in it is all the software. A tag that is moved to another image is not noticed."""
        return f"image {self.image}"

    @property
    def image(self) -> str:
        return self._definition.image

    def described_for_jobs(self) -> dict[str, Any]:
        """With the task definition that is registered, and the region: a task role need not be able to register."""
        described = self.to_dict()
        found = {"task_definition": self._definition.arn, "region_name": self._ecs.meta.region_name}
        return {**described, "arguments": {**described["arguments"], **found}}

    def poll_key(self) -> str:
        return f"ecs:{self.region_name or ''}:{self.cluster}"

    def job_url(self, handle: JobHandle) -> str:
        region, task_id = str(handle.data["region"]), _arn(handle).rpartition("/")[2]
        cluster = self.cluster.rpartition("/")[2]
        return f"{console_of(region)}/ecs/v2/clusters/{cluster}/tasks/{task_id}/configuration?region={region}"

    def log_url(self, handle: JobHandle) -> str:
        stream = stream_of(handle)
        return stream.url if stream else ""

    # --- what is asked for ---

    @property
    def on_fargate(self) -> bool:
        """Whether only Fargate's sizes will do."""
        if not self.capacity_provider_strategy:
            return self.launch_type in (None, "FARGATE")
        return all(one.get("capacityProvider") in (_SPOT, _ON_DEMAND) for one in self.capacity_provider_strategy)

    def _size(self, job: Job) -> tuple[int | None, int | None]:
        """CPU units and MiB: what was asked for, or more where an earlier attempt ran out of memory."""
        cpu, memory = self.cpu or self._definition.cpu, self.memory or self._definition.memory
        if self.on_fargate and cpu and memory:
            fargate.check_size(cpu, memory)
        bound = self._memory_bound
        if not (memory and bound) or job.identity.try_number == 1:
            return cpu, memory
        container = self._definition.container
        spent = [
            memory_of(task, container)
            for task in self._tasks_of(job, "STOPPED")
            if status_of(task, container).state is JobState.OUT_OF_MEMORY
        ]
        return size_after(spent, cpu, memory, bound, on_fargate=self.on_fargate)

    @cached_property
    def _sizes(self) -> dict[str, tuple[int | None, int | None]]:
        """Of the jobs that were submitted, by their URIs."""
        return {}

    @property
    def _memory_bound(self) -> int | None:
        return bound_of(self.memory or self._definition.memory, self.max_memory)

    def _placement(self, attempt: int, capacity_refusals: int) -> dict[str, Any]:
        strategy = self.capacity_provider_strategy
        if not strategy:
            return {"launchType": self.launch_type or _ON_DEMAND}
        on_spot = any(one["capacityProvider"] == _SPOT for one in strategy)
        late = self.on_demand_from_attempt
        if on_spot and late is not None and (capacity_refusals or attempt >= late):
            strategy = [{"capacityProvider": _ON_DEMAND, "weight": 1}]
        return {"capacityProviderStrategy": strategy}

    def _network(self) -> dict[str, Any]:
        if not self.subnets:
            return {}
        check_rendered(self, LISTS)
        network = {
            "subnets": self.subnets,
            "securityGroups": self.security_groups,
            "assignPublicIp": "ENABLED" if self.assign_public_ip else "DISABLED",
        }
        return {"networkConfiguration": {"awsvpcConfiguration": network}}

    # --- what is found ---

    @cached_property
    def _definition(self) -> TaskDefinition:
        with explained(self.cluster):
            if isinstance(self.task_definition, str):
                found = find_task_definition(self._ecs, self.task_definition, self.container_name)
            else:
                kind = "FARGATE" if self.on_fargate else self.launch_type or "EC2"
                found = register_task_definition(
                    self._ecs,
                    self.task_definition,
                    self.container_name,
                    launch_type=kind,
                    awsvpc=self.on_fargate or bool(self.subnets),
                )
        given = {
            "log_group": self.awslogs_group,
            "log_region": self.awslogs_region,
            "log_prefix": self.awslogs_stream_prefix,
        }
        return found.model_copy(update={name: value for name, value in given.items() if value})

    @property
    def _ecs(self) -> Any:
        return self._client("ecs", self.region_name)

    def _client(self, service: str, region_name: str | None) -> Any:
        if self._aws is None:
            raise BrokenEnvironmentError("EcsRuntime has no connection to AWS: bind(...) gives it one.")
        return self._aws.client(service, region_name)

    def _tasks_of(self, job: Job, status: str) -> list[dict[str, Any]]:
        """Tasks of the same work of the same Airflow task: those that run, or those that ECS still remembers."""
        client = self._ecs
        with explained(self.cluster):
            arns = client.list_tasks(cluster=self.cluster, startedBy=_started_by(job), desiredStatus=status)["taskArns"]
            if not arns:
                return []
            found: list[dict[str, Any]] = client.describe_tasks(cluster=self.cluster, tasks=arns)["tasks"]
            return found

    def _handle(
        self, task: dict[str, Any], submitted: tuple[str, str], result_uri: str, key: str, *, taken_over: bool
    ) -> JobHandle:
        """:param submitted: URI and digest of the job."""
        arn, region = task["taskArn"], self._ecs.meta.region_name
        stream = self._definition.log_stream(arn.rpartition("/")[2], region)
        return JobHandle(
            key=key,
            job_uri=submitted[0],
            result_uri=result_uri,
            job_sha256=submitted[1],
            submitted_at=_created(task),
            taken_over=taken_over,
            data={
                "task_arn": arn,
                "region": region,
                "container": self._definition.container,
                "memory_bound": self._memory_bound,
                "on_fargate": self.on_fargate,
                "log": stream.model_dump() if stream else None,
            },
        )


def _status(handle: JobHandle, task: dict[str, Any] | None) -> JobStatus:
    """All that it needs is in the handle: the runtime that polls may be another one, of the same cluster."""
    if task is None:
        if _is_young(handle):
            return JobStatus(state=JobState.UNKNOWN, message="ECS does not know the task yet.")
        message = f"ECS knows no task {_arn(handle)} any more (it forgets stopped tasks after about an hour)."
        return JobStatus(state=JobState.LOST, message=message)
    if task["lastStatus"] in _WAITING:
        return JobStatus(state=JobState.PENDING, message=f"The ECS task is {task['lastStatus']}.")
    if task["lastStatus"] != "STOPPED":
        return JobStatus(state=JobState.RUNNING)
    status = status_of(task, str(handle.data["container"]))
    return with_prospect(status, task, handle.data) if status.state is JobState.OUT_OF_MEMORY else status


def _is_young(handle: JobHandle) -> bool:
    """Whether ECS may not know the task yet: what RunTask has made is seen by other calls only after a while."""
    return time.time() - handle.submitted_at < _MISSING_AT_FIRST


def _created(task: dict[str, Any]) -> float:
    """Seconds since the epoch. A task that waits for its host has none yet."""
    created = task.get("createdAt")
    return float(created.timestamp()) if created else time.time()


def _started_by(job: Job) -> str:
    """The same for all attempts of one Airflow task at one piece of work."""
    return f"airflow-sklearn/{job_key(job)}"


def _arn(handle: JobHandle) -> str:
    return str(handle.data["task_arn"])
