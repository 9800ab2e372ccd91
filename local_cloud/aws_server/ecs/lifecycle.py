"""How a task ends: by itself, out of memory, or stopped by somebody; and what ECS then says about it.

ministack asks Docker about every running container ten times a second, and in every DescribeTasks. Here a thread a
container waits until it ends, so that fifty of them leave the machine to the work.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from docker.errors import DockerException
from ministack.core.concurrency import resource_lock, spawn_background
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import ecs, ecs_metadata

OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
EXITED = "Essential container in task exited"
#: Between SIGTERM and SIGKILL where a container definition has no ``stopTimeout``. ECS waits 30 seconds.
STOP_SECONDS = int(os.environ.get("LOCAL_CLOUD_STOP_SECONDS", "30"))

_logger = logging.getLogger("local-cloud")


def install() -> None:
    """Put ours in the place of ministack's."""
    ecs._watch_task_lifecycle = _watch
    ecs._maybe_mark_stopped = lambda *_: None


def stop(task: dict[str, Any], stop_code: str, reason: str) -> None:
    """Begin to stop a task: SIGTERM, and SIGKILL when its time is over. As ECS does, return at once."""
    with resource_lock("ecs-task", task["taskArn"]):
        if task["desiredStatus"] == "STOPPED":
            return
        ecs._bump_task_version(task)
        task.update(desiredStatus="STOPPED", stopCode=stop_code, stoppedReason=reason, stoppingAt=ecs._iso())
        if task["lastStatus"] == "RUNNING":
            task["lastStatus"] = "DEACTIVATING"
        containers = list(task["_docker_ids"])
    ecs_metadata.set_task_status(task["taskArn"], desired_status="STOPPED")
    _spawn(lambda: _end_all(task, containers), f"stop-{task['taskArn'][-8:]}")


def _watch(task: dict[str, Any], client: Any, account: str, region: str) -> None:
    for index, container in enumerate(list(task["_docker_ids"])):
        _spawn(partial(_wait, task, index, container), f"wait-{container[:8]}")


def _wait(task: dict[str, Any], index: int, container: str) -> None:
    """Until the container ends by itself; an essential one takes the task with it."""
    try:
        ecs._get_docker().api.wait(container, timeout=None)
        if task["desiredStatus"] == "STOPPED":  # whoever stops it looks at the containers too
            return
        _note_end(task, index, container)
    except DockerException as error:  # somebody removed it
        _logger.warning("%s: %s", task["taskArn"], error)
    essential = task["_container_essentials"]
    if essential[index] or all(one["lastStatus"] == "STOPPED" for one in task["containers"]):
        stop(task, "EssentialContainerExited", EXITED)


def _end_all(task: dict[str, Any], containers: list[str]) -> None:
    """Containers stay, stopped, until ministack's reaper takes them: their last log lines are still being read."""
    definition = ecs._task_defs.get(task["taskDefinitionArn"].rsplit("/", 1)[1]) or {}
    try:
        for index, container in enumerate(containers):
            seconds = definition["containerDefinitions"][index].get("stopTimeout", STOP_SECONDS)
            try:
                ecs._get_docker().containers.get(container).stop(timeout=seconds)
                _note_end(task, index, container)
            except DockerException as error:
                _logger.warning("%s: %s", task["taskArn"], error)
    finally:
        _mark_stopped(task)


def _note_end(task: dict[str, Any], index: int, container: str) -> None:
    state = ecs._get_docker().api.inspect_container(container)["State"]
    shown = task["containers"][index]
    shown.update(lastStatus="STOPPED", exitCode=state["ExitCode"])
    if state["OOMKilled"]:
        shown["reason"] = OUT_OF_MEMORY


def _mark_stopped(task: dict[str, Any]) -> None:
    with resource_lock("ecs-task", task["taskArn"]):
        now = ecs._iso()
        ecs._bump_task_version(task)
        for container in task["containers"]:
            container["lastStatus"] = "STOPPED"
        task.update(lastStatus="STOPPED", executionStoppedAt=now, stoppedAt=now)
    ecs_metadata.set_task_status(task["taskArn"], known_status="STOPPED")
    ecs._cleanup_task_resources(task, None)
    ecs._recount_cluster(ecs._cluster_name_from_arn(task["clusterArn"]))


def _spawn(work: Callable[[], None], name: str) -> None:
    account, region = get_account_id(), get_region()

    def run() -> None:
        with request_scope(account, region):
            work()

    spawn_background(run, thread_name=f"local-cloud-{name}")
