"""What the Redshift Data API refuses, as functions of the request alone.

Sources: the Amazon Redshift Data API reference, and "Considerations when calling the Amazon Redshift Data API" in the
management guide. Messages are AWS's where AWS or its users publish them, the others are ours; what botocore refuses on
the client's side already is not repeated.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

#: What ``WorkgroupName`` and ``ClusterIdentifier`` may name here.
WORKGROUP = "ml-workgroup"
CLUSTER = "ml-cluster"

STATEMENT_BYTES = 100 * 1024
STATEMENTS_OF_A_BATCH = 40
ID = re.compile(r"[a-z0-9]{8}(-[a-z0-9]{4}){3}-[a-z0-9]{12}(:\d+)?")
PARAMETER_NAME = re.compile(r"[0-9a-zA-Z_]+")
#: Quoted text, comments, casts, and then what is left: parameters.
_TOKENS = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | (?P<dollar>\$\w*\$).*?(?P=dollar) | --[^\n]* | /\*.*?\*/ | ::
    | :(?P<name>[A-Za-z_]\w*)""",
    re.VERBOSE | re.DOTALL,
)


class RefusedError(Exception):
    """The API answers with an error.

    :param code: the name of the error.
    :param message: what it says.
    :param fields: what the answer holds beside.
    """

    def __init__(self, code: str, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.fields = code, message, fields


def invalid(message: str) -> RefusedError:
    """The error for what a request gets wrong."""
    return RefusedError("ValidationException", message)


def not_found(message: str, statement_id: str) -> RefusedError:
    """The error for a statement, or a result, that is not there."""
    return RefusedError("ResourceNotFoundException", message, ResourceId=statement_id)


def check_execute(asked: Mapping[str, Any], statements: Collection[str]) -> None:
    """:param statements: the SQL of the request.
    :raises RefusedError: AWS does not run it.
    """
    check_target(asked)
    if asked.get("SessionId") or asked.get("SessionKeepAliveSeconds"):
        raise invalid("Sessions are not part of this stand-in.")
    if not 1 <= len(statements) <= STATEMENTS_OF_A_BATCH:
        raise invalid(
            f"Sqls failed to satisfy constraint: Member must have length between 1 and {STATEMENTS_OF_A_BATCH}"
        )
    for sql in statements:
        if not sql.strip():
            raise invalid("Query must not be empty.")
        if len(sql.encode()) > STATEMENT_BYTES:
            raise invalid(f"The maximum query statement size is 100 KB, this one has {len(sql.encode()):,} bytes.")
    check_parameters(asked.get("Parameters"), statements)


def check_target(asked: Mapping[str, Any]) -> None:
    """:raises RefusedError: no database is named, or one that is not there, or two."""
    cluster, workgroup = asked.get("ClusterIdentifier"), asked.get("WorkgroupName")
    if not cluster and not workgroup:
        raise invalid("Either ClusterIdentifier or WorkgroupName needs to be specified.")
    if cluster and workgroup:
        raise invalid("ClusterIdentifier and WorkgroupName cannot be specified together.")
    if workgroup and asked.get("DbUser"):
        raise invalid("DbUser cannot be specified with WorkgroupName.")
    if (cluster and cluster != CLUSTER) or (workgroup and workgroup != WORKGROUP):
        raise invalid("Redshift endpoint doesn't exist in this region.")
    if not asked.get("Database"):
        raise invalid("Database needs to be specified.")


def check_parameters(parameters: Any, statements: Collection[str]) -> None:
    """:raises RefusedError: a parameter that no statement uses, that is not given, or that has no value."""
    if parameters is None:
        parameters = []
    elif not parameters:
        raise invalid("Parameters failed to satisfy constraint: Member must have length greater than or equal to 1")
    given: set[str] = set()
    for number, parameter in enumerate(parameters, 1):
        name, value = parameter.get("name") or "", parameter.get("value")
        if not PARAMETER_NAME.fullmatch(name):
            raise invalid(
                f"Value '{name}' at 'parameters.{number}.member.name' failed to satisfy constraint: "
                f"Member must satisfy regular expression pattern: {PARAMETER_NAME.pattern}"
            )
        if not isinstance(value, str) or not value:  # neither NULL nor an empty text can be bound
            raise invalid(
                f"Value '{value or ''}' at 'parameters.{number}.member.value' failed to satisfy constraint: "
                "Member must have length greater than or equal to 1"
            )
        if name in given:
            raise invalid(f"Parameters list contains duplicate parameters. Duplicate parameters: [{name}]")
        given.add(name)
    used = {name for sql in statements for name in names_of_parameters(sql)}
    if given - used:
        raise invalid(
            f"Parameters list contains unused parameters. Unused parameters: [{', '.join(sorted(given - used))}]"
        )
    if given and used - given:
        raise invalid(f"Parameters list is missing parameters. Missing parameters: [{', '.join(sorted(used - given))}]")


def names_of_parameters(sql: str) -> Iterator[str]:
    """The ``:name`` of a statement, outside of quotes and comments."""
    return (found["name"] for found in _TOKENS.finditer(sql) if found["name"])


def check_id(statement_id: str) -> None:
    """:raises RefusedError: it is not the id of a statement."""
    if not ID.fullmatch(statement_id):
        raise invalid(f"id must satisfy regex pattern: ^{ID.pattern}$")
