"""What Amazon ECS refuses, without an ECS."""

from __future__ import annotations

from typing import Any

import pytest

from local_cloud.aws_server.ecs import rules

NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}
ON_FARGATE: dict[str, Any] = {
    "requiresCompatibilities": ["FARGATE"],
    "networkMode": "awsvpc",
    "cpu": "256",
    "memory": "512",
    "containerDefinitions": [{"name": "worker"}],
}


def run_task(**asked: Any) -> None:
    rules.check_run_task({"networkConfiguration": NETWORK, **asked}, ON_FARGATE, "FARGATE")


def test_a_plain_task_runs() -> None:
    rules.check_task_definition(ON_FARGATE)
    run_task(overrides={"cpu": "1024", "memory": "3072"}, startedBy="a-b/c_1" * 16, clientToken="t" * 64)
    run_task(tags=[{"key": "run", "value": "manual__2026-01-01T00:00:00+00:00 @ é"}] * 50)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"clientToken": "t" * 65}, "clientToken"),
        ({"startedBy": "s" * 129}, "startedBy"),
        ({"startedBy": "dag.task"}, "startedBy"),
        ({"overrides": {"containerOverrides": [{"name": "other"}]}}, "container named other"),
        ({"overrides": {"containerOverrides": [{"name": "worker", "command": ["x" * 8192]}]}}, "at most 8192"),
        ({"overrides": {"cpu": "300"}}, "300 CPU, 512 memory"),
        ({"overrides": {"memory": "2560"}}, "256 CPU, 2560 memory"),
        ({"networkConfiguration": None}, "Network Configuration"),
        ({"tags": [{"key": "k", "value": "v"}] * 51}, "at most 50"),
        ({"tags": [{"key": "k" * 129, "value": ""}]}, "128"),
        ({"tags": [{"key": "k", "value": "v" * 257}]}, "256"),
        ({"tags": [{"key": "k", "value": "{json}"}]}, "only letters"),
        ({"tags": [{"key": "aws:k", "value": ""}]}, "aws:"),
    ],
)
def test_what_run_task_refuses(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(rules.RefusedError, match=message):
        run_task(**asked)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cpu": None}, "'cpu' be defined"),
        ({"memory": "4096"}, "No Fargate configuration"),
        ({"networkMode": "bridge"}, "network mode"),
        ({"containerDefinitions": [{"name": "w", "logConfiguration": {"logDriver": "awslogs"}}]}, "execution role"),
    ],
)
def test_what_a_fargate_task_definition_lacks(change: dict[str, Any], message: str) -> None:
    with pytest.raises(rules.RefusedError, match=message):
        rules.check_task_definition({**ON_FARGATE, **change})


def test_a_task_definition_for_ec2_does_not_run_on_fargate() -> None:
    definition = {**ON_FARGATE, "requiresCompatibilities": ["EC2"]}
    rules.check_run_task({"networkConfiguration": NETWORK}, definition, "EC2")
    with pytest.raises(rules.RefusedError, match="does not support launch_type FARGATE"):
        rules.check_run_task({"networkConfiguration": NETWORK}, definition, "FARGATE")


def test_who_started_a_task_is_the_only_filter() -> None:
    rules.check_list_tasks({"startedBy": "me", "desiredStatus": "STOPPED"})
    with pytest.raises(rules.RefusedError, match="only filter"):
        rules.check_list_tasks({"startedBy": "me", "family": "f"})
