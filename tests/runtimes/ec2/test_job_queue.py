from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airflow_sklearn.contract.job_queue import JobEnd, RosterEntry, RosterInstance
from airflow_sklearn.runtimes.ec2.job_queue import CLOSED, Roster, ended_places, last_place
from airflow_sklearn.storage import Storage


@pytest.fixture
def pool(tmp_path: Path) -> str:
    return f"file://{tmp_path}/pool"


@pytest.fixture
def roster(pool: str) -> Roster:
    return Roster(Storage(), pool, "000000", 3)


def entry(name: str) -> RosterEntry:
    return RosterEntry(job_uri=f"file:///{name}.json")


def test_a_place_has_one_job(roster: Roster) -> None:
    assert roster.entry(0) is None
    assert roster.take(0, entry("a"))
    assert not roster.take(0, entry("b"))
    assert roster.entry(0) == entry("a")


def test_a_request_that_is_repeated_has_the_place_that_it_took(roster: Roster) -> None:
    assert roster.take(0, entry("a"))
    assert roster.take(0, entry("a")), "the first answer may have been lost"


def test_of_many_who_want_a_place_one_gets_it(roster: Roster) -> None:
    with ThreadPoolExecutor(16) as threads:
        won = list(threads.map(lambda number: roster.take(1, entry(str(number))), range(64)))
    assert sum(won) == 1
    assert roster.entry(1) == entry(str(won.index(True)))


def test_a_closed_roster_keeps_its_jobs_and_takes_no_more(roster: Roster) -> None:
    roster.take(1, entry("a"))
    roster.close()
    assert [roster.entry(place) for place in range(3)] == [CLOSED, entry("a"), CLOSED]
    assert not roster.take(2, entry("b"))


def test_it_has_one_instance(roster: Roster) -> None:
    first, second = (RosterInstance(instance_id=name, launched_at=1.0) for name in ("i-1", "i-2"))
    assert roster.instance() is None
    assert roster.set_instance(first) == first
    assert roster.set_instance(second) == first
    assert roster.instance() == first


def test_a_job_that_is_withdrawn_leaves_the_others(roster: Roster) -> None:
    roster.take(0, entry("a"))
    roster.take(1, entry("b"))
    assert roster.withdraw(0)
    assert roster.is_cancelled(0)
    assert not roster.is_cancelled(1)
    assert roster.entry(2) is None, "more may come"


def test_with_its_last_job_a_roster_is_closed(roster: Roster) -> None:
    roster.take(0, entry("a"))
    roster.take(1, entry("b"))
    roster.set_end(0, JobEnd(exit_code=0))
    assert not roster.withdraw(1)
    assert roster.entry(2) == CLOSED


def test_a_job_that_has_ended_is_not_withdrawn(roster: Roster) -> None:
    roster.take(0, entry("a"))
    roster.set_end(0, JobEnd(exit_code=0))
    assert roster.withdraw(0), "its instance sees for itself what is left to do"
    assert not roster.is_cancelled(0)


def test_one_listing_tells_which_jobs_of_a_pool_have_ended(pool: str, roster: Roster) -> None:
    other = Roster(Storage(), pool, "000001", 3)
    assert ended_places(Storage(), pool) == set()
    roster.set_end(2, JobEnd(exit_code=65))
    other.set_end(0, JobEnd(exit_code=0))
    assert ended_places(Storage(), pool) == {"000000-002", "000001-000"}
    assert roster.end(2) == JobEnd(exit_code=65)
    assert roster.end(1) is None


def test_the_last_place_of_a_pool_is_found(pool: str, roster: Roster) -> None:
    assert last_place(Storage(), pool) is None
    roster.take(0, entry("a"))
    Roster(Storage(), pool, "000010", 3).take(1, entry("b"))
    assert last_place(Storage(), pool) == (10, 1)
