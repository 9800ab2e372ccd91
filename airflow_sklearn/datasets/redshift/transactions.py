"""The common part of both ways to the database: session settings, recognising conflicts, and repeating transactions."""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from typing import TYPE_CHECKING

from airflow_sklearn.datasets.redshift.sql import parameter_names, quoted
from airflow_sklearn.exceptions import RedshiftError, SerializationConflictError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_sklearn.datasets.redshift.database import Statement

log = logging.getLogger(__name__)

#: The number of attempts at a transaction that conflicts with others.
TRIES = 8

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 20.0
_LONGEST_TAG = 320
_SHOWN = 500
_CANCEL_SECONDS = 10.0
#: Sources: "Serializable isolation" and "Managing concurrent write operations" in the Redshift developer guide, and
#: PostgreSQL's codes. 1018 is a table that another transaction made anew after this one had begun.
_CONFLICT = re.compile(
    r"serializable isolation violation|could not serialize|conflict with concurrent transaction|deadlock detected"
    r"|could not open relation with oid|(^|ERROR:\s*)10(18|23)\b",
    re.IGNORECASE,
)
_SQLSTATE_LENGTH = 5
_CONFLICT_STATES = ("40001", "40P01")
#: Messages of errors that a retry would meet again, with the SQLSTATE class of each.
_CLASSES = {
    "3F": re.compile(r'schema "[^"]*" does not exist', re.IGNORECASE),
    "42": re.compile(
        r'(relation|table|view|type|language|user|role|group) ".*" (does not exist|already exists)'
        r"|(column|function|operator) .*does not exist"
        r"|permission denied for|must be owner of|syntax error (at|in)\b|column reference .* is ambiguous"
        r"|cannot cast type|column .* is of type .* but expression is of type",
        re.IGNORECASE,
    ),
    "0A": re.compile(r".* (is|are) not (yet )?supported\b", re.IGNORECASE),
}


def session_settings(tag: str) -> tuple[str, ...]:
    """The statements with which every session begins.

    :param tag: the query group of the statements, by which an administrator finds them.
    """
    plain = "".join(sign if sign.isprintable() and sign != "\\" else "_" for sign in tag)
    return (
        "SET enable_case_sensitive_identifier TO true",
        f"SET query_group TO {quoted(plain[:_LONGEST_TAG])}",
    )


def check_parameters(statement: Statement) -> None:
    """Check that a statement's parameters are those in its SQL.

    :raises ValueError: they are not.
    """
    used, given = set(parameter_names(statement.sql)), set(statement.parameters)
    if used != given:
        raise ValueError(f"{shown(statement.sql)} has the parameters {sorted(used)}, and values for {sorted(given)}")


def shown(sql: str) -> str:
    """A statement as text for an error message, shortened."""
    text = " ".join(sql.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def failure(step: str, sql: str, message: str, *, sqlstate: str = "") -> RedshiftError:
    """The error for a statement that Redshift has refused.

    :param step: the transaction's name, see ``Database.run``.
    :param sql: the statement.
    :param message: Redshift's message, with detail and hint.
    :param sqlstate: five characters; or two, a class that was presumed and is not shown.
    """
    conflict = sqlstate in _CONFLICT_STATES or _CONFLICT.search(message)
    code = f" (SQLSTATE {sqlstate})" if len(sqlstate) == _SQLSTATE_LENGTH else ""
    text = f"Redshift refuses a statement ({step}): {message}{code}\nThe statement: {shown(sql)}"
    return (SerializationConflictError if conflict else RedshiftError)(text, sqlstate=sqlstate)


def presumed_class(message: str) -> str:
    """The SQLSTATE class of an error message; empty if unknown. The Data API does not tell it.

    :param message: Redshift's message from its first word.
    """
    return next((name for name, wording in _CLASSES.items() if wording.match(message)), "")


def pause_before(attempt: int) -> float:
    """Seconds to wait before a transaction is repeated. They are random, so that two transactions do not conflict
    again.
    """
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (attempt - 1))
    return random.uniform(longest / 4, longest)


def wait_after_conflict(error: SerializationConflictError, step: str, attempt: int) -> None:
    """Wait before the next attempt at a transaction.

    :param error: the conflict.
    :param step: the transaction's name, see ``Database.run``.
    :param attempt: how often the transaction has run so far.
    :raises SerializationConflictError: it has run often enough.
    """
    if attempt >= TRIES:
        raise SerializationConflictError(
            f"{error}\nThe transaction was run {attempt} times, and each time others changed the same tables. Let "
            "fewer tasks write to them at the same time, such as through an Airflow pool.",
            sqlstate=error.sqlstate,
        ) from error
    seconds = pause_before(attempt)
    log.warning(
        "%s conflicts with another transaction; run again in %.1f s (try %d of %d).", step, seconds, attempt + 1, TRIES
    )
    time.sleep(seconds)


def bounded(call: Callable[[], None], what: str) -> None:
    """Run a call from a signal handler: for a few seconds at most, and without an error.

    It runs in a thread of its own, since the handler may have interrupted the holder of a lock that it needs.
    """

    def quiet() -> None:
        try:
            call()
        except Exception as error:
            log.warning("%s failed: %s", what, error)

    thread = threading.Thread(target=quiet, name=what, daemon=True)
    thread.start()
    thread.join(_CANCEL_SECONDS)
    if thread.is_alive():
        log.warning("%s takes longer than %.0f s.", what, _CANCEL_SECONDS)
