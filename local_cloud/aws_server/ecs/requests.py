"""The ECS operations, with the checks of Amazon ECS around ministack's own, and what tests inject into them.

Beside ECS's own operations, the port takes ``LocalCloud...`` ones from tests: ``LocalCloudRefuseRunTask``,
``LocalCloudInterrupt`` and ``LocalCloudForget``.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import ecs

from local_cloud.aws_server.ecs import lifecycle, rules

Answer = tuple[int, Any, Any]
Operation = Callable[[dict[str, Any]], Answer]

_running = threading.Lock()
#: Tokens of RunTask: the request that came with it, and the tasks that it made.
_tokens: dict[tuple[str, str], tuple[dict[str, Any], list[str]]] = {}
_refusals: list[dict[str, Any]] = []


def install() -> None:
    """Put ours in the place of ministack's."""
    theirs = dict(ecs._ACTION_MAP)
    ours: dict[str, Operation] = {
        "RegisterTaskDefinition": lambda asked: _register(asked, theirs["RegisterTaskDefinition"]),
        "RunTask": lambda asked: _run_task(asked, theirs["RunTask"]),
        "StopTask": _stop_task,
        "DescribeTasks": lambda asked: _describe_tasks(asked, theirs["DescribeTasks"]),
        "ListTasks": lambda asked: _list_tasks(asked, theirs["ListTasks"]),
        "LocalCloudRefuseRunTask": _refuse_run_task,
        "LocalCloudInterrupt": _interrupt,
        "LocalCloudForget": _forget,
    }
    ecs._ACTION_MAP.update({name: _answering(operation) for name, operation in ours.items()})


def _answering(operation: Operation) -> Operation:
    """Errors of the rules become answers."""

    def answer(asked: dict[str, Any]) -> Answer:
        try:
            return operation(asked)
        except rules.RefusedError as refused:
            _, _, body = error_response_json(refused.code, refused.message, 400)
            return json_response(json.loads(body) | refused.fields, 400)

    return answer


def _register(asked: dict[str, Any], theirs: Operation) -> Answer:
    rules.check_task_definition(asked)
    rules.check_tags(asked.get("tags") or ())
    return theirs(asked)


def _run_task(asked: dict[str, Any], theirs: Operation) -> Answer:
    cluster = _cluster(asked)
    definition = ecs._task_defs.get(ecs._resolve_td_key(asked.get("taskDefinition", "")))
    if not definition:
        raise rules.RefusedError("ClientException", "TaskDefinition not found.")
    if definition["status"] != "ACTIVE":
        raise rules.RefusedError("ClientException", "TaskDefinition is inactive")
    launch_type, strategy, refused = ecs._launch_choice(asked, ecs._clusters[cluster])
    if refused:
        return refused
    rules.check_run_task(asked, definition, ecs._task_capacity(launch_type, strategy)[0])
    with _running:  # two requests with one token at the same moment make one task
        token = asked.get("clientToken")
        known = _tokens.get((cluster, token)) if token else None
        if known:
            return _same_again(asked, *known)
        refusal = _refusal()
        if refusal:
            return refusal
        status, headers, body = theirs(_with_tags_of_definition(asked, definition))
        if status != 200:
            return status, headers, body
        answer = json.loads(body)
        for shown in answer["tasks"]:
            task = ecs._tasks[shown["taskArn"]]
            task.update(_sizes(asked))
            shown.update(_sizes(asked))
        if token:
            _tokens[cluster, token] = (_comparable(asked), [task["taskArn"] for task in answer["tasks"]])
        return json_response(answer)


def _same_again(asked: dict[str, Any], first: dict[str, Any], arns: list[str]) -> Answer:
    if _comparable(asked) != first:
        raise rules.RefusedError(
            "ConflictException",
            "The RunTask request could not be processed due to conflicts. The provided clientToken is already in use "
            "with a different RunTask request. The resourceIds are the existing task ARNs which are already "
            "associated with the clientToken.",
            resourceIds=arns,
        )
    tasks = [ecs._sanitize(ecs._tasks[arn]) for arn in arns if arn in ecs._tasks]
    return json_response({"tasks": tasks, "failures": []})


def _comparable(asked: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy({name: value for name, value in asked.items() if name != "clientToken"})


def _sizes(asked: Mapping[str, Any]) -> dict[str, Any]:
    """A task has the size that it was started with; ministack shows the task definition's."""
    overrides = asked.get("overrides") or {}
    return {name: overrides[name] for name in ("cpu", "memory", "ephemeralStorage") if overrides.get(name)}


def _with_tags_of_definition(asked: dict[str, Any], definition: Mapping[str, Any]) -> dict[str, Any]:
    if asked.get("propagateTags") != "TASK_DEFINITION":
        return asked
    tags = {tag["key"]: tag for tag in ecs._tags.get(definition["taskDefinitionArn"], ())}
    tags |= {tag["key"]: tag for tag in asked.get("tags") or ()}
    return {**asked, "tags": list(tags.values())}


def _stop_task(asked: dict[str, Any]) -> Answer:
    cluster = _cluster(asked)
    task = ecs._resolve_task(asked.get("task", ""), cluster)
    if not task:
        raise rules.invalid("The referenced task was not found.")
    lifecycle.stop(task, "UserInitiated", asked.get("reason") or "Task stopped by user")
    return json_response({"task": ecs._sanitize(task)})


def _describe_tasks(asked: dict[str, Any], theirs: Operation) -> Answer:
    _cluster(asked)
    rules.check_describe_tasks(asked)
    status, headers, body = theirs(asked)
    if status != 200 or "TAGS" in asked.get("include", ()):
        return status, headers, body
    answer = json.loads(body)
    for task in answer["tasks"]:
        task["tags"] = []  # tags come only to those who ask for them
    return json_response(answer)


def _list_tasks(asked: dict[str, Any], theirs: Operation) -> Answer:
    _cluster(asked)
    rules.check_list_tasks(asked)
    return theirs(asked)


def _cluster(asked: Mapping[str, Any]) -> str:
    """ministack makes a cluster that is not there, or takes it for an empty one."""
    name = ecs._resolve_cluster_name(asked.get("cluster", "default"))
    if name is None or ecs._clusters.get(name, {}).get("status", "INACTIVE") == "INACTIVE":
        raise rules.RefusedError("ClusterNotFoundException", "Cluster not found.")
    return str(name)


# --- What tests inject ---


def _refuse_run_task(asked: dict[str, Any]) -> Answer:
    """The next ``times`` calls are refused: with an error of the name ``error``, or in the list of failures."""
    _refusals[:] = [{"reason": asked["reason"], "times": asked["times"], "error": asked.get("error"), "refused": 0}]
    return json_response({})


def _refusal() -> Answer | None:
    refusal = next((one for one in _refusals if one["refused"] < one["times"]), None)
    if refusal is None:
        return None
    refusal["refused"] += 1
    if refusal["error"]:
        raise rules.RefusedError(refusal["error"], refusal["reason"])
    return json_response({"tasks": [], "failures": [{"arn": _an_instance(), "reason": refusal["reason"]}]})


def _an_instance() -> str:
    return f"arn:aws:ecs:{ecs.get_region()}:{ecs.get_account_id()}:container-instance/local"


def _interrupt(asked: dict[str, Any]) -> Answer:
    """As when AWS takes Spot capacity back."""
    lifecycle.stop(_task(asked), "SpotInterruption", "Your Spot Task was interrupted.")
    return json_response({})


def _forget(asked: dict[str, Any]) -> Answer:
    """As an hour after a task stopped: it cannot be described any more."""
    task = _task(asked)
    if task["lastStatus"] != "STOPPED":
        raise rules.invalid(f"{task['taskArn']} is {task['lastStatus']}: ECS forgets only tasks that have stopped.")
    del ecs._tasks[task["taskArn"]]
    return json_response({})


def _task(asked: Mapping[str, Any]) -> dict[str, Any]:
    task = ecs._tasks.get(asked["task"])
    if task is None:
        raise rules.invalid(f"There is no task {asked['task']}.")
    return task
