"""When containers are asked for, looked at and given up: with a runtime that says what a cloud would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_sklearn.contract.jobs import Job, PoolWorkerJob
from airflow_sklearn.exceptions import NoCapacityError, PoolError, ThrottledError
from airflow_sklearn.pool.driver import fleet as fleets
from airflow_sklearn.pool.driver.fleet import Fleet
from airflow_sklearn.runtimes.base import JobHandle, JobState, JobStatus, Runtime

RUNNING = JobStatus(state=JobState.RUNNING)


@dataclass
class Cloud(Runtime):
    """:param answers: to requests, in their order: an error, or None for a container."""

    capacity_timeout: float = 0.0
    answers: list[Exception | None] = field(default_factory=list)
    asked: list[tuple[str, int]] = field(default_factory=list)
    status: JobStatus = RUNNING
    polls: list[Exception | None] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def submit(self, job_uri: str, job: Job, *, survives_parent: bool, capacity_refusals: int = 0) -> JobHandle:
        self.asked.append((job_uri, capacity_refusals))
        if self.answers and (error := self.answers.pop(0)):
            raise error
        return JobHandle(key="key", job_uri=job_uri, result_uri="", submitted_at=0.0)

    def poll(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        if self.polls and (error := self.polls.pop(0)):
            raise error
        return [self.status] * len(handles)

    def cancel(self, handle: JobHandle) -> None:
        self.cancelled.append(handle.job_uri)

    def logs(self, handle: JobHandle, cursor: Any = None) -> tuple[list[str], Any]:
        return ["its last words"], cursor

    def find(self, job: Job) -> JobHandle | None:
        return None

    def software_fingerprint(self, module: str = "") -> str:
        return ""


def fleet_of(cloud: Cloud) -> Fleet:
    job: Any = PoolWorkerJob.model_construct()
    return Fleet(cloud, lambda worker, starts, losses: (f"{worker}-{starts}", job))


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleets, "backoff", lambda interval, failures: 0.0)


def test_a_throttled_request_is_repeated_as_it_was() -> None:
    """Else two containers of one worker may start, of which one is never stopped."""
    cloud = Cloud(capacity_timeout=60, answers=[NoCapacityError("full"), ThrottledError("slow down")])
    fleet = fleet_of(cloud)
    for _ in range(3):
        fleet.grow(1)
    assert cloud.asked == [("0-0", 0), ("0-0", 1), ("0-0", 1)]
    assert len(fleet) == 1


def test_a_throttle_is_no_want_of_room() -> None:
    cloud = Cloud(answers=[ThrottledError("slow down")] * 5)
    fleet = fleet_of(cloud)
    for _ in range(6):
        fleet.grow(1)
    assert [refused for _, refused in cloud.asked] == [0] * 6


def test_containers_that_are_accepted_and_find_no_room_are_given_up() -> None:
    cloud = Cloud(status=JobStatus(state=JobState.NO_CAPACITY, message="nothing is free"))
    fleet = fleet_of(cloud)
    fleet.grow(1)
    fleet.look()
    fleet.grow(1)
    with pytest.raises(PoolError, match=r"no room for a container.*nothing is free"):
        fleet.look()
    assert [refused for _, refused in cloud.asked] == [0, 1]


def test_a_container_that_is_ready_has_found_room() -> None:
    cloud = Cloud(capacity_timeout=60, answers=[NoCapacityError("full")])
    fleet = fleet_of(cloud)
    fleet.grow(1)
    fleet.grow(1)
    fleet.ready("0")
    fleet.grow(2)
    assert [refused for _, refused in cloud.asked] == [0, 1, 0]


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.SUCCEEDED])
def test_containers_that_end_before_they_are_ready_are_given_up(state: JobState) -> None:
    fleet = fleet_of(Cloud(status=JobStatus(state=state, message="it has ended")))

    def start_three() -> None:
        for _ in range(3):
            fleet.grow(1)
            fleet.look(has_work=True)

    with pytest.raises(PoolError, match=r"(?s)3 containers .* before they took a task.*it has ended.*its last words"):
        start_three()


def test_a_container_whose_image_is_older_than_the_driver_is_one_too_many() -> None:
    cloud = Cloud()
    fleet = fleet_of(cloud)
    fleet.grow(1)
    cloud.status = JobStatus(state=JobState.FAILED, exit_code=2)
    with pytest.raises(PoolError, match="upgrade the image"):
        fleet.look()


def test_containers_that_had_nothing_to_do_may_end() -> None:
    fleet = fleet_of(Cloud(status=JobStatus(state=JobState.SUCCEEDED)))
    for _ in range(20):
        fleet.grow(1)
        fleet.look(has_work=False)
    for _ in range(20):
        fleet.grow(1)
        fleet.ready("0")
        fleet.look(has_work=True)


def test_a_pool_that_had_no_container_for_long_bears_a_failed_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(fleets.time, "monotonic", lambda: now[0])
    cloud = Cloud(polls=[ConnectionError("gone for a moment")])
    fleet = fleet_of(cloud)
    now[0] += 10_000
    fleet.look()
    fleet.grow(1)
    fleet.look()
    assert len(fleet) == 1


def test_all_containers_are_stopped() -> None:
    cloud = Cloud()
    fleet = fleet_of(cloud)
    fleet.grow(30)
    cloud.status = JobStatus(state=JobState.CANCELLED)
    fleet.stop()
    fleet.wait()
    assert sorted(cloud.cancelled) == sorted(uri for uri, _ in cloud.asked)
    fleet.grow(31)
    assert len(cloud.asked) == 30


def test_what_several_threads_count_is_counted_under_a_lock() -> None:
    fleet, held = fleet_of(Cloud()), []

    class Watched(Counter[str]):
        def __setitem__(self, worker: str, count: int) -> None:
            held.append(fleet._lock.locked())
            super().__setitem__(worker, count)

    fleet._starts = Watched()
    fleet.grow(16)
    assert fleet.started == 16
    assert held == [True] * 16
