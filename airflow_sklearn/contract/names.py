"""Names of columns, by what people see of them. Standard library only."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Names:
    """Names of columns, by what people see of them.

    Letters such as ``é`` may be one code point or two; nobody can see which, so that it makes no other name.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names: set[str] = set()
        self._by_form: dict[str, str] = {}
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        self._names.add(name)
        self._by_form.setdefault(_composed(name), name)

    def find(self, name: str) -> str | None:
        """The name itself where it is known, else the first one that looks the same, else None."""
        return name if name in self._names else self._by_form.get(_composed(name))


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
