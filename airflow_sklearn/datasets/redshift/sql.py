"""SQL text: names, literals, and checked text of users that cannot affect the SQL around it.

Standard library only. Redshift reads a backslash in a literal as an escape; PostgreSQL does so or not by a setting. The
text that is written here means the same in both cases.
"""

from __future__ import annotations

import datetime
import math
import re
from typing import TYPE_CHECKING

from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

SqlValue = str | int | float | bool | datetime.date | None

_LONGEST_NAME = 127
#: A standard identifier (Amazon Redshift Database Developer Guide, "Names and identifiers"). Others need quotes.
_PLAIN_NAME = r"[A-Za-z_\u0080-\U0010ffff][\w$\u0080-\U0010ffff]*"
_QUOTED_NAME = r'"(?:[^"]|"")+"'
_TABLE_PART = re.compile(rf"\s*(?:(?P<quoted>{_QUOTED_NAME})|(?P<plain>{_PLAIN_NAME}))\s*(?P<dot>\.|\Z)")
#: Tokens that are skipped as a whole, and parameters. A quote outside of these tokens is not closed.
_TOKEN = re.compile(
    r"""
    (?P<string>'(?:[^']|'')*+')
    |(?P<name>"(?:[^"]|"")*+")
    |(?P<comment>--[^\n]*|/\*.*?\*/)
    |(?P<dollar>(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)
    |(?<![\w:'"]):(?P<parameter>[A-Za-z_][A-Za-z0-9_]*)
    """,
    re.DOTALL | re.VERBOSE,
)
#: Text outside of these tokens that could end the parentheses around a user's SQL.
_SUSPECT = re.compile(r"""[();'"\0$]|--|/\*""")
#: If backslashes are escapes, the literal continues after such a quote; if not, it ends there.
_ESCAPED_QUOTE = re.compile(r"(?<!\\)(?:\\\\)*\\'")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
_SHOWN = 60


def identifier(name: str) -> str:
    """A name of a table, a column or a schema, in quotes.

    :raises UserError: it cannot be a name: it is empty, too long, or contains a NUL.
    """
    if not name or "\0" in name:
        raise UserError(f"{name!r} is not a name in Redshift: it is empty, or holds a NUL.")
    if len(name.encode()) > _LONGEST_NAME:
        raise UserError(f"{name!r} is not a name in Redshift: it has more than {_LONGEST_NAME} bytes.")
    return '"' + name.replace('"', '""') + '"'


def qualified(parts: Sequence[str]) -> str:
    """The names of schema and table, each in quotes, joined by a dot."""
    return ".".join(identifier(part) for part in parts)


def parse_table(text: str) -> tuple[str, ...]:
    """Parse a table as a user writes it: ``table``, ``schema.table``, ``"My Schema"."Ta.ble"``.

    :return: ``(schema, table)``, or the table alone. As in SQL, upper case counts only inside of quotes.
    :raises UserError: it is not one or two names.
    """
    parts: list[str] = []
    position, more = 0, True
    while more and (match := _TABLE_PART.match(text, position)):
        quoted, plain = match["quoted"], match["plain"]
        parts.append(quoted[1:-1].replace('""', '"') if quoted else _folded(plain))
        position, more = match.end(), match["dot"] == "."
    if more or position != len(text):
        raise UserError(
            f"{text!r} does not name a table. Write schema.table, and put a name with capitals, blanks or other signs "
            'between double quotes: "My Schema"."My Table".'
        )
    if len(parts) > 2:
        raise UserError(
            f"{text!r} has {len(parts)} parts. Write schema.table: the database is the one of the Airflow connection "
            "(or of data_api)."
        )
    for part in parts:
        identifier(part)
    return tuple(parts)


def quoted(text: str) -> str:
    """A string literal for places where Redshift accepts no expression: SET, COPY, a path, an IAM role.

    :raises UserError: it contains a backslash or a NUL, whose meaning depends on settings.
    """
    if "\\" in text or "\0" in text:
        raise UserError(f"{text!r} holds a backslash or a NUL, and cannot be written into this place of a statement.")
    return "'" + text.replace("'", "''") + "'"


def literal(value: SqlValue) -> str:
    """A value as an SQL expression, for places where Redshift accepts no parameters.

    :raises UserError: SQL cannot hold the value.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value) if value >= 0 else f"({value})"  # two minus signs in a row begin a comment
    if isinstance(value, float):
        spelled = repr(value) if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value)
        return f"CAST('{spelled or 'NaN'}' AS DOUBLE PRECISION)"
    if isinstance(value, datetime.datetime):
        kind = "TIMESTAMP" if value.tzinfo is None else "TIMESTAMPTZ"
        return f"CAST('{value.isoformat(' ')}' AS {kind})"
    if isinstance(value, datetime.date):
        return f"CAST('{value.isoformat()}' AS DATE)"
    if not isinstance(value, str):
        raise UserError(f"{value!r} is a {type(value).__name__}: use text, a number, a boolean, a date or None.")
    if "\0" in value:
        raise UserError(f"{value!r} holds a NUL, which Redshift does not store.")
    if "\\" not in value:
        return quoted(value)
    return "(" + " || CHR(92) || ".join(quoted(part) for part in value.split("\\")) + ")"


def iam_role(roles: str) -> str:
    """The text after IAM_ROLE in UNLOAD and COPY.

    :param roles: ``default``, a role's ARN, or several ARNs of roles that are assumed in turn, joined by commas.
    :raises UserError: it is none of these.
    """
    if roles.strip().lower() == "default":
        return "default"
    arns = [role.strip() for role in re.split(r",\s*(?=arn:)", roles.strip())]
    if wrong := [arn for arn in arns if not _ROLE.fullmatch(arn)]:
        raise UserError(
            f"{', '.join(map(repr, wrong))} is no ARN of an IAM role. Give 'default' for the cluster's default role, "
            "or arn:aws:iam::123456789012:role/name."
        )
    return quoted(",".join(arns))


def contained(sql: str, what: str) -> str:
    """Check that a user's SQL cannot leave the parentheses around it.

    :param sql: the user's SQL.
    :param what: its name for the message, such as ``"where"``.
    :return: the SQL without surrounding white space.
    :raises UserError: it contains a semicolon, a comment, an open quote or parenthesis, a dollar quote, or the like;
        the message lists all such places.
    """
    faults = [f"{fault} at character {position + 1}: {_near(sql, position)}" for position, fault in _faults(sql)]
    if not sql.strip():
        faults = ["it is empty"]
    if faults:
        raise UserError(
            f"{what} cannot be used: {'; '.join(faults)}. Write one SQL expression or query, with text between "
            "'single quotes', values that vary as :name parameters, and no comments."
        )
    return sql.strip()


def contained_query(sql: str, what: str = "The query") -> str:
    """Like ``contained``, for a whole SELECT. A semicolon at its end is removed.

    :raises UserError: see ``contained``; or it is no SELECT.
    """
    text = sql.strip()
    text = text.removesuffix(";")
    if not re.match(r"(\s*\()*\s*(SELECT|WITH)\b", text, re.IGNORECASE):
        raise UserError(f"{what} is no query: it begins with {_near(text, 0)}. Write one SELECT, or WITH ... SELECT.")
    return contained(text, what)


def parameter_names(sql: str) -> tuple[str, ...]:
    """The ``:name`` parameters of a statement, each once, in order."""
    return tuple(dict.fromkeys(token["parameter"] for token in _TOKEN.finditer(sql) if token["parameter"]))


def replace_parameters(sql: str, replacement: Callable[[str], str]) -> str:
    """The statement with a replacement for each ``:name``. Text in quotes and comments is unchanged."""
    return _TOKEN.sub(lambda token: replacement(token["parameter"]) if token["parameter"] else token[0], sql)


def inline(sql: str, parameters: Mapping[str, SqlValue]) -> str:
    """The SQL with literals for its ``:name`` parameters, for places where Redshift accepts no parameters.

    :raises UserError: parameters are unknown or unused; the message lists all of them.
    """
    used = parameter_names(sql)
    faults = [f":{name} has no value" for name in used if name not in parameters]
    faults += [f"the value of {name!r} is used nowhere" for name in parameters if name not in used]
    if faults:
        raise UserError(
            f"The parameters do not fit the SQL: {'; '.join(faults)}. The SQL is {_near(sql, 0)}, it uses "
            f"{', '.join(f':{name}' for name in used) or 'none'}."
        )
    return replace_parameters(sql, lambda name: literal(parameters[name]))


def unload_text(query: str) -> str:
    """A query in the form that UNLOAD accepts between its parentheses."""
    if "\\" not in query and "\0" not in query:
        return quoted(query)
    if "\0" in query:
        raise UserError("The query holds a NUL, which Redshift does not take.")
    tag = ""  # the only form in AWS's documentation of UNLOAD
    while f"${tag}$" in f"{query}$":
        tag += "q"
    return f"${tag}${query}${tag}$"


def _faults(sql: str) -> Iterator[tuple[int, str]]:
    """Places in a user's SQL that could affect the SQL around it, each with the reason, in order."""
    found: list[tuple[int, str]] = []
    open_at: list[int] = []
    end = 0
    for token in [*_TOKEN.finditer(sql), None]:
        found += _gap_faults(sql, end, token.start() if token else len(sql), open_at)
        if token is None:
            break
        end = token.end()
        if token["comment"]:
            found.append((token.start(), "a comment"))
        elif token["dollar"]:
            found.append((token.start(), "a dollar quote"))
        elif "\0" in token[0]:
            found.append((token.start(), "a NUL"))
        elif token["string"] and (escaped := _ESCAPED_QUOTE.search(token[0])):
            at = token.start() + escaped.start()
            found.append((at, "a backslash before a quote (write a quote inside of text as two quotes)"))
    found += [(position, "a parenthesis that is not closed") for position in open_at]
    yield from sorted(found)


def _gap_faults(sql: str, start: int, end: int, open_at: list[int]) -> Iterator[tuple[int, str]]:
    """Faults between two tokens.

    :param open_at: the positions of the parentheses that are open.
    """
    for match in _SUSPECT.finditer(sql, start, end):
        position, sign = match.start(), match[0]
        if sign == "(":
            open_at.append(position)
        elif sign == ")" and open_at:
            open_at.pop()
        else:
            yield position, _SIGNS.get(sign, "a quote that is not closed")


_SIGNS = {
    ")": "a parenthesis that was not opened",
    ";": "a semicolon",
    "--": "a comment",
    "/*": "a comment",
    "$": "a dollar sign outside of quotes (a name that has one goes between double quotes)",
    "\0": "a NUL",
}


def _near(sql: str, position: int) -> str:
    text = " ".join(sql[position : position + _SHOWN].split())
    return repr(text + ("..." if position + _SHOWN < len(sql) else ""))


def _folded(name: str) -> str:
    """A name in lower case as Redshift folds names without quotes: ASCII letters only."""
    return re.sub(r"[A-Z]+", lambda letters: letters[0].lower(), name)
