from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airflow_sklearn.contract.job_queue import JobEnd, QueueEntry, QueueInstance
from airflow_sklearn.runtimes.ec2.job_queue import CLOSED, JobQueue, ended_slots, last_slot
from airflow_sklearn.storage import Storage


@pytest.fixture
def pool(tmp_path: Path) -> str:
    return f"file://{tmp_path}/pool"


@pytest.fixture
def queue(pool: str) -> JobQueue:
    return JobQueue(Storage(), pool, "000000", 3)


def entry(name: str) -> QueueEntry:
    return QueueEntry(job_uri=f"file:///{name}.json")


def test_a_slot_has_one_job(queue: JobQueue) -> None:
    assert queue.entry(0) is None
    assert queue.take(0, entry("a"))
    assert not queue.take(0, entry("b"))
    assert queue.entry(0) == entry("a")


def test_a_request_that_is_repeated_has_the_slot_that_it_took(queue: JobQueue) -> None:
    assert queue.take(0, entry("a"))
    assert queue.take(0, entry("a")), "the first answer may have been lost"


def test_of_many_who_want_a_slot_one_gets_it(queue: JobQueue) -> None:
    with ThreadPoolExecutor(16) as threads:
        won = list(threads.map(lambda number: queue.take(1, entry(str(number))), range(64)))
    assert sum(won) == 1
    assert queue.entry(1) == entry(str(won.index(True)))


def test_a_closed_queue_keeps_its_jobs_and_takes_no_more(queue: JobQueue) -> None:
    queue.take(1, entry("a"))
    queue.close()
    assert [queue.entry(slot) for slot in range(3)] == [CLOSED, entry("a"), CLOSED]
    assert not queue.take(2, entry("b"))


def test_it_has_one_instance(queue: JobQueue) -> None:
    first, second = (QueueInstance(instance_id=name, launched_at=1.0) for name in ("i-1", "i-2"))
    assert queue.instance() is None
    assert queue.set_instance(first) == first
    assert queue.set_instance(second) == first
    assert queue.instance() == first


def test_a_job_that_is_withdrawn_leaves_the_others(queue: JobQueue) -> None:
    queue.take(0, entry("a"))
    queue.take(1, entry("b"))
    assert queue.withdraw(0)
    assert queue.is_cancelled(0)
    assert not queue.is_cancelled(1)
    assert queue.entry(2) is None, "more may come"


def test_with_its_last_job_a_queue_is_closed(queue: JobQueue) -> None:
    queue.take(0, entry("a"))
    queue.take(1, entry("b"))
    queue.set_end(0, JobEnd(exit_code=0))
    assert not queue.withdraw(1)
    assert queue.entry(2) == CLOSED


def test_a_job_that_has_ended_is_not_withdrawn(queue: JobQueue) -> None:
    queue.take(0, entry("a"))
    queue.set_end(0, JobEnd(exit_code=0))
    assert queue.withdraw(0), "its instance sees for itself what is left to do"
    assert not queue.is_cancelled(0)


def test_one_listing_tells_which_jobs_of_a_pool_have_ended(pool: str, queue: JobQueue) -> None:
    other = JobQueue(Storage(), pool, "000001", 3)
    assert ended_slots(Storage(), pool) == set()
    queue.set_end(2, JobEnd(exit_code=65))
    other.set_end(0, JobEnd(exit_code=0))
    assert ended_slots(Storage(), pool) == {"000000-002", "000001-000"}
    assert queue.end(2) == JobEnd(exit_code=65)
    assert queue.end(1) is None


def test_the_last_slot_of_a_pool_is_found(pool: str, queue: JobQueue) -> None:
    assert last_slot(Storage(), pool) is None
    queue.take(0, entry("a"))
    JobQueue(Storage(), pool, "000010", 3).take(1, entry("b"))
    assert last_slot(Storage(), pool) == (10, 1)
