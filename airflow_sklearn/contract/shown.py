"""Whether values of rows may be shown: in messages, in logs, in results and receipts.

One switch for a process and all that it starts, because messages are made everywhere. Airflow's configuration
(``[airflow_sklearn] show_values``) sets it for tasks, a job for its worker. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

from airflow_sklearn.exceptions import AirflowSklearnError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from warnings import WarningMessage

#: Set to 1 in a worker's environment, it hides values whatever a job says.
VARIABLE = "AIRFLOW_SKLEARN_HIDE_VALUES"
NOT_SHOWN = "(not shown: show_values is off)"
_PLACE = re.compile(r"(?:^| )(at (?:byte|row|line|record|offset) [\d,]+(?: of the piece)?)$")
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def values_shown() -> bool:
    return os.environ.get(VARIABLE) != "1"


@contextlib.contextmanager
def showing_values(shown: bool) -> Iterator[None]:
    """Hide values while the block is open, unless they may be shown. What is hidden already stays so."""
    if shown or not values_shown():
        yield
        return
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before


def shown(value: object) -> str:
    """A value of a row, for a message."""
    return repr(value) if values_shown() else NOT_SHOWN


def shown_text(text: object) -> str:
    """What a library says, which may have values in it."""
    return str(text) if values_shown() else NOT_SHOWN


def shown_warning(warning: WarningMessage) -> str:
    """What a warning says: this package's own, which hide values themselves, always; a library's may quote some."""
    own = os.path.abspath(warning.filename).startswith(os.path.join(_PACKAGE, ""))
    return str(warning.message) if own else shown_text(warning.message)


def shown_example(example: str) -> str:
    """An example of a problem; of one that is hidden, where it is. Empty: nothing is left of it."""
    if values_shown():
        return example
    found = _PLACE.search(example)
    return found[1] if found else ""


def told(error: BaseException, text: str | None = None) -> str:
    """What an error says, without what libraries and the user's code have said of values.

    :param text: default: the error's own.
    """
    text = str(error) if text is None else text
    if values_shown():
        return text
    for cause in _chain(error):
        said = str(cause)
        if isinstance(cause, Exception) and not isinstance(cause, AirflowSklearnError | OSError | ImportError) and said:
            text = text.replace(said, NOT_SHOWN)
    return text


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it came from, also where its traceback does not show it."""
    left, seen = [error], set[int]()
    while left:
        one = left.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            left += [cause for cause in (one.__cause__, one.__context__) if cause is not None]
