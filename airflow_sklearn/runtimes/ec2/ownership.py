"""Checking which instance does the jobs of a queue. Records in storage can be forged; the instance's tag cannot."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.document import content_id
from airflow_sklearn.contract.job_queue import QueueInstance
from airflow_sklearn.exceptions import DocumentError
from airflow_sklearn.runtimes.ec2.errors import explained
from airflow_sklearn.runtimes.ec2.instance_status import is_gone
from airflow_sklearn.runtimes.ec2.instances import by_tag, describe, has_tag

if TYPE_CHECKING:
    from airflow_sklearn.contract.job_queue import Placement

#: The tag of all instances that are launched for jobs, and of their volumes. IAM policies refer to it.
QUEUE_TAG = "airflow_sklearn_roster"
_MISSING_AT_FIRST = 300.0  # seconds for which EC2's other calls may not know a new instance ("eventual consistency")


def queue_id(placement: Placement) -> str:
    """The value of the tag: identifies the queue among all queues of all pools."""
    return content_id([placement.pool, placement.number], length=32)


def is_alive(client: Any, placement: Placement, instance: QueueInstance) -> bool:
    """Whether an instance lives and does the jobs of a queue.

    :param client: a boto3 client for ``ec2``.
    :param placement: the placement of a job in the queue.
    :param instance: the instance as recorded in storage.
    :raises DocumentError: the instance does not belong to the queue, so that nothing may be done to it.
    """
    instances, errors = describe(client, [instance.instance_id])
    with explained():
        if errors:
            raise errors[0]
    found = instances[instance.instance_id]
    # Not known: it is new, or it ended long ago.
    if found is None:
        return is_young_since(instance.launched_at)
    if not is_gone(found) and not has_tag(found, QUEUE_TAG, queue_id(placement)):
        raise DocumentError(
            f"The instance {instance.instance_id} was not launched for the jobs in {placement.pool}, whoever has "
            "written down there that it was. Fix: find out who can write there, and remove instances/ below it."
        )
    return not is_gone(found)


def launched_for(client: Any, placement: Placement) -> QueueInstance | None:
    """The instance whose launch was not recorded, because the process was killed before; None if there is none."""
    found = by_tag(client, QUEUE_TAG, queue_id(placement))
    return QueueInstance(instance_id=found, launched_at=placement.submitted_at) if found else None


def is_young_since(moment: float) -> bool:
    """Whether EC2's calls may not know an instance yet ("eventual consistency" in the Amazon EC2 API Reference).

    :param moment: when it was launched, in seconds since 1970.
    """
    return time.time() - moment < _MISSING_AT_FIRST
