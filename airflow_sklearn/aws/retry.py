"""Ending what runs, though the service throttles, or does not know yet what it has just started."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.exceptions import ClientError

_PAUSES = (0.5, 1.0, 1.5)  # seconds; a signal handler of Airflow 3 has 5 in all


def insist(
    call: Callable[[], object],
    *,
    is_throttle: Callable[[ClientError], bool],
    is_forgotten: Callable[[ClientError], bool],
    is_young: bool,
) -> None:
    """Call until it is heard, for some seconds.

    :param is_forgotten: tells the error of a service that does not know what is to be ended.
    :param is_young: it was started just now: what is not known may be known later. Else it has ended long ago.
    :raises ClientError: the call's, when it has not been heard, or is refused.
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
