"""Types of the objects that a user may give to operators as ``source`` or ``destination``, for type checkers."""

from __future__ import annotations

from typing import Any, Protocol


class Readable(Protocol):
    """An object that describes a source."""

    def to_source(self) -> Any:
        """A document of a registered kind, or a ``Source``."""


class Writable(Protocol):
    """An object that describes a destination."""

    def to_output(self) -> Any:
        """A document of a registered kind, which plans store."""
