"""Why an ECS task has stopped, and what a retry should do.

Sources: "Amazon ECS stopped tasks error messages" in the Amazon ECS Developer Guide, and ``stopCode`` of ``Task`` in
the Amazon ECS API Reference.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_sklearn.runtimes.aws.status import Judgement, judge_exit, judge_pull, may_pass
from airflow_sklearn.runtimes.base import JobState, JobStatus
from airflow_sklearn.runtimes.ecs.memory import memory_of

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The prefix of the stop reason of tasks that this package stops itself.
OUR_REASON = "airflow-sklearn: "
#: The prefix of ``startedBy`` of tasks that this package starts.
STARTED_BY = "airflow-sklearn/"
TASKS_A_CALL = 100  # from DescribeTasks' page in the Amazon ECS API reference

_NO_CAPACITY = re.compile(
    r"capacity is unavailable|insufficient|RESOURCE:|\bENI\b|network interface|unexpected EC2 error|InternalError|"
    r"timeout waiting for",
    re.IGNORECASE,
)
_HOST_LOST = re.compile(r"\bhost ec2\b|\binstance\b.*\b(terminated|stopped)\b", re.IGNORECASE)
#: A missing permission, role, log group or program. Upper and lower case matter, because these are names of errors.
_FOR_GOOD = re.compile(
    r"AccessDenied|not authorized|UnauthorizedOperation|unable to assume the role|ResourceNotFoundException|"
    r"Invalid\w+\.NotFound|does not exist|executable file not found"
)
#: Errors of the instance on which the container should have started. Another instance may work.
_HOST_IS_FULL = re.compile(r"no space left|cannot allocate memory", re.IGNORECASE)


def status_of(task: Mapping[str, Any], container_name: str) -> JobStatus:
    """The status of a stopped task.

    :param task: an element of ``DescribeTasks`` with the ``lastStatus`` STOPPED.
    :param container_name: the worker's container.
    """
    container: Mapping[str, Any] = next(
        (one for one in task.get("containers", ()) if one.get("name") == container_name), {}
    )
    code, reason = container.get("exitCode"), container.get("reason") or ""
    why = "; ".join(dict.fromkeys(text for text in (task.get("stoppedReason") or "", reason) if text))
    memory, image = memory_of(task, container_name), container.get("image", "")
    state, message = _judge(task.get("stopCode") or "", why, code, memory, image)
    return JobStatus(state=state, message=message, exit_code=code)


def _judge(stop_code: str, why: str, code: int | None, memory: int, image: str) -> Judgement:
    judged = judge_exit(code, out_of_memory="OutOfMemory" in why, memory=memory, why=why)
    if judged[0] in (JobState.SUCCEEDED, JobState.OUT_OF_MEMORY):
        return judged
    if stop_code == "UserInitiated":
        if OUR_REASON in why:
            return JobState.CANCELLED, "The container was stopped with its Airflow task."
        return JobState.CANCELLED, f"Somebody stopped the ECS task: {why or 'no reason given'}."
    if stop_code in ("SpotInterruption", "TerminationNotice") or _HOST_LOST.search(why):
        return JobState.LOST, f"The container's host was taken away: {why or stop_code}."
    if "CannotPull" in why:
        return judge_pull(why, image, "the execution role")
    if stop_code == "TaskFailedToStart" or code is None:
        return _judge_start(why)
    return judged


def _judge_start(why: str) -> Judgement:
    """The meaning of a task without an exit code: in most cases its container has never run."""
    for_good = _FOR_GOOD.search(why) and not may_pass(why)
    if "ResourceInitializationError" in why:
        hint = "The execution role needs the image's registry and the log group; the subnets a route to both."
        return JobState.FAILED if for_good else JobState.LOST, f"ECS could not prepare the container: {why}\n{hint}"
    if "CannotStartContainer" in why or "CannotCreateContainer" in why:
        passes = _HOST_IS_FULL.search(why) or may_pass(why)
        return JobState.LOST if passes else JobState.FAILED, f"The container could not be started: {why}"
    if for_good:
        return JobState.FAILED, f"ECS may not start the task like this: {why}"
    if _NO_CAPACITY.search(why):
        return JobState.NO_CAPACITY, f"ECS had no room for the task: {why}"
    return JobState.LOST, f"The container left no exit code: {why or 'ECS gives no reason'}."
