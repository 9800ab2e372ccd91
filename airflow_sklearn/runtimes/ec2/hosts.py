"""EC2 instances that work for Airflow tasks, for the reaper."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_sklearn.runtimes.ec2.instances import terminate
from airflow_sklearn.runtimes.hosts import DAG_TAG, Host, is_ours

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ALIVE = ["pending", "running", "stopping", "stopped"]


def instances(client: Any, tags: Mapping[str, str]) -> Iterator[Host]:
    """The instances that ``Ec2Runtime`` has launched and that have not ended.

    :param client: a boto3 client for ``ec2``.
    :param tags: further tags that an instance must have.
    """
    filters = [{"Name": "instance-state-name", "Values": _ALIVE}, {"Name": "tag-key", "Values": [DAG_TAG]}]
    filters += [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]
    for page in client.get_paginator("describe_instances").paginate(Filters=filters):
        for one in (one for reservation in page["Reservations"] for one in reservation["Instances"]):
            name, has = one["InstanceId"], {tag["Key"]: tag["Value"] for tag in one.get("Tags", ())}
            if is_ours(has, tags):
                end = partial(terminate, client, name, is_young=False)
                yield Host(f"EC2 instance {name}", has, one["LaunchTime"], end)
