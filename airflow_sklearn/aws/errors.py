"""The meaning of an AWS error for the caller, judged the same way for all services.

A service's own codes and messages are given as data: a table of kinds, which is consulted first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The kind of an AWS error."""

    THROTTLED = "throttled"
    """Too many calls: the same one later."""
    UNREACHABLE = "unreachable"
    """No answer, or a broken one: the same call later. It may have been heard."""
    UNAVAILABLE = "unavailable"
    """The service itself fails: the same call later."""
    NO_CAPACITY = "no capacity"
    """Nothing is free, or a quota is used up: later."""
    CONFLICT = "conflict"
    """Somebody else changes the same thing at this moment: the same call at once."""
    CHANGED = "changed"
    """A condition does not hold: the thing is there, or is no longer what it was."""
    NOT_FOUND = "not found"
    """The service does not know the thing: not yet, or no longer."""
    DENIED = "denied"
    """There is no right to it."""
    INVALID = "invalid"
    """The service will never take the call as it is."""
    NO_CREDENTIALS = "no credentials"
    """None were found, or they could not be fetched."""
    OTHER = "other"
    """Nothing is known of it."""


#: A service's own errors: kinds, each with a pattern for the beginning of ``Code: message``, tried in order.
Table = Sequence[tuple[Kind, re.Pattern[str]]]

#: Errors that do not depend on the request.
PASSING = frozenset({Kind.THROTTLED, Kind.UNREACHABLE, Kind.UNAVAILABLE})

_SERVER_ERROR, _TOO_MANY = 500, 429


def table(*rows: tuple[Kind, str]) -> Table:
    """A table of a service's own errors.

    :param rows: kinds, each with a regular expression. Upper and lower case do not matter.
    """
    return tuple((kind, re.compile(pattern, re.IGNORECASE | re.DOTALL)) for kind, pattern in rows)


# Sources: botocore's own list of throttles (``botocore/retries/standard.py``), "Common error types" in the references
# of the APIs.
_COMMON = table(
    (
        Kind.THROTTLED,
        r"((RequestLimit|BandwidthLimit|ProvisionedThroughput)Exceeded(Exception)?|SlowDown|PriorRequestNotComplete"
        r"|(Request|EC2)?Thrott(ling|led)(Exception)?|TooManyRequestsException):",
    ),
    (Kind.DENIED, r"(AccessDenied(Exception|Error)?|UnauthorizedOperation|Forbidden|403):"),
    (
        Kind.UNAVAILABLE,
        r"(Internal(Server)?(Error|Failure|Exception)|(Service)?Unavailable(Exception)?|ServerException"
        r"|RequestTimeout(Exception)?):",
    ),
)


def classify(error: BaseException, own: Table = ()) -> Kind:
    """The kind of an error that boto3 raised.

    :param own: the service's own errors.
    """
    from botocore import exceptions as of_botocore
    from urllib3.exceptions import HTTPError

    if isinstance(error, of_botocore.ClientError):
        text = f"{code_of(error)}: {message_of(error)}"
        # The service's own table first: some services answer 500 for errors of the request.
        if kind := kind_in(own, text) or kind_in(_COMMON, text):
            return kind
        status = (error.response.get("ResponseMetadata") or {}).get("HTTPStatusCode", 0)
        if status == _TOO_MANY:
            return Kind.THROTTLED
        return Kind.UNAVAILABLE if status >= _SERVER_ERROR else Kind.OTHER
    silent = (of_botocore.ConnectionError, of_botocore.HTTPClientError, of_botocore.IncompleteReadError, HTTPError)
    if isinstance(error, (*silent, ConnectionError, TimeoutError)):
        return Kind.UNREACHABLE
    missing = (of_botocore.NoCredentialsError, of_botocore.PartialCredentialsError)
    if isinstance(error, (*missing, of_botocore.CredentialRetrievalError)):
        return Kind.NO_CREDENTIALS
    return Kind.OTHER


def is_passing(error: BaseException, own: Table = ()) -> bool:
    """Whether the same call may be repeated: after a throttle, a fault of the service, or no answer."""
    return classify(error, own) in PASSING


def code_of(error: BaseException) -> str:
    """The service's code for an error; empty if it has none."""
    return str(_answer(error).get("Error", {}).get("Code", ""))


def message_of(error: BaseException) -> str:
    """The service's message; empty if there is none. The Data API returns some of its messages outside of the error."""
    answer = _answer(error)
    return str(answer.get("Error", {}).get("Message") or answer.get("Message") or "")


def _answer(error: BaseException) -> dict[str, Any]:
    answer = getattr(error, "response", None)  # None in errors of connections
    return answer if isinstance(answer, dict) else {}


def kind_in(own: Table, text: str) -> Kind | None:
    """The first kind in a table whose pattern matches a text; None if none does."""
    return next((kind for kind, pattern in own if pattern.match(text)), None)
