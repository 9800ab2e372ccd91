"""Where a job goes: a slot in a job queue, and the record of it by which later attempts find it."""

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
    """URI of the pool that a job belongs to: that of the jobs beside it, of the same Airflow task.

    :param folder: that of the job's document.
    :param kind: what else its instances must have in common.
    """
    who = job.identity
    return join(folder, "pools", content_id([who.dag_id, who.task_id, who.run_id, kind]))


def schedule(
    storage: Storage, pool: str, slots: int, job: Job, job_uri: str, log_stream: str, *, after: str | None = None
) -> Placement:
    """Take the first free slot of a pool.

    :param slots: of each of its job queues. A job queue with one is the job's own.
    :param after: the number of a job queue; only later ones will do.
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
        at += 1  # somebody was faster
    return made.model_copy(update={"number": number, "slot": at % slots})


def record(storage: Storage, key: str, placement: Placement) -> None:
    """Remember a placement beside its job, under the job's key. Of several, the last one comes last."""
    moment, name = int(placement.submitted_at * 1000), content_id([placement.job_uri, placement.number])
    storage.write(join(_records(parent(placement.job_uri), key), f"{moment:014}-{name}.json"), placement.to_json())


def recorded(storage: Storage, folder: str, key: str) -> list[Placement]:
    """All placements of the same work by the same Airflow task, the first one first.

    The records can be forged by whoever can write there. What is done for a placement (reading, marking as cancelled)
    is done in its pool: it must be one of this folder's.

    :param folder: that of the job's documents.
    :raises DocumentError: a record names what is not in the folder.
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
