"""The overrides of a job's task: its arguments, environment variables and size."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.runtimes.ecs.task_definition import TaskDefinition

_CHARACTERS = 8192  # the limit of overrides: RunTask in the Amazon ECS API Reference


def overrides_of(
    definition: TaskDefinition,
    arguments: Sequence[str],
    env: Mapping[str, Any],
    size: tuple[int | None, int | None],
    *,
    ephemeral_storage: int | None,
    on_fargate: bool,
) -> dict[str, Any]:
    """The argument ``overrides`` of RunTask.

    :param definition: the task definition.
    :param arguments: the worker's command line arguments.
    :param env: the worker's environment variables.
    :param size: CPU units and MiB; None: the task definition's.
    :param ephemeral_storage: GiB; None: the task definition's.
    :param on_fargate: whether the size must be one of Fargate's.
    :raises UserError: the overrides are longer than ECS's limit of 8,192 characters.
    """
    container: dict[str, Any] = {
        "name": definition.container,
        "command": list(arguments),
        "environment": [{"name": name, "value": str(value)} for name, value in env.items()],
    }
    overrides: dict[str, Any] = {"containerOverrides": [container]}
    if size != (definition.cpu, definition.memory):
        _resize(overrides, container, definition, *size, on_fargate=on_fargate)
    if ephemeral_storage:
        overrides["ephemeralStorage"] = {"sizeInGiB": ephemeral_storage}
    length = len(json.dumps(overrides))
    if length > _CHARACTERS:
        largest = max(env, key=lambda name: len(str(env[name])))
        raise UserError(
            f"The overrides of the ECS task have {length:,} characters, ECS takes {_CHARACTERS:,}. The "
            f"largest variable of EcsRuntime(env=...) is {largest} with {len(str(env[largest])):,}: put such "
            "values into the task definition, or into S3."
        )
    return overrides


def _resize(
    task: dict[str, Any],
    container: dict[str, Any],
    definition: TaskDefinition,
    cpu: int | None,
    memory: int | None,
    *,
    on_fargate: bool,
) -> None:
    """Set a size where the definition sets it too: a container may not have more than its task."""
    if cpu:
        if on_fargate or definition.sizes_task_cpu:
            task["cpu"] = str(cpu)
        else:
            container["cpu"] = cpu
    if not memory:
        return
    if not (on_fargate or definition.sizes_task):
        container["memory"] = memory
        return
    task["memory"] = str(memory)
    if definition.container_memory and definition.memory:
        container["memory"] = memory * definition.container_memory // definition.memory  # others keep their share
