"""``EcsRuntime``: each job as one ECS task, on Fargate, on instances of yours, or by a capacity provider."""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_sklearn.contract.document import content_id
from airflow_sklearn.exceptions import BrokenEnvironmentError, UserError
from airflow_sklearn.runtimes.base import JobHandle, JobState, JobStatus, Runtime, job_key
from airflow_sklearn.runtimes.cloudwatch import LogStream
from airflow_sklearn.runtimes.ecs import fargate
from airflow_sklearn.runtimes.ecs.refusals import explained, raise_refusal
from airflow_sklearn.runtimes.ecs.stopped import OUR_REASON, status_of
from airflow_sklearn.runtimes.ecs.task_definition import find_task_definition, register_task_definition

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import JsonValue

    from airflow_sklearn.contract.jobs import Job
    from airflow_sklearn.runtimes.ecs.task_definition import TaskDefinition

# Limits of the Amazon ECS API, from its reference: RunTask, DescribeTasks, Tag.
_TASKS_A_CALL = 100
_OVERRIDE_CHARACTERS = 8192
_TAG_CHARACTERS = 256
_TAGS = 50

_MISSING_AT_FIRST = 60.0  # seconds after RunTask for which a task may be unknown to DescribeTasks
_GROWTH = 2  # memory after an out-of-memory kill: few retries are better than many small steps
_DEFAULT_BOUND = 4  # times the first memory

_PROCESSES_VARIABLE = "AIRFLOW_SKLEARN_PROCESSES"
_RESULT_VARIABLE = "AIRFLOW_SKLEARN_RESULT_URI"
"""For the attempt that takes a task over: it learns from the task's overrides where the result will be."""

_SPOT, _ON_DEMAND = "FARGATE_SPOT", "FARGATE"
_WAITING = ("PROVISIONING", "PENDING", "ACTIVATING")


@dataclass(repr=False)
class EcsRuntime(Runtime):
    """Runs each job as one ECS task: the worker image with one argument, the job's URI.

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
        FARGATE_SPOT runs on FARGATE. None: never.
    :param platform_version: of Fargate.
    :param subnets: of the tasks' network interfaces; needed by the network mode ``awsvpc``, and so by Fargate.
        (templated)
    :param security_groups: of the tasks' network interfaces. (templated)
    :param assign_public_ip: whether tasks get a public address: in a subnet without NAT or endpoints they need one.
    :param cpu: CPU units (1024 are one vCPU); default: the task definition's. The worker runs one process a vCPU.
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
    :param run_task_kwargs: whatever else RunTask takes, such as ``placementConstraints`` or ``volumeConfigurations``.
    """

    template_fields: ClassVar[tuple[str, ...]] = (
        "cluster",
        "task_definition",
        "subnets",
        "security_groups",
        "env",
        "tags",
    )
    startup_allowance: ClassVar[float] = 900.0
    default_poll_interval: ClassVar[float] = 10.0
    first_poll_pause: ClassVar[float] = 1.0
    log_delay: ClassVar[float] = 5.0

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
        if problems := list(self._problems()):
            raise UserError("EcsRuntime cannot run like this:\n" + "\n".join(f"  - {one}" for one in problems))

    def __repr__(self) -> str:
        """Names the variables of ``env``, never their values: Airflow stores and shows this text."""
        definition = self.task_definition
        name = definition if isinstance(definition, str) else definition.get("family", "a specification")
        said = {"cluster": self.cluster, "task_definition": name, "env": sorted(self.env)}
        return f"EcsRuntime({', '.join(f'{name}={value!r}' for name, value in said.items() if value)})"

    def submit(self, job_uri: str, job: Job, *, detached: bool, refused: int = 0) -> JobHandle:
        """:raises NoCapacityError: ECS has no room now, or throttles.
        :raises UserError: ECS will never run it like this.
        """
        definition, client = self._definition, self._ecs
        cpu, memory = self._size(job)
        request = {
            "cluster": self.cluster,
            "taskDefinition": definition.arn,
            "count": 1,
            "startedBy": _started_by(job),
            "clientToken": content_id([job_uri, refused], length=64),
            "overrides": self._overrides(job_uri, job, cpu, memory),
            "tags": [{"key": key, "value": value} for key, value in self._tags(job).items()],
            **self._placement(job.identity.try_number, refused),
            **self._network(),
            **({"platformVersion": self.platform_version} if self.platform_version else {}),
            **self.run_task_kwargs,
        }
        with explained(self.cluster):
            answer = client.run_task(**request)
        if not answer["tasks"]:
            raise_refusal(self.cluster, answer.get("failures", []))
        return self._handle(answer["tasks"][0], job_uri, job.result_uri, job_key(job), taken_over=False)

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
            statuses |= {arn: self._status(by_handle[arn], by_arn.get(arn)) for arn in batch}
        if error is not None and all(status.state is JobState.UNKNOWN for status in statuses.values()):
            raise error
        return [statuses[_arn(handle)] for handle in handles]

    def cancel(self, handle: JobHandle) -> None:
        client = self._ecs
        try:
            client.stop_task(
                cluster=self.cluster, task=_arn(handle), reason=f"{OUR_REASON}stopped with its Airflow task"
            )
        except client.exceptions.InvalidParameterException as error:
            if "not found" not in str(error):  # stopped so long ago that ECS has forgotten it
                raise

    def logs(self, handle: JobHandle, cursor: JsonValue = None) -> tuple[list[str], JsonValue]:
        stream = _log_stream(handle)
        return stream.read(self._client("logs", stream.region), cursor) if stream else ([], cursor)

    def find(self, job: Job) -> JobHandle | None:
        running = [task for task in self._tasks_of(job, "RUNNING") if task.get("desiredStatus") == "RUNNING"]
        for task in sorted(running, key=lambda task: task["createdAt"], reverse=True):
            override = _override_of(task, self._definition.container)
            uris = {entry["name"]: entry["value"] for entry in override.get("environment", ())}
            if override.get("command") and _RESULT_VARIABLE in uris:
                return self._handle(
                    task, override["command"][-1], uris[_RESULT_VARIABLE], job_key(job), taken_over=True
                )
        return None

    def environment(self, module: str = "") -> str:
        """The image's name: in it is all the software. A tag that is moved to another image is not noticed."""
        return f"image {self.image}"

    @property
    def image(self) -> str:
        return self._definition.image

    def poll_key(self) -> str:
        return f"ecs:{self.region_name or ''}:{self.cluster}"

    def job_url(self, handle: JobHandle) -> str:
        region, task_id = str(handle.data["region"]), _arn(handle).rpartition("/")[2]
        cluster = self.cluster.rpartition("/")[2]
        host = f"https://{region}.console.aws.amazon.com"
        return f"{host}/ecs/v2/clusters/{cluster}/tasks/{task_id}/configuration?region={region}"

    def log_url(self, handle: JobHandle) -> str:
        stream = _log_stream(handle)
        return stream.url if stream else ""

    # --- what is asked for ---

    @property
    def _on_fargate(self) -> bool:
        if not self.capacity_provider_strategy:
            return self.launch_type in (None, "FARGATE")
        return all(one.get("capacityProvider") in (_SPOT, _ON_DEMAND) for one in self.capacity_provider_strategy)

    def _problems(self) -> Iterator[str]:
        """What is wrong whatever the templates will say."""
        if self.launch_type not in (None, "FARGATE", "EC2", "EXTERNAL"):
            yield f"launch_type={self.launch_type!r}: it is FARGATE, EC2 or EXTERNAL"
        if self.launch_type and self.capacity_provider_strategy:
            yield "launch_type and capacity_provider_strategy exclude each other: give one of them"
        for one in self.capacity_provider_strategy:
            if "capacityProvider" not in one:
                yield f"capacity_provider_strategy: {one!r} has no capacityProvider"
        if self.cpu and self.memory and self._on_fargate:
            try:
                fargate.check_size(self.cpu, self.memory)
            except UserError as error:
                yield str(error)
        if self.memory and self.max_memory and self.max_memory < self.memory:
            yield f"max_memory={self.max_memory} is less than memory={self.memory} (MiB)"
        if self.ephemeral_storage is not None and not 21 <= self.ephemeral_storage <= 200:
            yield f"ephemeral_storage={self.ephemeral_storage}: Fargate takes 21 to 200 GiB"
        for name, value in (("subnets", self.subnets), ("security_groups", self.security_groups)):
            if isinstance(value, str) and "{{" not in value:
                yield f"{name}={value!r}: it is a list"

    def _size(self, job: Job) -> tuple[int | None, int | None]:
        """CPU units and MiB: what was asked for, or more where an earlier attempt ran out of memory."""
        cpu, memory = self.cpu or self._definition.cpu, self.memory or self._definition.memory
        if self._on_fargate and cpu and memory:
            fargate.check_size(cpu, memory)
        bound = self._memory_bound
        if not (memory and bound) or job.identity.try_number == 1:
            return cpu, memory
        stopped = self._tasks_of(job, "STOPPED")
        statuses = [(task, status_of(task, self._definition.container)) for task in stopped]
        spent = [
            _memory_of(task, self._definition.container)
            for task, status in statuses
            if status.state is JobState.OUT_OF_MEMORY
        ]
        if not spent or max(spent) < memory:
            return cpu, memory
        return self._grown(cpu, max(spent), bound) or (cpu, max(spent))

    def _grown(self, cpu: int | None, spent: int, bound: int) -> tuple[int | None, int] | None:
        """The size after one that was not enough; None at the bound."""
        if self._on_fargate:
            return fargate.grow(cpu or 0, spent, factor=_GROWTH, bound=bound)
        return (cpu, min(spent * _GROWTH, bound)) if spent < bound else None

    @property
    def _memory_bound(self) -> int | None:
        memory = self.memory or self._definition.memory
        return self.max_memory or (memory * _DEFAULT_BOUND if memory else None)

    def _overrides(self, job_uri: str, job: Job, cpu: int | None, memory: int | None) -> dict[str, Any]:
        definition = self._definition
        env = {**({_PROCESSES_VARIABLE: str(math.ceil(cpu / 1024))} if cpu else {}), **self.env}
        env[_RESULT_VARIABLE] = job.result_uri
        container: dict[str, Any] = {
            "name": definition.container,
            "command": [job_uri],
            "environment": [{"name": name, "value": str(value)} for name, value in env.items()],
        }
        overrides: dict[str, Any] = {"containerOverrides": [container]}
        changed = memory != definition.memory or cpu != definition.cpu
        if self._on_fargate and changed:
            overrides |= {"cpu": str(cpu), "memory": str(memory)}
        if memory and changed and (definition.container_memory or not self._on_fargate):
            container["memory"] = memory
        if cpu and changed and not self._on_fargate:
            container["cpu"] = cpu
        if self.ephemeral_storage:
            overrides["ephemeralStorage"] = {"sizeInGiB": self.ephemeral_storage}
        size = len(json.dumps(overrides))
        if size > _OVERRIDE_CHARACTERS:
            largest = max(env, key=lambda name: len(str(env[name])))
            raise UserError(
                f"The overrides of the ECS task have {size:,} characters, ECS takes {_OVERRIDE_CHARACTERS:,}. The "
                f"largest variable of EcsRuntime(env=...) is {largest} with {len(str(env[largest])):,}: put such "
                "values into the task definition, or into S3."
            )
        return overrides

    def _placement(self, attempt: int, refused: int) -> dict[str, Any]:
        strategy = self.capacity_provider_strategy
        if not strategy:
            return {"launchType": self.launch_type or _ON_DEMAND}
        on_spot = any(one["capacityProvider"] == _SPOT for one in strategy)
        if on_spot and self.on_demand_from_attempt is not None and (refused or attempt >= self.on_demand_from_attempt):
            strategy = [{"capacityProvider": _ON_DEMAND, "weight": 1}]
        return {"capacityProviderStrategy": strategy}

    def _network(self) -> dict[str, Any]:
        if not self.subnets:
            return {}
        network = {
            "subnets": self.subnets,
            "securityGroups": self.security_groups,
            "assignPublicIp": "ENABLED" if self.assign_public_ip else "DISABLED",
        }
        return {"networkConfiguration": {"awsvpcConfiguration": network}}

    def _tags(self, job: Job) -> dict[str, str]:
        who, chunk = job.identity, getattr(job, "chunk", None)
        ours = {
            "airflow_dag_id": who.dag_id,
            "airflow_task_id": who.task_id,
            "airflow_run_id": who.run_id,
            "airflow_map_index": str(who.map_index),
            "airflow_try_number": str(who.try_number),
            "airflow_sklearn_chunk": f"{chunk.label} {chunk.id}" if chunk else "",
        }
        tags = {key: _tag_text(value) for key, value in {**ours, **self.tags}.items() if value}
        if len(tags) > _TAGS:
            raise UserError(
                f"The ECS task would have {len(tags)} tags, ECS takes {_TAGS}: give EcsRuntime(tags=) fewer."
            )
        return tags

    # --- what is found ---

    @cached_property
    def _definition(self) -> TaskDefinition:
        with explained(self.cluster):
            if isinstance(self.task_definition, str):
                found = find_task_definition(self._ecs, self.task_definition, self.container_name)
            else:
                found = register_task_definition(self._ecs, self.task_definition, self.container_name)
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

    def _handle(self, task: dict[str, Any], job_uri: str, result_uri: str, key: str, *, taken_over: bool) -> JobHandle:
        arn, region = task["taskArn"], self._ecs.meta.region_name
        stream = self._definition.log_stream(arn.rpartition("/")[2], region)
        created = task.get("createdAt")
        return JobHandle(
            key=key,
            job_uri=job_uri,
            result_uri=result_uri,
            submitted_at=created.timestamp() if created else time.time(),
            taken_over=taken_over,
            data={
                "task_arn": arn,
                "region": region,
                "container": self._definition.container,
                "memory_bound": self._memory_bound,
                "log": stream.model_dump() if stream else None,
            },
        )

    def _status(self, handle: JobHandle, task: dict[str, Any] | None) -> JobStatus:
        if task is None:
            if time.time() - handle.submitted_at < _MISSING_AT_FIRST:
                return JobStatus(state=JobState.PENDING, message="ECS does not know the task yet.")
            message = f"ECS knows no task {_arn(handle)} any more (it forgets stopped tasks after about an hour)."
            return JobStatus(state=JobState.LOST, message=message)
        if task["lastStatus"] in _WAITING:
            return JobStatus(state=JobState.PENDING, message=f"The ECS task is {task['lastStatus']}.")
        if task["lastStatus"] != "STOPPED":
            return JobStatus(state=JobState.RUNNING)
        status = status_of(task, str(handle.data["container"]))
        return self._with_prospect(status, handle, task) if status.state is JobState.OUT_OF_MEMORY else status

    def _with_prospect(self, status: JobStatus, handle: JobHandle, task: dict[str, Any]) -> JobStatus:
        """Out of memory: what the next attempt gets, or that there is no more."""
        spent, bound = _memory_of(task, str(handle.data["container"])), handle.data.get("memory_bound")
        if not spent or not isinstance(bound, int):
            hint = "Give it more: EcsRuntime(memory=...)."
            return status.model_copy(update={"message": f"{status.message} {hint}"})
        grown = self._grown(int(task.get("cpu") or 0), spent, bound)
        if grown is None:
            hint = f"That is all that max_memory={bound} allows: raise it, or cut smaller chunks."
            # Without the exit code, which alone would say that a retry may help.
            return JobStatus(state=JobState.FAILED, message=f"{status.message} {hint}")
        hint = f"The next attempt gets {grown[1]:,} MiB; EcsRuntime(memory={grown[1]}) saves the first one."
        return status.model_copy(update={"message": f"{status.message} {hint}"})


def _started_by(job: Job) -> str:
    """The same for all attempts of one Airflow task at one piece of work."""
    return f"airflow-sklearn/{job_key(job)}"


def _arn(handle: JobHandle) -> str:
    return str(handle.data["task_arn"])


def _log_stream(handle: JobHandle) -> LogStream | None:
    data = handle.data.get("log")
    return LogStream.model_validate(data) if data else None


def _override_of(task: dict[str, Any], container: str) -> dict[str, Any]:
    overrides = task.get("overrides", {}).get("containerOverrides", ())
    return next((one for one in overrides if one.get("name") == container), {})


def _memory_of(task: dict[str, Any], container: str) -> int:
    """MiB that a task had; 0 if nothing says it."""
    inside: dict[str, Any] = next((one for one in task.get("containers", ()) if one.get("name") == container), {})
    said = task.get("memory") or _override_of(task, container).get("memory") or inside.get("memory")
    return int(said or 0)


def _tag_text(value: str) -> str:
    """With the characters that tags may have."""
    return re.sub(r"[^\w .:/=+@-]", "_", str(value))[:_TAG_CHARACTERS]
