"""UNLOAD and COPY as they are written: what, where, by which role, how."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from local_cloud.redshift.errors import RedshiftError
from local_cloud.redshift.lexer import Token, closing, joined, quoted, separated, tokens
from local_cloud.redshift.tables import after_name

_ROLE = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/[\w+=,.@/-]+")
#: Options without a value, and with one; as far as the stand-in heeds or ignores them.
_FLAGS = (
    "ACCEPTINVCHARS", "ALLOWOVERWRITE", "CLEANPATH", "EMPTYASNULL", "ENCRYPTED", "FILLRECORD", "GZIP", "HEADER",
    "BLANKSASNULL", "TRUNCATECOLUMNS",
)  # fmt: skip
_VALUES = (
    "COMPUPDATE", "DELIMITER", "EXTENSION", "IGNOREHEADER", "MAXFILESIZE", "NULL", "PARALLEL", "QUOTE", "REGION",
    "ROWGROUPSIZE", "STATUPDATE", "DATEFORMAT", "TIMEFORMAT",
)  # fmt: skip
_FORMATS = ("PARQUET", "CSV", "JSON", "ORC", "AVRO", "TEXT")
_UNITS = {"MB": 1 << 20, "GB": 1 << 30}


@dataclass
class Options:
    """What stands behind the location.

    :param values: by name in capitals; empty for options without a value.
    """

    format: str = "TEXT"
    manifest: bool = False
    verbose: bool = False
    role: str = ""
    values: dict[str, str] = field(default_factory=dict)

    def size(self, name: str, default: int) -> int:
        """An option that is a number of bytes."""
        if name not in self.values:
            return default
        number, unit = self.values[name].split()
        return int(float(number) * _UNITS[unit])

    def on(self, name: str, default: bool) -> bool:
        """An option that is ON or OFF."""
        return self.values.get(name, "ON" if default else "OFF").upper() in ("ON", "TRUE", "")


@dataclass
class UnloadStatement:
    """``UNLOAD ('query') TO 's3://...' ...``."""

    query: str
    location: str
    options: Options


@dataclass
class CopyStatement:
    """``COPY table (columns) FROM 's3://...' ...``.

    :param table: as SQL; ``label`` as people call it.
    :param columns: empty for all.
    """

    table: str
    label: str
    columns: list[str]
    location: str
    options: Options


def unload_statement(parts: Sequence[Token]) -> UnloadStatement:
    """:raises RedshiftError: it is not right."""
    reader = _Reader(parts)
    reader.expect("UNLOAD")
    reader.expect("(")
    query = reader.string()
    reader.expect(")")
    reader.expect("TO")
    return UnloadStatement(query.strip().removesuffix(";"), reader.string(), _options(reader))


def copy_statement(parts: Sequence[Token]) -> CopyStatement:
    """:raises RedshiftError: it is not right."""
    reader = _Reader(parts)
    reader.expect("COPY")
    name = reader.name()
    columns = [column[0].name for column in separated(reader.parenthesis())] if reader.sees("(") else []
    reader.expect("FROM")
    return CopyStatement(joined(name), name[-1].name, columns, reader.string(), _options(reader))


def has_outer_limit(query: str) -> bool:
    """Whether a query ends with LIMIT or begins with SELECT TOP, outside of parentheses."""
    depth = 0
    parts = tokens(query)
    for position, part in enumerate(parts):
        depth += {"(": 1, ")": -1}.get(part.text, 0)
        top = part.is_word("TOP") and position > 0 and parts[position - 1].is_word("SELECT")
        if depth == 0 and (top or part.is_word("LIMIT")):
            return True
    return False


def names(columns: Sequence[str]) -> str:
    """Columns as SQL."""
    return ", ".join(quoted(column).text for column in columns)


class _Reader:
    """Takes tokens from the left.

    :raises RedshiftError: there is another one than expected.
    """

    def __init__(self, parts: Sequence[Token]) -> None:
        self._parts, self._at = list(parts), 0

    def sees(self, *texts: str) -> bool:
        """Whether one of these comes next."""
        return not self.ended and self._parts[self._at].text.upper() in texts

    @property
    def ended(self) -> bool:
        """Whether there is nothing left."""
        return self._at >= len(self._parts)

    def take(self) -> Token:
        """Whatever comes next."""
        if self.ended:
            raise RedshiftError("syntax error at end of input", "42601")
        self._at += 1
        return self._parts[self._at - 1]

    def accept(self, *texts: str) -> bool:
        """Take one of these, if one comes next."""
        if self.sees(*texts):
            self._at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        """Take this."""
        if not self.accept(text):
            self.wrong()

    def string(self) -> str:
        """Take a string; its value."""
        if self.ended or self._parts[self._at].kind not in ("string", "dollar"):
            self.wrong()
        return self.take().value

    def name(self) -> list[Token]:
        """Take a name of one or several parts."""
        end = after_name(self._parts, self._at)
        found, self._at = self._parts[self._at : end], end
        return found

    def parenthesis(self) -> list[Token]:
        """Take parentheses; what is in them."""
        end = closing(self._parts, self._at)
        found, self._at = self._parts[self._at + 1 : end], end + 1
        return found

    def wrong(self) -> None:
        """:raises RedshiftError: always."""
        text = "" if self.ended else self._parts[self._at].text
        raise RedshiftError(f'syntax error at or near "{text}"', "42601")


def _options(reader: _Reader) -> Options:
    options = Options()
    while not reader.ended:
        if reader.accept("IAM_ROLE"):
            options.role = "default" if reader.accept("DEFAULT") else reader.string()
        elif reader.accept("FORMAT"):
            reader.accept("AS")
            options.format = _format(reader)
        elif reader.sees(*_FORMATS):
            options.format = _format(reader)
        elif reader.accept("MANIFEST"):
            options.manifest = True
            options.verbose = reader.accept("VERBOSE")
        elif reader.sees(*_FLAGS):
            options.values[reader.take().text.upper()] = ""
        elif reader.sees(*_VALUES):
            name = reader.take().text.upper()
            reader.accept("AS")
            options.values[name] = _value(reader, name)
        else:
            reader.wrong()
    _authorise(options.role)
    return options


def _format(reader: _Reader) -> str:
    if not reader.sees(*_FORMATS):
        reader.wrong()
    return reader.take().text.upper()


def _value(reader: _Reader, name: str) -> str:
    part = reader.take()
    if name in ("MAXFILESIZE", "ROWGROUPSIZE"):
        unit = reader.take().text.upper() if reader.sees(*_UNITS) else "MB"
        return f"{part.text} {unit}"
    return part.value if part.kind in ("string", "dollar") else part.text


def _authorise(role: str) -> None:
    if not role:
        raise RedshiftError("Either IAM_ROLE or CREDENTIALS must be specified", "42601")
    for chained in role.split(","):
        if role != "default" and not _ROLE.fullmatch(chained.strip()):
            raise RedshiftError(f"Invalid IAM role ARN: {chained}", "0A000")
