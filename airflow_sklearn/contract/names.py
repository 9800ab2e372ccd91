"""Comparing the names of columns by their looks. Standard library only."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Names:
    """A set of column names in which names that look the same are found for each other.

    A letter such as ``é`` may be one Unicode code point or two. People cannot see the difference.

    :param names: the names to begin with.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names: set[str] = set()
        self._by_form: dict[str, str] = {}
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Add a name."""
        self._names.add(name)
        self._by_form.setdefault(_composed(name), name)

    def find(self, name: str) -> str | None:
        """The name itself if it is in the set, else the first one that looks the same, else None."""
        return name if name in self._names else self._by_form.get(_composed(name))


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
