from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Sequence

import pytest
from pydantic import JsonValue

from airflow_sklearn.runtimes import poller as module
from airflow_sklearn.runtimes.base import JobHandle, JobState, JobStatus
from airflow_sklearn.runtimes.poller import SharedPoller, backoff


def handle(number: int) -> JobHandle:
    return JobHandle(key=str(number), job_uri=f"job-{number}", result_uri="", submitted_at=0.0)


class Place:
    """Where jobs run for a given number of polls."""

    def __init__(self, polls: int = 3, fail_first: int = 0) -> None:
        self.polls, self.fail_first = polls, fail_first
        self.calls: list[int] = []
        self.read: list[str] = []
        self.broken_logs = False

    async def logs(self, handle: JobHandle, cursor: JsonValue) -> tuple[list[str], JsonValue]:
        self.read.append(handle.key)
        if self.broken_logs:
            raise OSError("503")
        line = int(cursor or 0)  # type: ignore[arg-type]
        return [f"line {line}"], line + 1

    async def poll(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        self.calls.append(len(handles))
        if len(self.calls) <= self.fail_first:
            raise OSError("throttled")
        ended = len(self.calls) - self.fail_first >= self.polls
        return [JobStatus(state=JobState.SUCCEEDED if ended else JobState.RUNNING, message=h.job_uri) for h in handles]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHERING", 0.02)


async def statuses(poller: SharedPoller, number: int, interval: float = 0.01) -> list[JobStatus]:
    return [sighting.status async for sighting in poller.watch(handle(number), interval) if sighting.status]


def test_many_watchers_share_one_call_a_tick() -> None:
    place = Place(polls=3)

    async def run() -> list[list[JobStatus]]:
        pollers = [SharedPoller.shared("key", place.poll, place.logs) for _ in range(500)]
        return await asyncio.gather(*(statuses(poller, number) for number, poller in enumerate(pollers)))

    seen = asyncio.run(run())
    assert place.calls == [500, 500, 500]
    assert [s[-1].message for s in seen] == [f"job-{number}" for number in range(500)]
    assert all([status.state for status in s] == ["running", "running", "succeeded"] for s in seen)


def test_other_keys_and_other_loops_have_pollers_of_their_own() -> None:
    async def two_keys() -> list[SharedPoller]:
        return [SharedPoller.shared(key, Place().poll, Place().logs) for key in ("a", "b", "a")]

    a, b, again = asyncio.run(two_keys())
    assert a is again
    assert a is not b
    assert asyncio.run(two_keys())[0] is not a


def test_a_poller_that_nobody_watches_any_more_ends_and_can_be_made_again() -> None:
    async def run() -> None:
        pollers = SharedPoller._pollers.setdefault(asyncio.get_running_loop(), {})
        first = SharedPoller.shared("key", Place(polls=1).poll, Place().logs)
        await asyncio.gather(statuses(first, 1), statuses(first, 2))
        assert pollers == {}
        assert first._task is not None
        async with asyncio.timeout(4.0):
            await first._task
        second = SharedPoller.shared("key", Place(polls=1).poll, Place().logs)
        assert second is not first
        assert [status.state for status in await statuses(second, 3)] == ["succeeded"]

    asyncio.run(run())


def test_a_watcher_that_is_cancelled_takes_the_poller_with_it_if_it_was_the_last() -> None:
    async def run() -> dict[str, SharedPoller]:
        place = Place(polls=10**6)
        watcher = asyncio.create_task(statuses(SharedPoller.shared("key", place.poll, place.logs), 1))
        while not place.calls:
            await asyncio.sleep(0.01)
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
        return SharedPoller._pollers[asyncio.get_running_loop()]

    assert asyncio.run(run()) == {}


def test_the_interval_is_the_smallest_of_those_who_watch_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """One impatient task must not speed up a cluster's polling for good."""
    pauses: list[float] = []

    def noted(interval: float, failures: int) -> float:
        pauses.append(interval)
        return 0.0

    monkeypatch.setattr(module, "backoff", noted)

    class Ending(Place):
        async def poll(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
            states = await super().poll(handles)
            ended = JobStatus(state=JobState.SUCCEEDED)
            over = len(self.calls) > 1
            return [ended if over and one.key == "1" else s for one, s in zip(handles, states, strict=True)]

    place = Ending(polls=4)

    async def run() -> None:
        poller = SharedPoller(place.poll, place.logs)
        await asyncio.gather(statuses(poller, 1, 0.5), statuses(poller, 2, 30.0), statuses(poller, 3, 10.0))

    asyncio.run(run())
    assert place.calls == [3, 3, 2, 2]
    assert (pauses[0], pauses[2]) == (0.5, 10.0)


def test_failed_polls_are_repeated() -> None:
    place = Place(polls=1, fail_first=3)
    seen = asyncio.run(statuses(SharedPoller(place.poll, place.logs), 1))
    assert [status.state for status in seen] == ["succeeded"]
    assert len(place.calls) == 4


def test_a_place_that_cannot_be_reached_for_long_is_told_to_every_watcher() -> None:
    place = Place(fail_first=10**6)

    async def run() -> list[BaseException | list[JobStatus]]:
        poller = SharedPoller(place.poll, place.logs, give_up_after=0.05)
        return await asyncio.gather(statuses(poller, 1), statuses(poller, 2), return_exceptions=True)

    assert [str(error) for error in asyncio.run(run())] == ["throttled", "throttled"]


def test_a_watcher_that_is_cancelled_leaves_the_others() -> None:
    place = Place(polls=5)

    async def run() -> list[JobStatus]:
        poller = SharedPoller(place.poll, place.logs)
        leaving = asyncio.create_task(statuses(poller, 1))
        staying = asyncio.create_task(statuses(poller, 2))
        while not place.calls:
            await asyncio.sleep(0.01)
        leaving.cancel()
        return await staying

    assert asyncio.run(run())[-1].state is JobState.SUCCEEDED
    assert place.calls[0] == 2
    assert place.calls[-1] == 1


def test_polling_stops_when_nobody_watches_and_starts_again() -> None:
    place = Place(polls=2)

    async def run() -> int:
        poller = SharedPoller(place.poll, place.logs)
        await statuses(poller, 1)
        calls = len(place.calls)
        await asyncio.sleep(0.1)
        assert len(place.calls) == calls
        await statuses(poller, 2)
        return len(place.calls)

    assert asyncio.run(run()) == 3


def test_the_pause_doubles_with_each_failure_up_to_a_limit() -> None:
    pauses = [backoff(10.0, failures) for failures in range(10)]
    assert 8.0 <= pauses[0] <= 12.0
    assert 16.0 <= pauses[1] <= 24.0
    assert max(pauses) <= 144.0


def test_a_running_jobs_log_is_followed_line_by_line() -> None:
    async def run() -> list[str]:
        place = Place(polls=4)
        watched = SharedPoller(place.poll, place.logs).watch(handle(1), 0.01)
        return [line async for sighting in watched for line in sighting.lines]

    assert asyncio.run(run()) == ["line 0", "line 1", "line 2"]


def test_many_jobs_logs_are_read_in_turn_a_few_a_tick() -> None:
    place = Place(polls=6)

    async def run() -> None:
        poller = SharedPoller(place.poll, place.logs)
        await asyncio.gather(*(statuses(poller, number) for number in range(100)))

    asyncio.run(run())
    assert len(place.read) == 5 * module.LOGS_A_TICK
    assert len(set(place.read)) == len(place.read), "none is read twice before all the others"


def test_a_log_that_cannot_be_read_stops_nothing() -> None:
    place = Place(polls=3)
    place.broken_logs = True
    seen = asyncio.run(statuses(SharedPoller(place.poll, place.logs), 1))
    assert [status.state for status in seen] == ["running", "running", "succeeded"]
    assert len(place.read) == 2


def test_what_one_poll_could_not_see_is_no_news() -> None:
    class Flickering(Place):
        async def poll(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
            states = await super().poll(handles)
            return [JobStatus(state=JobState.UNKNOWN)] if len(self.calls) == 2 else states

    place = Flickering(polls=3)
    seen = asyncio.run(statuses(SharedPoller(place.poll, place.logs), 1))
    assert [status.state for status in seen] == ["running", "succeeded"]


def watch_at_most(seconds: float, poller: SharedPoller, count: int = 1) -> list[list[JobStatus] | BaseException]:
    """What so many watchers get; an error if one of them still waits after a while."""

    async def run() -> list[list[JobStatus] | BaseException]:
        async with asyncio.timeout(seconds):
            return await asyncio.gather(*(statuses(poller, n) for n in range(count)), return_exceptions=True)

    return asyncio.run(run())


def test_a_poll_that_never_comes_back_is_a_failed_one() -> None:
    place, forever = Place(polls=1), threading.Event()

    async def poll(handles: Sequence[JobHandle]) -> list[JobStatus]:
        if not place.calls:
            place.calls.append(0)
            await asyncio.get_running_loop().run_in_executor(None, forever.wait, 5.0)
        return await place.poll(handles)

    try:
        (seen,) = watch_at_most(4.0, SharedPoller(poll, place.logs, longest_call=0.05))
    finally:
        forever.set()
    assert [status.state for status in seen] == ["succeeded"]  # type: ignore[union-attr]


def test_a_log_that_never_comes_back_keeps_no_poll_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_LOG", 0.05)

    async def logs(*_: object) -> tuple[list[str], JsonValue]:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    (seen,) = watch_at_most(4.0, SharedPoller(Place(polls=3).poll, logs))
    assert [status.state for status in seen] == ["running", "running", "succeeded"]  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", [asyncio.CancelledError, concurrent.futures.CancelledError])
def test_a_call_that_somebody_cancels_is_a_failed_one_and_the_polling_goes_on(kind: type[BaseException]) -> None:
    """Airflow's own calls in the thread are cancelled when their answer will not come."""
    place = Place(polls=2)

    def cancelled() -> None:
        raise kind

    async def poll(handles: Sequence[JobHandle]) -> list[JobStatus]:
        answer = await place.poll(handles)
        if len(place.calls) == 1:
            await asyncio.get_running_loop().run_in_executor(None, cancelled)
        return answer

    (seen,) = watch_at_most(4.0, SharedPoller(poll, place.logs))
    assert [status.state for status in seen] == ["succeeded"]  # type: ignore[union-attr]


def test_when_the_polling_ends_of_itself_nobody_goes_on_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> float:
        raise ZeroDivisionError("a fault in the poller")

    monkeypatch.setattr(module, "backoff", broken)
    errors = watch_at_most(4.0, SharedPoller(Place().poll, Place().logs), count=3)
    assert [repr(error) for error in errors] == ["ZeroDivisionError('a fault in the poller')"] * 3


def test_when_the_polling_is_cancelled_nobody_goes_on_waiting() -> None:
    async def run() -> str:
        poller = SharedPoller(Place(polls=10**6).poll, Place().logs)
        watcher = asyncio.create_task(statuses(poller, 1))
        await asyncio.sleep(0.05)
        assert poller._task is not None
        poller._task.cancel()
        async with asyncio.timeout(4.0):
            with pytest.raises(RuntimeError) as error:
                await watcher
        return str(error.value)

    assert "was ended" in asyncio.run(run())


def test_a_job_that_polls_do_not_see_for_long_is_lost_and_the_others_are_not() -> None:
    class Blind(Place):
        async def poll(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
            unseen = JobStatus(state=JobState.UNKNOWN, message="Its record cannot be read.")
            states = await super().poll(handles)
            return [unseen if one.key == "1" else state for one, state in zip(handles, states, strict=True)]

    began = time.monotonic()
    place = Blind(polls=12)
    seen, unseen = watch_at_most(4.0, SharedPoller(place.poll, place.logs, give_up_after=0.1), count=2)
    assert time.monotonic() - began >= 0.1
    assert seen[-1].state is JobState.SUCCEEDED  # type: ignore[index]
    assert [status.state for status in unseen] == ["lost"]  # type: ignore[union-attr]
    assert unseen[0].message == "The job has not been seen for 0 s. Its record cannot be read."  # type: ignore[index]
