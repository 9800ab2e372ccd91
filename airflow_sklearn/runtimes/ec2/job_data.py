"""The content of the handle of a job on an instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.contract.job_queue import Placement
from airflow_sklearn.runtimes.aws.runtime import AwsJobData

if TYPE_CHECKING:
    from airflow_sklearn.runtimes.base import JobHandle


class Ec2JobData(AwsJobData):
    """One job and its instance. It holds all that a poll needs, because another runtime object may poll."""

    instance_id: str
    placement: Placement
    """The slot of the job queue that the job has."""
    larger: str | None = None
    """The type that the next attempt gets, should this one run out of memory; None: there is no larger one."""
    startup_allowance: float | None = None
    """Seconds until the instance must have been heard of. None: submitted by an older version, which may have launched
    an image whose hosts do not beat."""


def placement_of(handle: JobHandle) -> Placement:
    """Where the job was placed."""
    return Ec2JobData.of(handle).placement


def instance_id_of(handle: JobHandle) -> str:
    """The id of the instance that does the job."""
    return Ec2JobData.of(handle).instance_id
