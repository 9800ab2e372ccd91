"""Recording how this worker's attempt at a chunk starts and ends, for the run's page."""

from __future__ import annotations

import functools
import socket
from typing import TYPE_CHECKING

from airflow_sklearn.contract.attempt import AttemptEnd, AttemptStart, Host
from airflow_sklearn.contract.jobs import PredictJob
from airflow_sklearn.runs.attempts import attempt_name, now, record
from airflow_sklearn.runtimes.aws.cloudwatch import LogStream
from airflow_sklearn.system.cgroup import cores, ecs_container, memory_limit

if TYPE_CHECKING:
    from airflow_sklearn.contract.attempt import AttemptCause
    from airflow_sklearn.contract.jobs import AnyJob
    from airflow_sklearn.storage import Storage


def record_start(job: AnyJob, storage: Storage) -> None:
    """Record that an attempt at a chunk has started. Other jobs have no attempts."""
    if isinstance(job, PredictJob) and (name := attempt_name(job.ledger, job.result_uri)):
        start = AttemptStart(chunk_id=job.chunk.id, started_at=now(), host=this_host(), job=job.identity.path)
        record(storage, job.ledger, name, start)


def record_end(job: AnyJob, storage: Storage, cause: AttemptCause, message: str, seconds: float) -> None:
    """Record that an attempt at a chunk has ended without output that counts. Other jobs have no attempts.

    :param message: why, for people.
    :param seconds: how long the worker ran.
    """
    if isinstance(job, PredictJob) and (name := attempt_name(job.ledger, job.result_uri)):
        end = AttemptEnd(
            chunk_id=job.chunk.id,
            ended_at=now(),
            cause=cause,
            message=message,
            told_by="worker",
            seconds=round(seconds, 3),
            job=job.identity.path,
        )
        record(storage, job.ledger, name, end)


@functools.cache
def this_host() -> Host:
    """The host of this process: its name, cores and memory, and its log if ECS tells."""
    told = ecs_container()
    options = told.get("LogOptions") or {}
    log = [options.get(f"awslogs-{part}") for part in ("group", "stream", "region")]
    group, stream, region = (part if isinstance(part, str) else "" for part in log)
    return Host(
        name=str((told.get("Labels") or {}).get("com.amazonaws.ecs.task-arn") or socket.gethostname()),
        cores=cores(),
        memory=memory_limit(),
        log_url=LogStream(group=group, stream=stream, region=region).url if group and stream and region else "",
    )
