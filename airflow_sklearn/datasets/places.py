"""What a user gives an operator as ``source`` or ``destination`` besides URIs, for type checkers."""

from __future__ import annotations

from typing import Any, Protocol


class Readable(Protocol):
    """Says what is read: a document of a registered kind, or a ``Source``."""

    def to_source(self) -> Any: ...


class Writable(Protocol):
    """Says what is written, as a document that plans keep: its kind is registered."""

    def to_output(self) -> Any: ...
