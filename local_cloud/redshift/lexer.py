"""SQL as Redshift reads it, cut into tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

#: A backslash escapes in every string, as in PostgreSQL 8.
_PATTERN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<string>[eE]?'(?:[^'\\]|\\.|'')*')
    |(?P<parameter>\$\d+)
    |(?P<dollar>\$(?P<tag>[A-Za-z_]\w*)?\$.*?\$(?P=tag)\$|\$\$.*?\$\$)
    |(?P<quoted>"(?:[^"]|"")*")
    |(?P<word>\#?[^\W\d][\w$]*)
    |(?P<number>\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+)
    |(?P<operator>[-+*/<>=~!@\#%^&|?:]+)
    |(?P<symbol>.)
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """A piece of SQL."""

    kind: str
    text: str

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these keywords, which are given in capitals."""
        return self.kind == "word" and self.text.upper() in words

    @property
    def is_name(self) -> bool:
        """Whether it may name a table or a column."""
        return self.kind in ("word", "quoted")

    @property
    def name(self) -> str:
        """The name that it stands for."""
        return self.text[1:-1].replace('""', '"') if self.kind == "quoted" else self.text.lower()

    @property
    def value(self) -> str:
        """The text that a string stands for."""
        if self.kind == "dollar":
            return self.text[self.text.index("$", 1) + 1 : self.text.rindex("$", 0, -1)]
        inner = self.text[self.text.index("'") + 1 : -1]
        return re.sub(r"''|\\(.)", lambda found: found.group(1) or "'", inner, flags=re.DOTALL)


def tokens(sql: str) -> list[Token]:
    """All but blanks and comments."""
    return [
        Token(found.lastgroup if found.lastgroup != "tag" else "dollar", found.group())
        for found in _PATTERN.finditer(sql)
        if found.lastgroup and found.lastgroup != "space"
    ]


def joined(parts: Iterable[Token]) -> str:
    """Tokens as SQL again."""
    return " ".join(part.text for part in parts)


def statements(parts: list[Token]) -> list[list[Token]]:
    """The statements between semicolons, without empty ones."""
    found: list[list[Token]] = [[]]
    for part in parts:
        if part.text == ";":
            found.append([])
        else:
            found[-1].append(part)
    return [statement for statement in found if statement]


def quoted(name: str) -> Token:
    """An identifier."""
    return Token("quoted", '"' + name.replace('"', '""') + '"')


def words(sql: str) -> list[Token]:
    """Keywords that a translation puts in."""
    return tokens(sql)


def closing(parts: list[Token], opening: int) -> int:
    """The position of the parenthesis that closes the one at ``opening``."""
    depth = 0
    for position in range(opening, len(parts)):
        depth += {"(": 1, ")": -1}.get(parts[position].text, 0)
        if depth == 0:
            return position
    return len(parts) - 1


def separated(parts: list[Token]) -> list[list[Token]]:
    """What lies between commas that are not in parentheses."""
    found: list[list[Token]] = [[]]
    depth = 0
    for part in parts:
        depth += {"(": 1, ")": -1}.get(part.text, 0)
        if part.text == "," and depth == 0:
            found.append([])
        else:
            found[-1].append(part)
    return found
