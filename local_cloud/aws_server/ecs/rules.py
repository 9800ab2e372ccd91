"""What Amazon ECS refuses, as functions of the request alone.

Sources: the Amazon ECS API reference (RunTask, DescribeTasks, ListTasks, RegisterTaskDefinition, Tag) and "Task
definition parameters for Fargate" in the developer guide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

OVERRIDES_CHARACTERS = 8_192
CLIENT_TOKEN_CHARACTERS = 64
DESCRIBED_AT_ONCE = 100
TAGS_OF_A_RESOURCE = 50

GIB = 1_024
FARGATE_MEMORY = {
    256: (512, 1 * GIB, 2 * GIB),
    512: range(1 * GIB, 4 * GIB + 1, GIB),
    1024: range(2 * GIB, 8 * GIB + 1, GIB),
    2048: range(4 * GIB, 16 * GIB + 1, GIB),
    4096: range(8 * GIB, 30 * GIB + 1, GIB),
    8192: range(16 * GIB, 60 * GIB + 1, 4 * GIB),
    16384: range(32 * GIB, 120 * GIB + 1, 8 * GIB),
}
STARTED_BY = re.compile(r"[A-Za-z0-9_/-]{0,128}")
TAG_TEXT = re.compile(r"[\w\s+\-=.:/@]*")


class RefusedError(Exception):
    """ECS answers with an error.

    :param code: the name of the error.
    :param message: what it says.
    :param fields: what the answer holds beside.
    """

    def __init__(self, code: str, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.fields = code, message, fields


def invalid(message: str) -> RefusedError:
    """The error for most of what a request can get wrong."""
    return RefusedError("InvalidParameterException", message)


def check_task_definition(asked: Mapping[str, Any]) -> None:
    """:raises RefusedError: Fargate does not run it."""
    if "FARGATE" not in asked.get("requiresCompatibilities", ()):
        return
    for size in ("cpu", "memory"):
        if not asked.get(size):
            raise RefusedError("ClientException", f"Fargate requires that '{size}' be defined at the task level.")
    if asked.get("networkMode") != "awsvpc":
        raise RefusedError("ClientException", "Fargate only supports network mode awsvpc.")
    if not _is_fargate_size(asked["cpu"], asked["memory"]):
        raise RefusedError("ClientException", "No Fargate configuration exists for given values.")
    drivers = {(one.get("logConfiguration") or {}).get("logDriver") for one in asked.get("containerDefinitions", ())}
    if "awslogs" in drivers and not asked.get("executionRoleArn"):
        raise RefusedError(
            "ClientException",
            "Fargate requires task definition to have execution role ARN to support log driver awslogs.",
        )


def check_run_task(asked: Mapping[str, Any], definition: Mapping[str, Any], launch_type: str) -> None:
    """:param definition: the task definition.
    :param launch_type: FARGATE or EC2, as asked for or as it follows from the capacity providers.
    :raises RefusedError: ECS does not run it.
    """
    overrides = asked.get("overrides") or {}
    if len(json.dumps(overrides, separators=(",", ":"))) > OVERRIDES_CHARACTERS:
        raise invalid(f"Container Overrides length must be at most {OVERRIDES_CHARACTERS}")
    if len(asked.get("clientToken", "")) > CLIENT_TOKEN_CHARACTERS:
        raise invalid(f"clientToken length must be at most {CLIENT_TOKEN_CHARACTERS}")
    if not STARTED_BY.fullmatch(asked.get("startedBy", "")):
        raise invalid("startedBy must be up to 128 letters, numbers, hyphens, forward slashes and underscores.")
    names = {one["name"] for one in definition["containerDefinitions"]}
    for one in overrides.get("containerOverrides", ()):
        if one.get("name") not in names:
            raise invalid(f"Override for container named {one.get('name')} is not a container in the TaskDefinition.")
    if definition.get("networkMode") == "awsvpc" and not _has_subnets(asked):
        raise invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    if launch_type == "FARGATE":
        if "FARGATE" not in (definition.get("requiresCompatibilities") or ()):
            raise invalid("Task definition does not support launch_type FARGATE.")
        cpu, memory = (overrides.get(size) or definition.get(size) for size in ("cpu", "memory"))
        if not _is_fargate_size(cpu, memory):
            raise invalid(
                f"No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. "
                "See the Amazon ECS documentation for the valid values."
            )
    check_tags(asked.get("tags") or ())


def check_tags(tags: Any) -> None:
    """:raises RefusedError: too many, too long, or of characters that AWS does not take."""
    if len(tags) > TAGS_OF_A_RESOURCE:
        raise invalid(f"Tags: at most {TAGS_OF_A_RESOURCE} are allowed.")
    for tag in tags:
        key, value = tag.get("key") or "", tag.get("value") or ""
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise invalid(f"Tag {key!r}: keys have 1 to 128 characters, values at most 256.")
        if not (TAG_TEXT.fullmatch(key) and TAG_TEXT.fullmatch(value)) or key.lower().startswith("aws:"):
            raise invalid(f"Tag {key}={value}: only letters, numbers, spaces and + - = . _ : / @, and no aws: before.")


def check_describe_tasks(asked: Mapping[str, Any]) -> None:
    """:raises RefusedError: none, or more than ECS describes at once."""
    if not asked.get("tasks"):
        raise invalid("Tasks cannot be empty.")
    if len(asked["tasks"]) > DESCRIBED_AT_ONCE:
        raise invalid(f"tasks: at most {DESCRIBED_AT_ONCE} can be described at once.")


def check_list_tasks(asked: Mapping[str, Any]) -> None:
    """:raises RefusedError: filters that exclude each other."""
    if asked.get("startedBy") and any(asked.get(other) for other in ("family", "serviceName", "containerInstance")):
        raise invalid("When you specify startedBy as the filter, it must be the only filter that you use.")


def _is_fargate_size(cpu: Any, memory: Any) -> bool:
    try:
        return int(memory) in FARGATE_MEMORY.get(int(cpu), ())
    except (TypeError, ValueError):
        return False


def _has_subnets(asked: Mapping[str, Any]) -> bool:
    return bool(((asked.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}).get("subnets"))
