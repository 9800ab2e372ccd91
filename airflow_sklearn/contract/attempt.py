"""What is recorded of each attempt at a chunk, so that a run can be explained. These documents decide nothing.

An attempt has two documents, each stored by create-if-absent: one when its worker starts, and one when it ends without
a receipt that counts. If the worker could not tell its end, Airflow's side does. A receipt itself says the rest.
"""

from __future__ import annotations

from typing import Literal

from airflow_sklearn.contract.document import Document, Value


class Host(Value):
    """Where a worker ran."""

    name: str = ""
    """The ARN of the ECS task, or the machine's or the container's host name."""
    cores: int = 0
    """Cores that the worker may use; 0: not known."""
    memory: int = 0
    """The memory limit in bytes; 0: not known."""
    log_url: str = ""
    """A page with the worker's log; empty: not known."""


class AttemptStart(Document):
    """A worker has started with an attempt at a chunk."""

    FORMAT = "airflow-sklearn/attempt-start"

    chunk_id: str
    started_at: str
    """ISO 8601, UTC."""
    host: Host = Host()
    job: str = ""
    """The task instance that asked for it."""


#: How an attempt ended. Those of a worker are kinds of errors (``ErrorKind``), and ``not_used``: another attempt at the
#: chunk was first. The others are what Airflow's side has seen (``JobState``).
AttemptCause = Literal[
    "user",
    "data",
    "environment",
    "deadline",
    "cancelled",
    "memory",
    "internal",
    "not_used",
    "failed",
    "lost",
    "out_of_memory",
    "no_capacity",
    "unknown",
]


class AttemptEnd(Document):
    """An attempt at a chunk has ended, and its output does not count."""

    FORMAT = "airflow-sklearn/attempt-end"

    chunk_id: str
    ended_at: str
    """ISO 8601, UTC."""
    cause: AttemptCause
    message: str = ""
    """For people; without values of rows if those are hidden."""
    told_by: Literal["worker", "airflow"]
    seconds: float = 0.0
    """How long the worker ran; 0.0: not known."""
    job: str = ""
    """The task instance that asked for it."""
    job_url: str = ""
    """A page about the job's host; empty: there is none, or the worker told the end."""
    log_url: str = ""
    """A page with the job's log; empty: there is none, or the worker told the end."""
