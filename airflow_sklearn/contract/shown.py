"""Whether values of rows may appear in messages, logs, results and receipts.

One switch holds for a process and all processes that it starts, because messages are made everywhere. Airflow's
configuration (``[airflow_sklearn] show_values``) sets it for tasks, a job for its worker. Standard library only.
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

#: An environment variable of workers. With the value 1 it hides values, whatever a job says.
VARIABLE = "AIRFLOW_SKLEARN_HIDE_VALUES"
NOT_SHOWN = "(not shown: show_values is off)"
_PLACE = re.compile(r"(?:^| )(at (?:byte|row|line|record|offset) [\d,]+(?: of the piece)?)$")
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def values_shown() -> bool:
    """Whether values of rows may be shown now."""
    return os.environ.get(VARIABLE) != "1"


@contextlib.contextmanager
def showing_values(shown: bool) -> Iterator[None]:
    """Hide values within the context unless ``shown`` is true. If they are hidden already, they stay hidden."""
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
    """A row's value as text for a message; a placeholder if values are hidden."""
    return repr(value) if values_shown() else NOT_SHOWN


def shown_text(text: object) -> str:
    """A library's message, which may quote values; a placeholder if values are hidden."""
    return str(text) if values_shown() else NOT_SHOWN


def shown_warning(warning: WarningMessage) -> str:
    """The text of a warning. A library's text is replaced if values are hidden; this package's own warnings hide them
    anyway.
    """
    own = os.path.abspath(warning.filename).startswith(os.path.join(_PACKAGE, ""))
    return str(warning.message) if own else shown_text(warning.message)


def shown_example(example: str) -> str:
    """An example of a problem. If values are hidden, only its place remains; empty if it has none."""
    if values_shown():
        return example
    found = _PLACE.search(example)
    return found[1] if found else ""


def told(error: BaseException, text: str | None = None) -> str:
    """The text of an error. If values are hidden, texts of libraries and of the user's code are replaced.

    :param text: the text; None: the error's own.
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
    """Yield the error and all errors that caused it, also those that its traceback does not show."""
    left, seen = [error], set[int]()
    while left:
        one = left.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            left += [cause for cause in (one.__cause__, one.__context__) if cause is not None]
