"""What Docker is asked for when a task starts: memory limits, entry points, users, credentials from the task role."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from typing import Any

from ministack.services import cloudwatch_logs, ecs, ecs_metadata

_COULD_NOT_START = "ResourceInitializationError: unable to pull image or start container: "
_AS_AWS_SAYS = ("ResourceInitializationError", "CannotStartContainerError")


class CouldNotStartError(Exception):
    """A task that ECS cannot start; the message is AWS's reason."""


def install() -> None:
    """Put ours in the place of ministack's, or around it."""
    run_arguments, register, start, fail = (
        ecs._build_run_kwargs,
        ecs._register_metadata,
        ecs._run_docker_container,
        ecs._fail_task_start,
    )

    def build_run_kwargs(cdef: dict[str, Any], td: dict[str, Any], env: dict[str, str], *others: Any) -> dict[str, Any]:
        arguments = run_arguments(cdef, td, env, *others)
        task_arn = arguments["labels"]["com.amazonaws.ecs.task-arn"]
        overrides = (ecs._tasks.get(task_arn) or {}).get("overrides") or {}
        return arguments | _more_arguments(cdef, td, overrides) | {"environment": _environment(env, td)}

    def register_metadata(task_arn: str, cluster_arn: str, td: Any, cdef: Any, *others: Any) -> Any:
        token = register(task_arn, cluster_arn, td, cdef, *others)
        digest = _digest(cdef["image"])
        if digest:
            ecs_metadata._TOKEN_TO_CONTAINER[token]["ImageID"] = digest
            for container in (ecs._tasks.get(task_arn) or {}).get("containers", ()):
                if container["name"] == cdef["name"]:
                    container["imageDigest"] = digest
        return token

    def run_docker_container(client: Any, cdef: dict[str, Any], arguments: dict[str, Any], **others: Any) -> Any:
        _check_image(cdef["image"])
        _check_log_group(cdef)
        try:
            return start(client, cdef, arguments, **others)
        except Exception as error:
            raise CouldNotStartError(f"CannotStartContainerError: {error}") from error

    def fail_task_start(task: dict[str, Any], client: Any, reason: str) -> None:
        said = reason.removeprefix(_COULD_NOT_START)
        if said.startswith(_AS_AWS_SAYS):
            reason = said
        if not reason.startswith("ResourceInitializationError"):
            for container in task.get("containers", ()):
                container["reason"] = reason
        fail(task, client, reason)

    ecs._build_run_kwargs = build_run_kwargs
    ecs._register_metadata = register_metadata
    ecs._run_docker_container = run_docker_container
    ecs._fail_task_start = fail_task_start


def memory_limit(cdef: Mapping[str, Any], td: Mapping[str, Any], overrides: Mapping[str, Any]) -> int | None:
    """MiB that a container gets: the smallest of its own limit and its task's."""
    overridden = overrides.get("containerOverrides", ())
    own: Mapping[str, Any] = next((one for one in overridden if one.get("name") == cdef["name"]), {})
    limits = (own.get("memory") or cdef.get("memory"), overrides.get("memory") or td.get("memory"))
    return min((int(limit) for limit in limits if limit), default=None)


def _more_arguments(cdef: Mapping[str, Any], td: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """For docker-py's ``run``: what ministack leaves out of a container definition."""
    arguments: dict[str, Any] = {
        docker: cdef[name]
        for name, docker in (("entryPoint", "entrypoint"), ("user", "user"), ("workingDirectory", "working_dir"))
        if cdef.get(name)
    }
    limit = memory_limit(cdef, td, overrides)
    if limit:
        arguments |= {"mem_limit": f"{limit}m", "memswap_limit": f"{limit}m"}  # Fargate does not swap
    if cdef.get("readonlyRootFilesystem"):
        arguments["read_only"] = True
    if (cdef.get("linuxParameters") or {}).get("initProcessEnabled"):
        arguments["init"] = True
    return arguments


def _environment(env: Mapping[str, str], td: Mapping[str, Any]) -> dict[str, str]:
    """The variables that ECS sets, and the way to this AWS. There is no instance metadata service on Fargate."""
    region = ecs.get_region()
    on_fargate = "FARGATE" in (td.get("requiresCompatibilities") or ())
    ours = {
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": f"/v2/credentials/{uuid.uuid4()}",
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": os.environ["LOCAL_CLOUD_ENDPOINT"],
        "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE" if on_fargate else "AWS_ECS_EC2",
        "AWS_REGION": region,
        "ECS_CONTAINER_METADATA_URI_V4": f"{os.environ['LOCAL_CLOUD_ENDPOINT']}/v4/"
        + env["ECS_CONTAINER_METADATA_URI_V4"].rsplit("/", 1)[1],
    }
    theirs = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN")
    return {name: value for name, value in env.items() if name not in theirs} | ours


def _digest(image: str) -> str | None:
    """What stands for an image's digest here: an image that was never pushed has only its id."""
    from docker.errors import ImageNotFound

    try:
        return str(ecs._get_docker().images.get(image).id)
    except ImageNotFound:
        return None


def _check_image(image: str) -> None:
    """Nothing is pulled here, so that a test of an image that does not exist ends at once and asks no registry."""
    if _digest(image) is None:
        name = image if "." in image.split("/")[0] else f"docker.io/{image if '/' in image else f'library/{image}'}"
        raise ecs._ImagePullError(
            f"pull image manifest has been retried 1 time(s): failed to resolve ref {name}: {name}: not found"
        )


def _check_log_group(cdef: Mapping[str, Any]) -> None:
    log = cdef.get("logConfiguration") or {}
    options = log.get("options") or {}
    if log.get("logDriver") != "awslogs" or options.get("awslogs-create-group") == "true":
        return
    if options.get("awslogs-group") not in cloudwatch_logs._log_groups:
        raise CouldNotStartError(
            "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
            "failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist."
        )
