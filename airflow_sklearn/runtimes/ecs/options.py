"""What is wrong with the options of an ``EcsRuntime``, whatever its templates will say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runtimes.aws.options import list_problems, taken_problems
from airflow_sklearn.runtimes.ecs import fargate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_sklearn.runtimes.ecs.runtime import EcsRuntime

WHOLE_NUMBERS = ("cpu", "memory", "max_memory", "ephemeral_storage", "on_demand_from_attempt")
NUMBERS = ("capacity_timeout",)
LISTS = ("subnets", "security_groups")
#: What RunTask is asked beside ``run_task_kwargs``, and where a user says it.
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


def problems(runtime: EcsRuntime) -> Iterator[str]:
    """One sentence each."""
    if runtime.launch_type not in (None, "FARGATE", "EC2", "EXTERNAL"):
        yield f"launch_type={runtime.launch_type!r}: it is FARGATE, EC2 or EXTERNAL"
    if runtime.launch_type and runtime.capacity_provider_strategy:
        yield "launch_type and capacity_provider_strategy exclude each other: give one of them"
    for one in runtime.capacity_provider_strategy:
        if "capacityProvider" not in one:
            yield f"capacity_provider_strategy: {one!r} has no capacityProvider"
    if runtime.cpu and runtime.memory and runtime.on_fargate:
        try:
            fargate.check_size(runtime.cpu, runtime.memory)
        except UserError as error:
            yield str(error)
    if runtime.memory and runtime.max_memory and runtime.max_memory < runtime.memory:
        yield f"max_memory={runtime.max_memory} is less than memory={runtime.memory} (MiB)"
    if runtime.ephemeral_storage is not None and not 21 <= runtime.ephemeral_storage <= 200:
        yield f"ephemeral_storage={runtime.ephemeral_storage}: Fargate takes 21 to 200 GiB"
    yield from list_problems(runtime, LISTS)
    yield from taken_problems("run_task_kwargs", runtime.run_task_kwargs, _TAKEN, "job")
