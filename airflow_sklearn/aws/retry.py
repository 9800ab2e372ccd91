"""Repeating a call that ends something, while the service throttles or does not know yet what was just started."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.exceptions import ClientError

_PAUSES = (0.5, 1.0, 1.5)  # seconds; less than the 5 that Airflow 3 gives a task's on_kill in all


def insist(
    call: Callable[[], object],
    *,
    is_throttle: Callable[[ClientError], bool],
    is_forgotten: Callable[[ClientError], bool],
    is_young: bool,
) -> None:
    """Repeat a call that stops or cancels something until the service accepts it, for about 3 seconds.

    :param call: the call to AWS.
    :param is_throttle: whether an error says that there were too many calls.
    :param is_forgotten: whether an error says that the service does not know the thing to end.
    :param is_young: whether the thing was started just now, so that the service may know it a moment later. If not, an
        unknown thing has ended long ago, and the call counts as accepted.
    :raises ClientError: the last call's error, or one that a repetition cannot help.
    """
    from botocore.exceptions import ClientError

    for pause in (*_PAUSES, None):
        try:
            call()
            return
        except ClientError as error:
            if is_forgotten(error) and not is_young:
                return
            if pause is None or not (is_forgotten(error) or is_throttle(error)):
                raise
        time.sleep(pause)
