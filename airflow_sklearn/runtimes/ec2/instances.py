"""Describing and terminating instances."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_sklearn.aws.errors import Kind, classify
from airflow_sklearn.aws.retry import retry_ending
from airflow_sklearn.runtimes.ec2.errors import OWN, explained
from airflow_sklearn.runtimes.ec2.instance_status import is_over

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.runtimes.ec2.job_queue import JobQueue

_LOG = logging.getLogger(__name__)
_IDS_A_CALL = 200  # values of one filter: "Filtering" in the Amazon EC2 user guide
_ALIVE = ["pending", "running"]


def describe(client: Any, ids: Sequence[str]) -> tuple[dict[str, dict[str, Any] | None], list[Exception]]:
    """Describe instances, 200 in a call.

    :param client: a boto3 client for ``ec2``.
    :param ids: ids of instances.
    :return: the descriptions by id, None for instances that EC2 does not know (it forgets ended ones after about an
        hour), without those whose call failed; and the errors of the failed calls.
    """
    found: dict[str, dict[str, Any] | None] = {}
    errors: list[Exception] = []
    wanted = list(dict.fromkeys(ids))
    for batch in (wanted[start : start + _IDS_A_CALL] for start in range(0, len(wanted), _IDS_A_CALL)):
        # By a filter: with InstanceIds, one unknown id would make the whole call fail.
        try:
            instances = _instances(client, [{"Name": "instance-id", "Values": batch}])
        except Exception as error:  # a throttle must not hide what other calls saw
            errors.append(error)
            continue
        found |= dict.fromkeys(batch) | {one["InstanceId"]: one for one in instances}
    return found, errors


def by_tag(client: Any, key: str, value: str) -> str:
    """The id of an instance with a tag that has not ended; empty if there is none."""
    filters = [{"Name": f"tag:{key}", "Values": [value]}, {"Name": "instance-state-name", "Values": _ALIVE}]
    with explained():
        return next((one["InstanceId"] for one in _instances(client, filters)), "")


def has_tag(instance: Mapping[str, Any], key: str, value: str) -> bool:
    """Whether an instance has a tag. Unlike tags, records of instances in storage can be forged.

    :param instance: an element of ``DescribeInstances``.
    """
    return any((tag["Key"], tag["Value"]) == (key, value) for tag in instance.get("Tags", ()))


def console_output(client: Any, instance_id: str) -> str:
    """The end of an instance's console output. EC2 has it after some delay, and for a limited time."""
    for options in ({"Latest": True}, {}):  # not all types support Latest
        try:
            said = client.get_console_output(InstanceId=instance_id, **options).get("Output") or ""
        except Exception as error:
            _LOG.info("No console of %s: %s", instance_id, error)
            continue
        if said:
            return str(said)
    return ""


def terminate(client: Any, instance_id: str, *, is_young: bool) -> None:
    """Terminate an instance. One that has ended already is no error.

    :param client: a boto3 client for ``ec2``.
    :param is_young: the instance was launched just now, so that EC2 may not know it yet.
    """
    try:
        retry_ending(lambda: client.terminate_instances(InstanceIds=[instance_id]), OWN, is_young=is_young)
    except Exception as error:
        # Permissions depend on tags, and ended instances lose their tags after a while.
        if classify(error, OWN) is not Kind.DENIED or not _has_ended(client, instance_id):
            raise


def terminate_silent(client: Any, queue: JobQueue, instance_id: str) -> None:
    """Terminate an instance without heartbeats: its jobs are lost, and it must get no further ones, nor cost money.

    A failure is logged only: the tasks of its jobs will try again.
    """
    _LOG.warning("The instance %s is silent: it is ended.", instance_id)
    for step in (queue.close, lambda: terminate(client, instance_id, is_young=False)):
        try:
            step()
        except Exception as error:
            _LOG.warning("The silent instance %s could not be given up: %s", instance_id, error)


def _has_ended(client: Any, instance_id: str) -> bool:
    found, errors = describe(client, [instance_id])
    return not errors and ((instance := found[instance_id]) is None or is_over(instance))


def _instances(client: Any, filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    pages = client.get_paginator("describe_instances").paginate(Filters=filters)
    return [one for page in pages for reservation in page["Reservations"] for one in reservation["Instances"]]
