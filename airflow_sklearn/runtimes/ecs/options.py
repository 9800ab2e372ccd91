"""The options of an ``EcsRuntime``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runtimes.aws.options import AwsOptions, taken_problems
from airflow_sklearn.runtimes.ecs import fargate

if TYPE_CHECKING:
    from collections.abc import Iterator

FARGATE_SPOT, FARGATE = "FARGATE_SPOT", "FARGATE"

#: Arguments of RunTask that the runtime sets, and the options for them.
_TAKEN = {
    "capacityProviderStrategy": "capacity_provider_strategy=",
    "clientToken": "",
    "cluster": "cluster=",
    "count": "",
    "launchType": "launch_type=",
    "networkConfiguration": "subnets=, security_groups=, assign_public_ip=",
    "overrides": "cpu=, memory=, ephemeral_storage=, env=",
    "platformVersion": "platform_version=",
    "startedBy": "",
    "tags": "tags=",
    "taskDefinition": "task_definition=",
}


@dataclass(repr=False)
class EcsOptions(AwsOptions):
    """How a job's ECS task is started.

    :param cluster: the cluster's short name or ARN. (templated)
    :param task_definition: family, family:revision or ARN of a registered task definition; or the arguments of
        RegisterTaskDefinition as a dict, which is registered under its family and a digest of its content. (templated)
    :param container_name: the container that runs the worker; None: the only one.
    :param launch_type: ``FARGATE``, ``EC2`` or ``EXTERNAL``; None: ``FARGATE``, unless capacity providers are given.
    :param capacity_provider_strategy: as in RunTask, for example
        ``[{"capacityProvider": "FARGATE_SPOT", "weight": 1}]``.
    :param on_demand_from_attempt: from this attempt of its Airflow task on, and whenever Spot has no capacity, a job
        for FARGATE_SPOT runs on FARGATE. Airflow continues to count attempts when a task is cleared. None: never.
    :param platform_version: the platform version of Fargate; None: ECS's default.
    :param subnets: ids of the subnets of the tasks' network interfaces. The network mode ``awsvpc``, and so Fargate,
        needs them. (templated)
    :param security_groups: ids of the security groups of the tasks' network interfaces. (templated)
    :param assign_public_ip: whether tasks get a public address. They need one in a subnet without NAT or endpoints.
    :param cpu: CPU units (1024 are one vCPU); None: the task definition's. The worker runs one process for each vCPU,
        as far as memory allows.
    :param memory: MiB; None: the task definition's.
    :param max_memory: the most MiB that a job may get after it ran out of memory; None: four times the memory.
    :param ephemeral_storage: GiB, 21 to 200, on Fargate; None: the task definition's.
    :param env: further environment variables for the worker. They must hold no secrets: ECS shows them. (templated)
    :param tags: further tags for the tasks, beside those that lead back to DAG, task, run and chunk. (templated)
    :param region_name: the region; None: the connection's.
    :param awslogs_group: the log group; None: the task definition's.
    :param awslogs_region: the log group's region; None: the task definition's, else the cluster's.
    :param awslogs_stream_prefix: the prefix of log streams, as in the task definition's log options.
    :param capacity_timeout: seconds that a task waits while ECS has no capacity, or throttles.
    :param run_task_kwargs: arguments of RunTask for which there is no parameter, such as ``placementConstraints`` or
        ``volumeConfigurations``.
    """

    whole_numbers: ClassVar[tuple[str, ...]] = (
        "cpu",
        "memory",
        "max_memory",
        "ephemeral_storage",
        "on_demand_from_attempt",
    )
    numbers: ClassVar[tuple[str, ...]] = ("capacity_timeout",)
    lists: ClassVar[tuple[str, ...]] = ("subnets", "security_groups")
    shown: ClassVar[tuple[str, ...]] = ("cluster", "task_definition")
    template_fields: ClassVar[tuple[str, ...]] = (
        "cluster",
        "task_definition",
        "subnets",
        "security_groups",
        "env",
        "tags",
    )
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

    def problems(self) -> Iterator[str]:
        """See ``AwsOptions.problems``."""
        if self.launch_type not in (None, "FARGATE", "EC2", "EXTERNAL"):
            yield f"launch_type={self.launch_type!r}: it is FARGATE, EC2 or EXTERNAL"
        if self.launch_type and self.capacity_provider_strategy:
            yield "launch_type and capacity_provider_strategy exclude each other: give one of them"
        for one in self.capacity_provider_strategy:
            if "capacityProvider" not in one:
                yield f"capacity_provider_strategy: {one!r} has no capacityProvider"
        if self.cpu and self.memory and self.on_fargate:
            try:
                fargate.check_size(self.cpu, self.memory)
            except UserError as error:
                yield str(error)
        if self.memory and self.max_memory and self.max_memory < self.memory:
            yield f"max_memory={self.max_memory} is less than memory={self.memory} (MiB)"
        if self.ephemeral_storage is not None and not 21 <= self.ephemeral_storage <= 200:
            yield f"ephemeral_storage={self.ephemeral_storage}: Fargate takes 21 to 200 GiB"
        yield from taken_problems("run_task_kwargs", self.run_task_kwargs, _TAKEN, "job")

    def shown_value(self, name: str) -> Any:
        """See ``AwsOptions.shown_value``."""
        value = getattr(self, name)
        return (
            value.get("family", "a specification") if name == "task_definition" and isinstance(value, dict) else value
        )

    @property
    def on_fargate(self) -> bool:
        """Whether tasks can only have Fargate's sizes."""
        if not self.capacity_provider_strategy:
            return self.launch_type in (None, FARGATE)
        return all(one.get("capacityProvider") in (FARGATE_SPOT, FARGATE) for one in self.capacity_provider_strategy)

    def placement(self, attempt: int, capacity_refusals: int) -> dict[str, Any]:
        """The arguments of RunTask that say where the task runs.

        :param attempt: the attempt's number in the job's Airflow task.
        :param capacity_refusals: how often the job has found no capacity so far.
        """
        strategy = self.capacity_provider_strategy
        if not strategy:
            return {"launchType": self.launch_type or FARGATE}
        on_spot = any(one["capacityProvider"] == FARGATE_SPOT for one in strategy)
        late = self.on_demand_from_attempt
        if on_spot and late is not None and (capacity_refusals or attempt >= late):
            strategy = [{"capacityProvider": FARGATE, "weight": 1}]
        return {"capacityProviderStrategy": strategy}

    def network(self) -> dict[str, Any]:
        """The argument of RunTask about the task's network.

        :raises UserError: a template that must give a list gave a text.
        """
        if not self.subnets:
            return {}
        self.check_rendered()
        network = {
            "subnets": self.subnets,
            "securityGroups": self.security_groups,
            "assignPublicIp": "ENABLED" if self.assign_public_ip else "DISABLED",
        }
        return {"networkConfiguration": {"awsvpcConfiguration": network}}
