"""Placing a job into a slot of a job queue, and recording it for later attempts."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from airflow_sklearn.contract.document import content_id
from airflow_sklearn.contract.job_queue import Placement, QueueEntry
from airflow_sklearn.exceptions import DocumentError, ObjectNotFoundError
from airflow_sklearn.runtimes.ec2.job_queue import JobQueue, last_slot
from airflow_sklearn.storage import join, parent

if TYPE_CHECKING:
    from airflow_sklearn.contract.jobs import Job
    from airflow_sklearn.storage import Storage

_NAME = re.compile(r"[0-9a-f]{6,16}")  # of pools and of job queues


def pool_of(job: Job, folder: str, kind: str) -> str:
    """The URI of a job's pool, which it shares with other jobs of the same Airflow task.

    :param folder: the folder of the job's document.
    :param kind: identifies what the pool's instances have in common.
    """
    who = job.identity
    return join(folder, "pools", content_id([who.dag_id, who.task_id, who.run_id, kind]))


def schedule(
    storage: Storage, pool: str, slots: int, job: Job, job_uri: str, log_stream: str, *, after: str | None = None
) -> Placement:
    """Take the first free slot of a pool.

    :param storage: where the pool is.
    :param pool: the pool's URI.
    :param slots: the number of slots in each job queue. With one, the job gets a queue of its own.
    :param job: the job.
    :param job_uri: the job's URI.
    :param log_stream: the job's log stream.
    :param after: only queues with a higher number are tried; None: all.
    """
    entry = QueueEntry(job_uri=job_uri, log_stream=log_stream)
    made = Placement(
        pool=pool,
        number=content_id([job_uri, after]),
        slot=0,
        slots=slots,
        job_uri=job_uri,
        result_uri=job.result_uri,
        submitted_at=time.time(),
    )
    if slots == 1:
        JobQueue(storage, pool, made.number, slots).take(0, entry)
        return made
    last = last_slot(storage, pool)
    at = 0 if last is None else last[0] * slots + last[1] + 1
    at = max(at, 0 if after is None else (int(after) + 1) * slots)
    while not JobQueue(storage, pool, number := f"{at // slots:06}", slots).take(at % slots, entry):
        at += 1  # another process was first
    return made.model_copy(update={"number": number, "slot": at % slots})


def record(storage: Storage, key: str, placement: Placement) -> None:
    """Store a placement beside its job, under the job's key. Names are ordered by time."""
    moment, name = int(placement.submitted_at * 1000), content_id([placement.job_uri, placement.number])
    storage.write(join(_records(parent(placement.job_uri), key), f"{moment:014}-{name}.json"), placement.to_json())


def recorded(storage: Storage, folder: str, key: str) -> list[Placement]:
    """All placements of the same work by the same Airflow task, the first one first.

    Whoever can write to the folder can forge records. Reading and cancelling takes place in the pool that a record
    names: it must be a pool of this folder.

    :param storage: where the records are.
    :param folder: the folder of the job's documents.
    :param key: the job's ``job_key``.
    :raises DocumentError: a record names a pool outside of the folder.
    """
    found = []
    for one in storage.list(f"{_records(folder, key)}/"):
        try:
            placement = Placement.from_json(storage.read(one.uri), where=one.uri)
        except ObjectNotFoundError:  # removed since
            continue
        if not _is_own(placement, folder):
            raise DocumentError(
                f"The record of a placement names a job or a pool that is not in {folder}: somebody else has written "
                f"it. Fix: find out who can write there, and remove it. ({one.uri})"
            )
        found.append(placement)
    return found


def _is_own(placement: Placement, folder: str) -> bool:
    pools, _, pool = placement.pool.rpartition("/")
    return (
        pools == join(folder, "pools")
        and _NAME.fullmatch(pool) is not None
        and _NAME.fullmatch(placement.number) is not None
        and parent(placement.job_uri) == folder
        and (not placement.result_uri or parent(placement.result_uri) == folder)
    )


def _records(folder: str, key: str) -> str:
    return join(folder, "placements", key)
