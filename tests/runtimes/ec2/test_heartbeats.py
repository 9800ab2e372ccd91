"""How long instances have been silent. The clock is the test's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_sklearn.contract.job_queue import Placement
from airflow_sklearn.exceptions import StorageError
from airflow_sklearn.runtimes.ec2 import heartbeats as module
from airflow_sklearn.runtimes.ec2.heartbeats import HeartbeatMonitor
from airflow_sklearn.runtimes.ec2.job_queue import JobQueue
from airflow_sklearn.storage import Storage


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def queue(tmp_path: Path) -> JobQueue:
    return JobQueue(Storage(), f"file://{tmp_path}/pool", "000007", 3)


@pytest.fixture
def look(queue: JobQueue, clock: Clock) -> Callable[..., tuple[float, bool]]:
    """``look(after=10)``: some seconds pass, then somebody looks; how long it was silent, and whether it was heard."""
    monitor = HeartbeatMonitor()

    def look(after: float = 0.0, *, storage: Storage | None = None) -> tuple[float, bool]:
        clock.now += after
        monitor.refresh(storage or Storage(), [queue.pool])
        silence = monitor.silence_of(placement(queue))
        return silence.seconds, silence.heard

    return look


def placement(queue: JobQueue, number: str = "") -> Placement:
    number = number or queue.number
    return Placement(pool=queue.pool, number=number, slot=1, slots=3, job_uri="j", result_uri="r", submitted_at=0.0)


def test_silence_grows_until_there_is_a_new_beat(look: Callable[..., tuple[float, bool]], queue: JobQueue) -> None:
    assert look() == (0.0, False)
    assert look(30) == (30.0, False)
    assert look(60) == (90.0, False)
    queue.beat()
    assert look(30) == (0.0, True)
    assert look(30) == (30.0, True)
    queue.beat()
    assert look(30) == (0.0, True)


def test_the_beats_are_listed_once_in_a_while_only(look: Callable[..., tuple[float, bool]], queue: JobQueue) -> None:
    look()
    look(30)
    queue.beat()
    assert look(10) == (30.0, False), "it was listed 10 s ago"
    assert look(20) == (0.0, True)


def test_while_nobody_could_look_nobody_was_silent(look: Callable[..., tuple[float, bool]]) -> None:
    """Storage was out of reach, for the instance perhaps too: it has not had the time to beat again."""

    def fails(_: str) -> list[object]:
        raise StorageError("503")

    look()
    for _ in range(100):
        assert look(30, storage=SimpleNamespace(list=fails)) == (0.0, False)  # type: ignore[arg-type]
    assert look(30) == (120.0, False)


def test_a_beat_that_somebody_removed_is_no_new_one(
    look: Callable[..., tuple[float, bool]], queue: JobQueue, tmp_path: Path
) -> None:
    queue.beat()
    look()
    assert look(30) == (0.0, True)
    (tmp_path / "pool" / "beats" / queue.number).unlink()
    assert look(30) == (30.0, True)


def test_instances_are_told_apart(queue: JobQueue, clock: Clock) -> None:
    monitor, other = HeartbeatMonitor(), placement(queue, "000008")
    monitor.silence_of(placement(queue)), monitor.silence_of(other)
    for _ in range(3):
        queue.beat()
        monitor.refresh(Storage(), [queue.pool])
        clock.now += 30
    assert (monitor.silence_of(placement(queue)).seconds, monitor.silence_of(other).seconds) == (0.0, 60.0)


def test_what_nobody_asks_for_any_more_is_forgotten(queue: JobQueue, clock: Clock) -> None:
    monitor = HeartbeatMonitor()
    for number in range(100):
        monitor.silence_of(placement(queue, f"{number:06}"))
        monitor.refresh(Storage(), [queue.pool])
        clock.now += 600
    assert len(monitor._silences) <= 7
    monitor.refresh(Storage(), ["file:///another/pool"])
    clock.now += 7200
    monitor.refresh(Storage(), ["file:///another/pool"])
    assert list(monitor._refreshed) == ["file:///another/pool"]
