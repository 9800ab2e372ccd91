"""``Queue``: the interface of a pool's message queues."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Message:
    """A received message.

    :param body: its text.
    :param receipt: identifies this delivery; needed to renew, give back or delete the message.
    :param deliveries: how often the message has been delivered, this time included.
    """

    body: str
    receipt: str
    deliveries: int


class Queue(ABC):
    """A queue that delivers each message at least once: a message that is received but not deleted is delivered again.

    All methods may be called from several threads.

    :raises QueueGoneError: the queue does not exist. All methods but ``create`` and ``destroy`` raise it.
    """

    @abstractmethod
    def create(self, visibility: float) -> None:
        """Make the queue, empty.

        :param visibility: seconds for which a received message is hidden from other receivers, if ``receive`` sets no
            other time.
        """

    @abstractmethod
    def send(self, bodies: Sequence[str]) -> None:
        """Add messages, in as few calls as the queue allows.

        :param bodies: their texts.
        :raises MessageRefusedError: the queue never accepts one of them; others may have been sent.
        """

    @abstractmethod
    def receive(self, limit: int, *, wait: float, visibility: float) -> list[Message]:
        """Receive messages: return as soon as there is at least one, else an empty list after ``wait`` seconds.

        :param limit: the largest number of messages.
        :param wait: seconds.
        :param visibility: seconds after which the messages are delivered again, unless they are renewed or deleted.
        """

    @abstractmethod
    def renew(self, messages: Sequence[Message], visibility: float) -> None:
        """Hide received messages for ``visibility`` seconds from now. With 0 they can be received again at once.

        Messages that are gone are no error.
        """

    @abstractmethod
    def delete(self, messages: Sequence[Message]) -> None:
        """Delete received messages for good. Messages that are gone are no error."""

    @abstractmethod
    def destroy(self) -> None:
        """Remove the queue and its messages. A queue that does not exist is no error."""
