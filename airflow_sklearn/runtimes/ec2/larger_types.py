"""Choosing a larger instance type for a job that ran out of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.runtimes.base import job_key
from airflow_sklearn.runtimes.ec2.job_queue import queue_of
from airflow_sklearn.runtimes.ec2.scheduling import recorded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.jobs import Job
    from airflow_sklearn.storage import Storage


def count_oom_attempts(storage: Storage, job: Job, folder: str) -> int:
    """How many earlier attempts at a job ran out of memory.

    :param folder: the folder of the job's document.
    """
    if job.identity.try_number == 1:
        return 0
    placements = recorded(storage, folder, job_key(job))
    ends = [queue_of(storage, placement).end(placement.slot) for placement in placements]
    return sum(end.out_of_memory for end in ends if end)


def type_after(oom_attempts: int, larger: Sequence[str]) -> str | None:
    """The instance type of the next attempt; None: one of the types for the first attempt.

    If the largest type was not enough, the next attempt gets it again, because its data may have changed.

    :param oom_attempts: how many attempts ran out of memory.
    :param larger: instance types with more and more memory.
    """
    return larger[min(oom_attempts, len(larger)) - 1] if oom_attempts and larger else None


def next_type(oom_attempts: int, larger: Sequence[str]) -> str | None:
    """The instance type of the next attempt if this one runs out of memory too; None: there is no larger one.

    :param oom_attempts: how many attempts ran out of memory so far.
    :param larger: instance types with more and more memory.
    """
    return type_after(oom_attempts + 1, larger) if oom_attempts < len(larger) else None
