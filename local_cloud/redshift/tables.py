"""CREATE TABLE and ALTER TABLE of Redshift as PostgreSQL takes them.

Redshift checks no keys: PRIMARY KEY only makes its column NOT NULL here, UNIQUE and FOREIGN KEY do nothing. How rows
are distributed and sorted is kept as the table's comment, where the views of the catalogue read it.
"""

from __future__ import annotations

import json

from local_cloud.redshift.errors import RedshiftError
from local_cloud.redshift.lexer import Token, closing, joined, separated, words

_UNLIMITED = {
    "VARCHAR": "VARCHAR(256)",
    "NVARCHAR": "VARCHAR(256)",
    "TEXT": "VARCHAR(256)",
    "BPCHAR": "CHAR(256)",
    "NCHAR": "CHAR",
    "NUMERIC": "NUMERIC(18, 0)",
    "DECIMAL": "NUMERIC(18, 0)",
    "DEC": "NUMERIC(18, 0)",
    "DATETIME": "TIMESTAMP",
    "SUPER": "SUPER",
    "VARBYTE": "BYTEA",
    "VARBINARY": "BYTEA",
}
_KEYS = ("PRIMARY", "UNIQUE", "FOREIGN", "CONSTRAINT")


def is_create_table(parts: list[Token]) -> bool:
    """Whether the statement creates a table, also from a query."""
    return parts[0].is_word("CREATE") and any(part.is_word("TABLE") for part in parts[1:4])


def create_table(parts: list[Token]) -> tuple[list[Token], str]:
    """The statement for PostgreSQL, and another one that keeps what PostgreSQL has no place for."""
    table = next(position for position, part in enumerate(parts) if part.is_word("TABLE"))
    start = table + (4 if parts[table + 1].is_word("IF") else 1)
    at = after_name(parts, start)
    head, name = parts[:table], parts[start:at]
    if name[-1].name.startswith("#") and not any(part.is_word("TEMP", "TEMPORARY") for part in head):
        head = [*head, *words("TEMP")]
    body, keys = list[Token](), dict[str, list[str]]()
    if at < len(parts) and parts[at].text == "(" and not _is_query(parts, at):
        end = closing(parts, at)
        body, keys = _columns(parts[at + 1 : end])
        at = end + 1
    query = next((n for n in range(at, len(parts)) if parts[n].is_word("AS")), len(parts))
    keys |= _attributes(parts[at:query])
    created = [*head, *parts[table:start], *name, *body, *parts[query:]]
    return created, _comment(name, keys)


def alter_table(parts: list[Token]) -> list[Token]:
    """The statement for PostgreSQL."""
    at = after_name(parts, 2)
    change = parts[at:]
    if change[0].is_word("ADD") and not change[1].is_word(*_KEYS):
        column = change[2:] if change[1].is_word("COLUMN") else change[1:]
        return [*parts[:at], *words("ADD COLUMN"), *_column(column)[0]]
    if change[0].is_word("ADD") or any(part.is_word("DISTSTYLE", "DISTKEY", "SORTKEY", "ENCODE") for part in change):
        return words("SET redshift.statement TO done")
    if change[0].is_word("ALTER") and any(part.is_word("TYPE") for part in change):
        kind = next(n for n, part in enumerate(change) if part.is_word("TYPE")) + 1
        return [*parts[:at], *change[:kind], *data_type(change[kind:])[0]]
    return parts


def data_type(parts: list[Token]) -> tuple[list[Token], int]:
    """The type that the tokens begin with, for PostgreSQL; and how many tokens it was."""
    name, used = parts[0].text.upper(), 1
    if name == "CHARACTER" and len(parts) > 1 and parts[1].is_word("VARYING"):
        name, used = "VARCHAR", 2
    if parts[0].kind != "word" or name not in _UNLIMITED:
        return parts[:1], 1
    if used == len(parts) or parts[used].text != "(":
        return words(_UNLIMITED[name]), used
    end = closing(parts, used)
    size = words("65535") if parts[used + 1].is_word("MAX") else parts[used + 1 : end]
    if name in ("VARBYTE", "VARBINARY"):
        return words("BYTEA"), end + 1
    return [*words(_UNLIMITED[name].split("(")[0] + "("), *size, Token("symbol", ")")], end + 1


def after_name(parts: list[Token], at: int) -> int:
    """The position behind a name of one or several parts."""
    at += 1
    while at + 1 < len(parts) and parts[at].text == ".":
        at += 2
    return at


def _is_query(parts: list[Token], at: int) -> bool:
    """Whether the parentheses hold the names of the columns of a query."""
    return any(part.is_word("AS") for part in parts[closing(parts, at) :])


def _columns(parts: list[Token]) -> tuple[list[Token], dict[str, list[str]]]:
    body, keys = list[Token](), dict[str, list[str]]()
    for item in separated(parts):
        if item[0].is_word(*_KEYS):
            continue
        column, own = _column(item)
        for key, names in own.items():
            keys.setdefault(key, []).extend(names)
        body += [*(words(",") if body else []), *column]
    return [*words("("), *body, *words(")")], keys


def _column(item: list[Token]) -> tuple[list[Token], dict[str, list[str]]]:
    """A column for PostgreSQL, and which keys it is part of."""
    if item[0].is_word("LIKE"):
        return item, {}
    kind, used = data_type(item[1:])
    column, keys = [item[0], *kind], dict[str, list[str]]()
    rest = item[1 + used :]
    while rest:
        used = 1
        if rest[0].is_word("ENCODE"):
            used = 2
        elif rest[0].is_word("DISTKEY", "SORTKEY"):
            keys[rest[0].text.lower()] = [item[0].name]
        elif rest[0].is_word("PRIMARY"):
            column += words("NOT NULL")
            used = 2
        elif rest[0].is_word("REFERENCES"):
            used = after_name(rest, 1)
            used = closing(rest, used) + 1 if used < len(rest) and rest[used].text == "(" else used
        elif rest[0].is_word("IDENTITY"):
            used = closing(rest, 1) + 1
            seed, step = (joined(number) for number in separated(rest[2 : used - 1]))
            column += words(f"GENERATED BY DEFAULT AS IDENTITY (START WITH {seed} INCREMENT BY {step})")
        elif not rest[0].is_word("UNIQUE"):
            column.append(rest[0])
        rest = rest[used:]
    return column, keys


def _attributes(parts: list[Token]) -> dict[str, list[str]]:
    """What stands behind the columns."""
    keys, at = dict[str, list[str]](), 0
    while at < len(parts):
        part = parts[at]
        at += 1
        if part.is_word("DISTSTYLE", "BACKUP", "ENCODE"):
            if part.is_word("DISTSTYLE"):
                keys["diststyle"] = [parts[at].text.upper()]
            at += 1
        elif part.is_word("DISTKEY", "SORTKEY"):
            if at < len(parts) and parts[at].text == "(":
                end = closing(parts, at)
                keys[part.text.lower()] = [name[0].name for name in separated(parts[at + 1 : end])]
                at = end + 1
            else:
                at += 1  # AUTO or NONE
        elif not part.is_word("COMPOUND", "INTERLEAVED"):
            raise RedshiftError(f'syntax error at or near "{part.text}"', "42601")
    return keys


def _comment(name: list[Token], keys: dict[str, list[str]]) -> str:
    if not keys:
        return ""
    if "distkey" in keys:
        style = keys.setdefault("diststyle", ["KEY"])[0]
        if style != "KEY" or len(keys["distkey"]) > 1:
            raise RedshiftError("DISTKEY goes with DISTSTYLE KEY and one column", "42P16")
    text = json.dumps(keys).replace("\\", "\\\\").replace("'", "''")
    return f"COMMENT ON TABLE {joined(name)} IS '{text}'"
