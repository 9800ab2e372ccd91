"""``Queue``: all that a pool asks of one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Message:
    """One that was received.

    :param receipt: by which this delivery is renewed, given back or ended.
    :param deliveries: how often it has been received, this time included.
    """

    body: str
    receipt: str
    deliveries: int


class Queue(ABC):
    """Messages that are delivered at least once: what is received and not deleted comes again.

    Methods are called from several threads. Those that find no queue raise ``QueueGoneError``.
    """

    @abstractmethod
    def create(self, visibility: float) -> None:
        """Make it, empty.

        :param visibility: seconds for which a message that is received is hidden from others, unless said otherwise.
        """

    @abstractmethod
    def send(self, bodies: Sequence[str]) -> None:
        """Add messages, in as few calls as the queue allows.

        :raises MessageRefusedError: one of them will never be taken; others may have been sent.
        """

    @abstractmethod
    def receive(self, limit: int, *, wait: float, visibility: float) -> list[Message]:
        """Up to ``limit`` messages; as soon as there is one, or none after ``wait`` seconds.

        :param visibility: seconds after which they are delivered again, unless renewed or deleted.
        """

    @abstractmethod
    def renew(self, messages: Sequence[Message], visibility: float) -> None:
        """Hide them for so many seconds from now. 0 gives them back at once. One that is gone is no error."""

    @abstractmethod
    def delete(self, messages: Sequence[Message]) -> None:
        """They are done. One that is gone is no error."""

    @abstractmethod
    def destroy(self) -> None:
        """Remove the queue and what is in it. No error if it is gone."""
