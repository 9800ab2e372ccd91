"""What runs for Airflow tasks in AWS: instances and ECS tasks, by their tags."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from airflow_sklearn.runtimes.aws.tags import DAG_TAG, MAP_INDEX_TAG, RUN_TAG, TASK_TAG
from airflow_sklearn.runtimes.ec2.instances import terminate
from airflow_sklearn.runtimes.ecs.status import OUR_REASON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

_TASKS_A_CALL = 100  # from DescribeTasks' page in the Amazon ECS API reference
_STARTED_BY = "airflow-sklearn/"  # of the tasks that EcsRuntime runs
_ALIVE = ["pending", "running", "stopping", "stopped"]


@dataclasses.dataclass(frozen=True)
class Host:
    """An instance or an ECS task, and whose work it does."""

    name: str
    """For people."""
    tags: Mapping[str, str]
    started_at: datetime | None
    """None: it waits to start."""
    end: Callable[[], None] = dataclasses.field(repr=False)

    @property
    def task(self) -> tuple[str, str, str]:
        """DAG, task and run."""
        return self.tags[DAG_TAG], self.tags[TASK_TAG], self.tags[RUN_TAG]

    @property
    def map_index(self) -> int | None:
        """None: it does jobs of several mapped instances of the task."""
        text = self.tags.get(MAP_INDEX_TAG)
        return int(text) if text else None


def instances(client: Any, tags: Mapping[str, str]) -> Iterator[Host]:
    """EC2 instances that ``Ec2Runtime`` has launched and that have not ended.

    :param client: boto3's, of ``ec2``.
    :param tags: that they must have, too.
    """
    filters = [{"Name": "instance-state-name", "Values": _ALIVE}, {"Name": "tag-key", "Values": [DAG_TAG]}]
    filters += [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]
    for page in client.get_paginator("describe_instances").paginate(Filters=filters):
        for one in (one for reservation in page["Reservations"] for one in reservation["Instances"]):
            name, has = one["InstanceId"], {tag["Key"]: tag["Value"] for tag in one.get("Tags", ())}
            if _is_ours(has, tags):
                yield Host(f"EC2 instance {name}", has, one["LaunchTime"], _terminating(client, name))


def ecs_tasks(client: Any, cluster: str, tags: Mapping[str, str]) -> Iterator[Host]:
    """Tasks of a cluster that ``EcsRuntime`` has run and that have not stopped.

    :param client: boto3's, of ``ecs``.
    :param tags: that they must have, too.
    """
    pages = client.get_paginator("list_tasks").paginate(cluster=cluster, desiredStatus="RUNNING")
    arns = [arn for page in pages for arn in page["taskArns"]]
    for batch in (arns[start : start + _TASKS_A_CALL] for start in range(0, len(arns), _TASKS_A_CALL)):
        for one in client.describe_tasks(cluster=cluster, tasks=batch, include=["TAGS"])["tasks"]:
            arn, has = one["taskArn"], {tag["key"]: tag.get("value", "") for tag in one.get("tags", ())}
            if _is_ours(has, tags) and one.get("startedBy", "").startswith(_STARTED_BY):
                name = f"ECS task {arn.rpartition('/')[2]}"
                yield Host(name, has, one.get("createdAt"), _stopping(client, cluster, arn))


def _is_ours(has: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether it can be told whose it is, and it is of those that are meant."""
    return {DAG_TAG, TASK_TAG, RUN_TAG} <= set(has) and wanted.items() <= has.items()


def _terminating(client: Any, instance_id: str) -> Callable[[], None]:
    return lambda: terminate(client, instance_id, is_young=False)


def _stopping(client: Any, cluster: str, arn: str) -> Callable[[], None]:
    reason = f"{OUR_REASON}its Airflow task has ended"
    return lambda: client.stop_task(cluster=cluster, task=arn, reason=reason)
