from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from airflow_sklearn.system.retry import retry, retry_async


def failing(times: int, error: type[Exception] = OSError) -> Callable[[], int]:
    """A call that fails so often, and then returns how often it was made."""
    calls = []

    def call() -> int:
        calls.append(1)
        if len(calls) <= times:
            raise error(str(len(calls)))
        return len(calls)

    return call


def test_a_call_is_made_again_until_it_succeeds() -> None:
    assert retry(failing(2), (0, 0, 0)) == 3


def test_the_last_error_is_raised_when_no_pause_is_left() -> None:
    with pytest.raises(OSError, match="3"):
        retry(failing(9), (0, 0))


def test_other_errors_are_raised_at_once() -> None:
    with pytest.raises(KeyError, match="1"):
        retry(failing(9, KeyError), (0, 0), on=lambda error: isinstance(error, OSError))


def test_who_asks_is_told_of_each_error_and_the_pause_after_it() -> None:
    told: list[tuple[str, float]] = []
    retry(failing(2), (0.01, 0.02), on_retry=lambda error, pause: told.append((str(error), pause)))
    assert told == [("1", 0.01), ("2", 0.02)]


def test_pauses_may_have_no_end() -> None:
    assert retry(failing(20), iter(float, 1.0)) == 21


def test_nothing_is_tried_again_when_it_is_to_stop() -> None:
    stop = threading.Event()
    with pytest.raises(OSError, match="1"):
        retry(failing(9), (600,), on_retry=lambda error, pause: stop.set(), stop=stop)


def test_an_event_loop_waits_alike() -> None:
    def coroutine(call: Callable[[], int]) -> Callable[[], object]:
        async def made() -> int:
            return call()

        return made

    assert asyncio.run(retry_async(coroutine(failing(2)), (0, 0))) == 3  # type: ignore[arg-type]
    with pytest.raises(OSError, match="3"):
        asyncio.run(retry_async(coroutine(failing(9)), (0, 0)))  # type: ignore[arg-type]
