"""Calling again what may succeed the next time: the one loop over pauses, for threads and for event loops."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import threading
    from collections.abc import Awaitable, Callable, Iterable

T = TypeVar("T")


def retry(
    call: Callable[[], T],
    pauses: Iterable[float],
    *,
    on: Callable[[Exception], bool] = lambda error: True,
    on_retry: Callable[[Exception, float], object] = lambda error, pause: None,
    stop: threading.Event | None = None,
) -> T:
    """What a call returns, in the end.

    :param pauses: seconds between attempts; there is one attempt more than pauses.
    :param on: which errors may pass. Others are raised at once.
    :param on_retry: told of an error and of the pause before the next attempt, such as to log them.
    :param stop: when it is set, nothing is tried again.
    :raises Exception: that of the last attempt.
    """
    left = iter(pauses)
    while True:
        try:
            return call()
        except Exception as error:
            if not on(error) or (pause := next(left, None)) is None:
                raise
            on_retry(error, pause)
            if stop is None:
                time.sleep(pause)
            elif stop.wait(pause):
                raise


async def retry_async(
    call: Callable[[], Awaitable[T]],
    pauses: Iterable[float],
    *,
    on_retry: Callable[[Exception, float], object] = lambda error, pause: None,
) -> T:
    """``retry`` in an event loop, on any error."""
    left = iter(pauses)
    while True:
        try:
            return await call()
        except Exception as error:
            if (pause := next(left, None)) is None:
                raise
            on_retry(error, pause)
            await asyncio.sleep(pause)
