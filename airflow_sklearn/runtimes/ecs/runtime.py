"""``EcsRuntime``: each job as one ECS task, on Fargate, on your own instances, or by a capacity provider."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_sklearn.aws.retry import retry_ending
from airflow_sklearn.contract.document import content_id
from airflow_sklearn.runtimes.aws.runtime import AwsRuntime
from airflow_sklearn.runtimes.aws.tags import tags_of
from airflow_sklearn.runtimes.base import (
    JobHandle,
    JobState,
    JobStatus,
    LeftoverOption,
    job_key,
    read_worker_arguments,
    worker_arguments,
)
from airflow_sklearn.runtimes.ecs import fargate
from airflow_sklearn.runtimes.ecs.errors import OWN, explained, raise_failures
from airflow_sklearn.runtimes.ecs.job_data import EcsJobData
from airflow_sklearn.runtimes.ecs.memory import bound_of, memory_of, override_of, size_after, with_prospect
from airflow_sklearn.runtimes.ecs.options import EcsOptions
from airflow_sklearn.runtimes.ecs.overrides import overrides_of
from airflow_sklearn.runtimes.ecs.status import OUR_REASON, STARTED_BY, TASKS_A_CALL, status_of
from airflow_sklearn.runtimes.ecs.task_definition import find_task_definition, register_task_definition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_sklearn.aws.iam.rights import RuntimeRights
    from airflow_sklearn.contract.jobs import Job
    from airflow_sklearn.runtimes.base import AwsAccess
    from airflow_sklearn.runtimes.ecs.memory import Size
    from airflow_sklearn.runtimes.ecs.task_definition import TaskDefinition
    from airflow_sklearn.runtimes.hosts import Host

_MISSING_AT_FIRST = 300.0  # seconds after RunTask for which other calls may not know a task yet (RunTask's reference)

_RESULT_VARIABLE = "AIRFLOW_SKLEARN_RESULT_URI"
"""For the attempt that takes a task over: it learns from the task's overrides where the result will be."""

_WAITING = ("PROVISIONING", "PENDING", "ACTIVATING")


@dataclass(repr=False)
class EcsRuntime(EcsOptions, AwsRuntime):
    """Runs each job as one ECS task: the worker image with the job's URI and digest as arguments.

    The container has no keys: it reads and writes S3 with its task role. AWS is reached through the operator's
    ``aws_conn_id``. A retry looks for the task of the earlier attempt, and takes it over. A job that ran out of memory
    gets twice the memory in its next attempt.

    The arguments are those of ``EcsOptions``.
    """

    service: ClassVar[str] = "ecs"
    startup_allowance = 900.0
    leftovers: ClassVar[LeftoverOption | None] = LeftoverOption("--cluster", "NAME", "tasks of EcsRuntime; repeatable")

    def submit(self, job_uri: str, job: Job, *, survives_parent: bool, capacity_refusals: int = 0) -> JobHandle:
        """See ``Runtime.submit``. The same call again makes the same request, to which ECS gives the same task.

        The client token stands for the job and its number of refusals: after a refusal, the next request may be another
        one.

        :raises NoCapacityError: ECS has no capacity now.
        :raises ThrottledError: ECS has not answered the request.
        :raises UserError: ECS will never accept the request.
        """
        definition = self._definition
        if job_uri not in self._sizes:  # looked up once: a task that stops meanwhile must not change the request
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
            **self.placement(job.identity.try_number, capacity_refusals),
            **self.network(),
            **({"platformVersion": self.platform_version} if self.platform_version else {}),
            **self.run_task_kwargs,
        }
        with explained(self.cluster):
            answer = self._api.run_task(**request)
        if not answer["tasks"]:
            raise_failures(self.cluster, answer.get("failures", []))
        submitted = (job_uri, job.digest())
        return self._handle(answer["tasks"][0], submitted, job.result_uri, job_key(job), taken_over=False)

    def poll(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        """See ``Runtime.poll``. One call describes up to 100 tasks."""
        statuses: dict[str, JobStatus] = {}
        error: Exception | None = None
        by_arn = {EcsJobData.of(handle).task_arn: handle for handle in handles}
        arns = list(by_arn)
        for batch in (arns[start : start + TASKS_A_CALL] for start in range(0, len(arns), TASKS_A_CALL)):
            try:
                found = self._api.describe_tasks(cluster=self.cluster, tasks=batch)["tasks"]
            except Exception as problem:  # a throttle must not hide what other calls saw
                error = problem
                statuses |= {arn: JobStatus(state=JobState.UNKNOWN, message=str(problem)) for arn in batch}
                continue
            tasks = {task["taskArn"]: task for task in found}
            statuses |= {arn: _status(by_arn[arn], tasks.get(arn)) for arn in batch}
        if error is not None and all(status.state is JobState.UNKNOWN for status in statuses.values()):
            raise error
        return [statuses[EcsJobData.of(handle).task_arn] for handle in handles]

    def cancel(self, handle: JobHandle) -> None:
        """See ``Runtime.cancel``. The call is repeated for some seconds if ECS throttles, or does not know a new task
        yet.
        """
        task, reason = EcsJobData.of(handle).task_arn, f"{OUR_REASON}stopped with its Airflow task"
        retry_ending(
            lambda: self._api.stop_task(cluster=self.cluster, task=task, reason=reason),
            OWN,
            is_young=_is_young(handle),
        )

    def find(self, job: Job) -> JobHandle | None:
        """See ``Runtime.find``. Tasks are found by their ``startedBy`` and their tags."""
        running = [task for task in self._tasks_of(job, "RUNNING") if task.get("desiredStatus") == "RUNNING"]
        for task in sorted(running, key=_created, reverse=True):
            override = override_of(task, self._definition.container)
            uris = {entry["name"]: entry["value"] for entry in override.get("environment", ())}
            if override.get("command") and _RESULT_VARIABLE in uris:
                submitted = read_worker_arguments(override["command"])
                return self._handle(task, submitted, uris[_RESULT_VARIABLE], job_key(job), taken_over=True)
        return None

    @property
    def image(self) -> str:
        """See ``Runtime.image``: the image in the task definition."""
        return self._definition.image

    def described_for_jobs(self) -> dict[str, Any]:
        """See ``Runtime.described_for_jobs``. The registered task definition is named, because a task role need not be
        able to register one.
        """
        described = super().described_for_jobs()
        return {**described, "arguments": {**described["arguments"], "task_definition": self._definition.arn}}

    def poll_key(self) -> str:
        """See ``Runtime.poll_key``: region and cluster."""
        return f"ecs:{self.region_name or ''}:{self.cluster}"

    def console_path(self, handle: JobHandle) -> str:
        """See ``AwsRuntime.console_path``: the task's page."""
        data, cluster = EcsJobData.of(handle), self.cluster.rpartition("/")[2]
        return f"/ecs/v2/clusters/{cluster}/tasks/{data.task_id}/configuration?region={data.region}"

    @classmethod
    def hosts(cls, aws: AwsAccess, where: str, *, region_name: str | None, tags: Mapping[str, str]) -> Iterator[Host]:
        """See ``Runtime.hosts``: tasks of the cluster ``where``."""
        from airflow_sklearn.runtimes.ecs.hosts import tasks

        return tasks(aws.client("ecs", region_name), where, tags)

    @classmethod
    def rights(cls) -> RuntimeRights | None:
        """See ``Runtime.rights``."""
        from airflow_sklearn.runtimes.ecs.rights import EcsRights

        return EcsRights()

    def _size(self, job: Job) -> Size:
        """CPU units and MiB: as requested, or more if an earlier attempt ran out of memory."""
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
    def _sizes(self) -> dict[str, Size]:
        """The sizes of the jobs that were submitted, by their URIs."""
        return {}

    @property
    def _memory_bound(self) -> int | None:
        return bound_of(self.memory or self._definition.memory, self.max_memory)

    @cached_property
    def _definition(self) -> TaskDefinition:
        with explained(self.cluster):
            if isinstance(self.task_definition, str):
                found = find_task_definition(self._api, self.task_definition, self.container_name)
            else:
                kind = "FARGATE" if self.on_fargate else self.launch_type or "EC2"
                found = register_task_definition(
                    self._api,
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

    def _tasks_of(self, job: Job, status: str) -> list[dict[str, Any]]:
        """Tasks for the same work of the same Airflow task: those that run, or those that ECS still remembers."""
        client = self._api
        with explained(self.cluster):
            arns = client.list_tasks(cluster=self.cluster, startedBy=_started_by(job), desiredStatus=status)["taskArns"]
            if not arns:
                return []
            found: list[dict[str, Any]] = client.describe_tasks(cluster=self.cluster, tasks=arns)["tasks"]
            return found

    def _handle(
        self, task: dict[str, Any], submitted: tuple[str, str], result_uri: str, key: str, *, taken_over: bool
    ) -> JobHandle:
        """The handle of a task.

        :param submitted: the job's URI and digest.
        """
        arn, region = task["taskArn"], self.clients.region
        data = EcsJobData(
            task_arn=arn,
            region=region,
            container=self._definition.container,
            memory_bound=self._memory_bound,
            on_fargate=self.on_fargate,
            log=self._definition.log_stream(arn.rpartition("/")[2], region),
        )
        return JobHandle(
            key=key,
            job_uri=submitted[0],
            result_uri=result_uri,
            job_sha256=submitted[1],
            submitted_at=_created(task),
            taken_over=taken_over,
            data=data.stored(),
        )


def _status(handle: JobHandle, task: dict[str, Any] | None) -> JobStatus:
    """The status of a job.

    :param task: an element of ``DescribeTasks``; None: ECS does not know the task.
    """
    data = EcsJobData.of(handle)
    if task is None:
        if _is_young(handle):
            return JobStatus(state=JobState.UNKNOWN, message="ECS does not know the task yet.")
        message = f"ECS knows no task {data.task_arn} any more (it forgets stopped tasks after about an hour)."
        return JobStatus(state=JobState.LOST, message=message)
    if task["lastStatus"] in _WAITING:
        return JobStatus(state=JobState.PENDING, message=f"The ECS task is {task['lastStatus']}.")
    if task["lastStatus"] != "STOPPED":
        return JobStatus(state=JobState.RUNNING)
    status = status_of(task, data.container)
    return with_prospect(status, task, data) if status.state is JobState.OUT_OF_MEMORY else status


def _is_young(handle: JobHandle) -> bool:
    """Whether ECS may not know the task yet: other calls see the result of RunTask only after a while."""
    return time.time() - handle.submitted_at < _MISSING_AT_FIRST


def _created(task: dict[str, Any]) -> float:
    """When the task was created, in seconds since 1970. A task that waits for its host has no time yet."""
    created = task.get("createdAt")
    return float(created.timestamp()) if created else time.time()


def _started_by(job: Job) -> str:
    """The value of ``startedBy``, the same for all attempts of one Airflow task at the same work."""
    return f"{STARTED_BY}{job_key(job)}"
