"""What goes wrong, in Redshift's words."""

from __future__ import annotations

import re
from collections.abc import Mapping

RULER = "-" * 47


class RedshiftError(Exception):
    """The stand-in refuses a statement.

    :param message: as Redshift puts it.
    :param code: the SQLSTATE; Redshift has one for nearly everything.
    """

    def __init__(self, message: str, code: str = "XX000", detail: str = "") -> None:
        super().__init__(message)
        self.fields = {"C": code, "M": message, "D": detail}


class BackendError(Exception):
    """PostgreSQL refuses a statement.

    :param fields: what it says, by one-letter name.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(fields.get("M", ""))
        self.fields = dict(fields)


class LoadError(RedshiftError):
    """A value or a file that COPY cannot load. What is wrong goes into the tables of load errors.

    :param table: its number.
    :param reason: for these tables.
    :param number: Redshift's own number of the error.
    """

    def __init__(
        self,
        message: str,
        table: int,
        reason: str,
        *,
        file: str,
        number: int,
        column: str = "",
        line: int = 0,
        value: str = "",
        detail: str = "",
    ) -> None:
        super().__init__(message, detail=detail)
        self.table, self.reason, self.number, self.file = table, reason, number, file
        self.column, self.line, self.value = column, line, value


def block(error: str, code: int, context: str, query: int, pid: int) -> str:
    """The detail of most of Redshift's errors: a small table between two rulers."""
    return "\n".join(
        (
            "",
            f"  {RULER}",
            f"  error:  {error}",
            f"  code:      {code}",
            f"  context:   {context}",
            f"  query:     {query}",
            "  location:  stand_in.cpp:1",
            f"  process:   padbmaster [pid={pid}]",
            f"  {RULER}",
        )
    )


def in_redshifts_words(said: Mapping[str, str], pid: int) -> dict[str, str]:
    """An error of PostgreSQL's, where Redshift says the same in other words and with another SQLSTATE.

    :param pid: the process of the session.
    """
    code = said.get("C", "")
    if code == "40001":
        transaction = 100000 + pid
        cycle = f"transactions forming the cycle are: {transaction}, {transaction + 1} (pid:{pid})"
        return {"C": "XX000", "M": "1023", "D": f"Serializable isolation violation on table - {_table(said)}, {cycle}"}
    if code == "22001":
        context = said.get("M", "").replace("value too long", "Value too long")
        message = "Value too long for character type"
        return {"C": "XX000", "M": message, "D": block(message, 8001, context, 0, pid)}
    return {key: value for key, value in said.items() if key in "SVCMDHP"}


def _table(said: Mapping[str, str]) -> str:
    """A number in place of the table's, which PostgreSQL does not tell."""
    found = re.search(r"\d+", said.get("D", ""))
    return found.group() if found else "100001"
