"""Documents that submitters of jobs and EC2 instances exchange; see ``runtimes/ec2/job_queue.py``."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from airflow_sklearn.contract.document import Document


class QueueEntry(Document):
    """The content of one slot of a job queue: a job, or a mark that the queue was closed before the slot was taken."""

    FORMAT = "airflow-sklearn/roster-entry"

    job_uri: str = ""
    """The job's URI; empty: the slot is closed."""
    log_stream: str = ""
    """The log stream in CloudWatch for this job; empty: the log is on the instance only."""


class QueueInstance(Document):
    """The instance that was launched for a job queue."""

    FORMAT = "airflow-sklearn/roster-instance"

    instance_id: str
    launched_at: float
    """The launch in seconds since 1970: EC2's other calls may not know a new instance at first."""


class Placement(Document):
    """Where a job was placed. Stored before the instance is launched, so that each later attempt can find the job."""

    FORMAT = "airflow-sklearn/placement"
    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    pool: str
    """The URI of the pool's folder."""
    number: str
    """The job queue's number in its pool."""
    slot: int = Field(alias="place")
    """The slot's number in the job queue, counted from 0."""
    slots: int = Field(alias="places")
    """The number of slots of the job queue."""
    job_uri: str
    result_uri: str
    submitted_at: float
    """The time in seconds since 1970."""


class JobEnd(Document):
    """How a job's process ended, as its instance saw it. The job's own ``JobResult`` says what became of its work."""

    FORMAT = "airflow-sklearn/job-end"

    exit_code: int | None = None
    """The exit code as in a shell: 128 plus the signal's number if it was killed. None: it was never started."""
    out_of_memory: bool = False
    """Whether the kernel killed it because memory ran out."""
    memory: int = 0
    """The instance's memory in MiB."""
    message: str = ""
