"""The parts of an ECS task definition that jobs depend on: container, image, size and log."""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING, Any

from airflow_sklearn.aws.errors import Kind, classify
from airflow_sklearn.contract.document import Value, content_id
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runtimes.aws.cloudwatch import LogStream
from airflow_sklearn.runtimes.ecs.errors import OWN
from airflow_sklearn.system.retry import retry

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEFAULT_FAMILY = "airflow-sklearn"
_DEFAULT_CONTAINER = "worker"
_RACE_PAUSES = (0.5, 1.0, 2.0)  # seconds, on average, after which a registration that lost a race is looked up again


class TaskDefinition(Value):
    """The parts of a registered task definition that jobs depend on."""

    arn: str
    container: str
    image: str
    cpu: int | None = None
    """CPU units of the task; None where the container instance decides."""
    memory: int | None = None
    """MiB of the task, or of the container."""
    container_memory: int | None = None
    """MiB that the container alone is limited to."""
    sizes_task: bool = False
    """Whether memory is the whole task's. A container may have no more than its task."""
    sizes_task_cpu: bool = False
    """The same of CPU units."""
    log_group: str = ""
    log_region: str = ""
    log_prefix: str = ""

    def log_stream(self, task_id: str, region: str) -> LogStream | None:
        """The log stream of a task's container; None if the log is not in CloudWatch, or only Docker knows the
        stream's name.
        """
        if not (self.log_group and self.log_prefix):
            return None
        stream = f"{self.log_prefix}/{self.container}/{task_id}"
        return LogStream(group=self.log_group, stream=stream, region=self.log_region or region)


def find_task_definition(client: Any, name: str, container_name: str | None) -> TaskDefinition:
    """Read a task definition.

    :param client: a boto3 client for ``ecs``.
    :param name: family, family:revision or ARN.
    :param container_name: the worker's container; None: the only one.
    :raises UserError: there is no such definition, or it has several containers.
    :raises ClientError: another error of ECS.
    """
    found = _described(client, name)
    if found is None:
        raise UserError(
            f"EcsRuntime(task_definition={name!r}): there is no such task definition in the region "
            f"{client.meta.region_name}, or all its revisions are inactive."
        )
    return _read(found, container_name)


def register_task_definition(
    client: Any, spec: Mapping[str, Any], container_name: str | None, *, launch_type: str, awsvpc: bool
) -> TaskDefinition:
    """Register a task definition, unless one with the same content is registered already.

    Its family is ``<family>-<digest of the content>``: equal specifications share a definition, and a changed one does
    not affect running tasks. If several Airflow tasks start together, all find it missing, and ECS accepts one
    registration at a time; the others then look it up again.

    :param client: a boto3 client for ``ecs``.
    :param spec: the arguments of ``RegisterTaskDefinition``.
    :param container_name: the worker's container; None: the only one.
    :param launch_type: the launch type of its tasks.
    :param awsvpc: whether its tasks have network interfaces of their own.
    :raises UserError: the specification names no image.
    :raises ClientError: ECS refuses it.
    """
    complete = _complete(spec, launch_type, awsvpc)
    complete["family"] = family = f"{complete['family']}-{content_id(complete, length=12)}"

    def find_or_register() -> dict[str, Any]:
        found: dict[str, Any] = (
            _described(client, family) or client.register_task_definition(**complete)["taskDefinition"]
        )
        return found

    def is_lost_race(error: Exception) -> bool:
        registering = getattr(error, "operation_name", "") == "RegisterTaskDefinition"
        return registering and classify(error, OWN) is Kind.THROTTLED

    pauses = (pause * random.uniform(0.5, 1.5) for pause in _RACE_PAUSES)
    return _read(retry(find_or_register, pauses, on=is_lost_race), container_name)


def _described(client: Any, name: str) -> dict[str, Any] | None:
    """The answer of DescribeTaskDefinition; None if there is no such definition."""
    try:
        found: dict[str, Any] = client.describe_task_definition(taskDefinition=name)["taskDefinition"]
    except Exception as error:
        if classify(error, OWN) is Kind.NOT_FOUND:
            return None
        raise
    return found


def _complete(spec: Mapping[str, Any], launch_type: str, awsvpc: bool) -> dict[str, Any]:
    """The specification, with defaults for what one worker's task needs."""
    complete: dict[str, Any] = copy.deepcopy(dict(spec))
    complete.setdefault("family", _DEFAULT_FAMILY)
    complete.setdefault("requiresCompatibilities", [launch_type])
    if awsvpc:
        complete.setdefault("networkMode", "awsvpc")
    containers = complete.get("containerDefinitions") or [{}]
    if not containers[0].get("image"):
        raise UserError(
            "EcsRuntime(task_definition={...}) needs containerDefinitions=[{'image': ...}], the worker's image; "
            f"it has the keys {', '.join(sorted(spec)) or 'nothing'}."
        )
    for container in containers:
        container.setdefault("essential", True)
    containers[0].setdefault("name", _DEFAULT_CONTAINER)
    # A first process of Docker's own passes SIGTERM on even before Python has begun to listen.
    containers[0].setdefault("linuxParameters", {}).setdefault("initProcessEnabled", True)
    complete["containerDefinitions"] = containers
    for size in ("cpu", "memory"):
        if size in complete:
            complete[size] = str(complete[size])  # the API requires text, users write numbers
    return complete


def _read(found: Mapping[str, Any], container_name: str | None) -> TaskDefinition:
    arn, containers = found["taskDefinitionArn"], found["containerDefinitions"]
    names = [container["name"] for container in containers]
    if container_name is None and len(containers) > 1:
        raise UserError(
            f"The task definition {arn} has several containers ({', '.join(names)}): say which runs the worker with "
            "EcsRuntime(container_name=...)."
        )
    wanted = container_name or names[0]
    if wanted not in names:
        raise UserError(f"The task definition {arn} has no container {wanted!r}; it has {', '.join(names)}.")
    container = containers[names.index(wanted)]
    logging = container.get("logConfiguration") or {}
    options = logging.get("options", {}) if logging.get("logDriver") == "awslogs" else {}
    container_memory = container.get("memory") or None
    memory = found.get("memory") or container_memory
    return TaskDefinition(
        arn=arn,
        container=wanted,
        image=container["image"],
        cpu=int(found["cpu"]) if found.get("cpu") else container.get("cpu") or None,
        memory=int(memory) if memory else None,
        container_memory=container_memory,
        sizes_task=bool(found.get("memory")),
        sizes_task_cpu=bool(found.get("cpu")),
        log_group=options.get("awslogs-group", ""),
        log_region=options.get("awslogs-region", ""),
        log_prefix=options.get("awslogs-stream-prefix", ""),
    )
