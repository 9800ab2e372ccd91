"""Repeating a call that ends something, while the service throttles or does not know yet what was just started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.aws.errors import Kind, classify, is_passing
from airflow_sklearn.system.retry import retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_sklearn.aws.errors import Table

_PAUSES = (0.5, 1.0, 1.5)  # seconds; less than the 5 that Airflow 3 gives a task's on_kill in all


def retry_ending(call: Callable[[], object], own: Table, *, is_young: bool) -> None:
    """Repeat a call that stops or cancels something until the service accepts it, for about 3 seconds.

    :param call: the call to AWS.
    :param own: the service's table of errors.
    :param is_young: whether the thing was started just now, so that the service may know it a moment later. If not, an
        unknown thing has ended long ago, and the call counts as accepted.
    :raises Exception: the last call's error, or one that a repetition cannot help.
    """

    def is_unknown(error: Exception) -> bool:
        return classify(error, own) is Kind.NOT_FOUND

    try:
        retry(call, _PAUSES, on=lambda error: is_passing(error, own) or (is_young and is_unknown(error)))
    except Exception as error:
        if is_young or not is_unknown(error):
            raise
