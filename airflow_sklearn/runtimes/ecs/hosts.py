"""ECS tasks that work for Airflow tasks, for the reaper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_sklearn.runtimes.ecs.status import OUR_REASON, STARTED_BY, TASKS_A_CALL
from airflow_sklearn.runtimes.hosts import Host, is_ours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def tasks(client: Any, cluster: str, tags: Mapping[str, str]) -> Iterator[Host]:
    """The tasks of a cluster that ``EcsRuntime`` has started and that have not stopped.

    :param client: a boto3 client for ``ecs``.
    :param cluster: the cluster's name or ARN.
    :param tags: further tags that a task must have.
    """
    pages = client.get_paginator("list_tasks").paginate(cluster=cluster, desiredStatus="RUNNING")
    arns = [arn for page in pages for arn in page["taskArns"]]
    for batch in (arns[start : start + TASKS_A_CALL] for start in range(0, len(arns), TASKS_A_CALL)):
        for one in client.describe_tasks(cluster=cluster, tasks=batch, include=["TAGS"])["tasks"]:
            arn, has = one["taskArn"], {tag["key"]: tag.get("value", "") for tag in one.get("tags", ())}
            if is_ours(has, tags) and one.get("startedBy", "").startswith(STARTED_BY):
                name = f"ECS task {arn.rpartition('/')[2]}"
                yield Host(name, has, one.get("createdAt"), _stopping(client, cluster, arn))


def _stopping(client: Any, cluster: str, arn: str) -> Callable[[], None]:
    reason = f"{OUR_REASON}its Airflow task has ended"
    return lambda: client.stop_task(cluster=cluster, task=arn, reason=reason)
