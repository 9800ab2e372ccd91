"""Repeating calls that may succeed the next time: the one loop over pauses, for threads and for event loops."""

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
    """Call a function, and repeat it after errors that may pass.

    :param call: the function.
    :param pauses: seconds between attempts. There is one attempt more than pauses.
    :param on: whether an error may pass. Other errors are raised at once.
    :param on_retry: called with an error and the seconds before the next attempt, for example to log them.
    :param stop: once it is set, there are no further attempts; None: it never is.
    :return: the result of the successful attempt.
    :raises Exception: the error of the last attempt.
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
    """Like ``retry`` for a coroutine, after any error.

    :param call: returns an awaitable.
    :param pauses: seconds between attempts.
    :param on_retry: called with an error and the seconds before the next attempt.
    :return: the result of the successful attempt.
    :raises Exception: the error of the last attempt.
    """
    left = iter(pauses)
    while True:
        try:
            return await call()
        except Exception as error:
            if (pause := next(left, None)) is None:
                raise
            on_retry(error, pause)
            await asyncio.sleep(pause)
