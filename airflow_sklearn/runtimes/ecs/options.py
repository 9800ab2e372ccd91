"""What is wrong with the options of an ``EcsRuntime``, whatever its templates will say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runtimes.ecs import fargate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_sklearn.runtimes.ecs.runtime import EcsRuntime

_WHOLE_NUMBERS = ("cpu", "memory", "max_memory", "ephemeral_storage", "on_demand_from_attempt")
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


def read_numbers(runtime: EcsRuntime) -> None:
    """Make numbers of what AWS, and so many people, write as text.

    :raises UserError: something is no number.
    """
    for name in (*_WHOLE_NUMBERS, "capacity_timeout"):
        value = getattr(runtime, name)
        if value is None:
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise UserError(f"EcsRuntime({name}={value!r}): it is a number, and no template.") from None
        if name not in _WHOLE_NUMBERS:
            setattr(runtime, name, number)
        elif number.is_integer():
            setattr(runtime, name, int(number))
        else:
            raise UserError(f"EcsRuntime({name}={value!r}): it is a whole number.")


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
    for name, value in (("subnets", runtime.subnets), ("security_groups", runtime.security_groups)):
        if isinstance(value, str) and "{{" not in value:
            yield f"{name}={value!r}: it is a list"
    for name in sorted(set(runtime.run_task_kwargs) & set(_TAKEN)):
        instead = _TAKEN[name]
        yield f"run_task_kwargs: {name} is set for each job" + (f", from {instead}" if instead else "")


def check_rendered(runtime: EcsRuntime) -> None:
    """:raises UserError: a template that should give a list has given a text."""
    for name, value in (("subnets", runtime.subnets), ("security_groups", runtime.security_groups)):
        if not isinstance(value, list | tuple):
            raise UserError(
                f"EcsRuntime({name}=...) is {value!r} after rendering: it is a list. Write a list of templates, or "
                "give the DAG render_template_as_native_obj=True."
            )
