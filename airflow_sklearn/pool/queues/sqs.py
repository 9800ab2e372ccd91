"""A queue in Amazon SQS. It is a standard queue: FIFO queues are slower, and the order of tasks does not matter."""

from __future__ import annotations

import contextlib
import math
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_sklearn.aws.errors import Kind, classify, table
from airflow_sklearn.exceptions import MessageRefusedError, PoolError, QueueGoneError
from airflow_sklearn.pool.queues.base import Message, Queue
from airflow_sklearn.system.retry import retry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Limits from the Amazon SQS API Reference. The limit in bytes applies to all messages of a batch together.
_MESSAGES_A_CALL = 10
_BYTES_A_CALL = 262_144  # 256 KiB: not all accounts and partitions have 1 MiB yet
_LONGEST_POLL = 20
_LONGEST_VISIBILITY = 43_200

_RETENTION = 345_600  # seconds; SQS's own default, four days
_SEND_PAUSES = (0.1, 0.2, 0.4, 0.8)  # seconds
#: With and without the prefix of the older protocol.
_OWN = table(
    (Kind.NOT_FOUND, r"(AWS\.SimpleQueueService\.)?(QueueDoesNotExist|NonExistentQueue|QueueDeletedRecently):"),
    (Kind.INVALID, r"(.*\.)?(BatchRequestTooLong|InvalidMessageContents|InvalidParameterValue):"),
)


class _NotTakenError(PoolError):
    """Of a batch, SQS has taken some messages only, for a fault of its own."""


class SqsQueue(Queue):
    """A queue in Amazon SQS, found by its name. It may be used before it exists. ``Queue`` documents the methods.

    :param name: up to 80 letters, digits, hyphens and underscores.
    :param client: a boto3 client for SQS in the queue's region.
    """

    def __init__(self, name: str, client: Any) -> None:
        self.name, self._client = name, client
        self._found: str | None = None
        self._lock = threading.Lock()

    def create(self, visibility: float) -> None:
        """See ``Queue.create``. Messages are encrypted with keys of SQS, and kept for 4 days."""
        with _errors(self.name):
            answer = self._client.create_queue(
                QueueName=self.name,
                Attributes={
                    "VisibilityTimeout": str(_seconds(visibility)),
                    "MessageRetentionPeriod": str(_RETENTION),
                    "SqsManagedSseEnabled": "true",
                },
                tags={"airflow-sklearn": "pool"},
            )
        self._found = answer["QueueUrl"]

    def send(self, bodies: Sequence[str]) -> None:
        """See ``Queue.send``. Messages that SQS did not accept for a passing reason are sent again."""
        for batch in _batches(bodies):
            left = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(batch)]
            retry(partial(self._send, left), _SEND_PAUSES, on=lambda error: isinstance(error, _NotTakenError))

    def _send(self, left: list[dict[str, str]]) -> None:
        """Send messages; those that are taken leave the list."""
        with _errors(self.name, sending=True):
            failed = self._client.send_message_batch(QueueUrl=self._url, Entries=left).get("Failed", [])
        if refused := [one for one in failed if one.get("SenderFault")]:
            raise MessageRefusedError(f"SQS refuses {len(refused)} messages for {self.name}: {refused[0]}")
        again = {one["Id"] for one in failed}
        left[:] = [entry for entry in left if entry["Id"] in again]
        if left:
            raise _NotTakenError(f"SQS does not take {len(failed)} messages into {self.name}: {failed[0]}")

    def receive(self, limit: int, *, wait: float, visibility: float) -> list[Message]:
        """See ``Queue.receive``. SQS returns up to 10 messages at a time, after at most 20 seconds."""
        with _errors(self.name):
            answer = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(limit, _MESSAGES_A_CALL),
                WaitTimeSeconds=min(math.ceil(wait), _LONGEST_POLL),
                VisibilityTimeout=_seconds(visibility),
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        return [
            Message(one["Body"], one["ReceiptHandle"], int(one["Attributes"]["ApproximateReceiveCount"]))
            for one in answer.get("Messages", [])
        ]

    def renew(self, messages: Sequence[Message], visibility: float) -> None:
        """See ``Queue.renew``. The longest visibility is 12 hours."""
        for batch in _tens(messages):
            entries = [
                {"Id": str(number), "ReceiptHandle": one.receipt, "VisibilityTimeout": _seconds(visibility)}
                for number, one in enumerate(batch)
            ]
            with _errors(self.name):
                self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)

    def delete(self, messages: Sequence[Message]) -> None:
        """See ``Queue.delete``."""
        for batch in _tens(messages):
            entries = [{"Id": str(number), "ReceiptHandle": one.receipt} for number, one in enumerate(batch)]
            with _errors(self.name):
                self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)

    def destroy(self) -> None:
        """See ``Queue.destroy``."""
        with contextlib.suppress(QueueGoneError), _errors(self.name):
            self._client.delete_queue(QueueUrl=self._url)

    @property
    def _url(self) -> str:
        with self._lock:
            if self._found is None:
                with _errors(self.name):
                    self._found = str(self._client.get_queue_url(QueueName=self.name)["QueueUrl"])
            return self._found


def _batches(bodies: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for body in bodies:
        if batch and (len(batch) == _MESSAGES_A_CALL or size + len(body.encode()) > _BYTES_A_CALL):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += len(body.encode())
    if batch:
        yield batch


def _tens(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    for start in range(0, len(messages), _MESSAGES_A_CALL):
        yield messages[start : start + _MESSAGES_A_CALL]


def _seconds(visibility: float) -> int:
    return min(math.ceil(visibility), _LONGEST_VISIBILITY)


@contextlib.contextmanager
def _errors(name: str, *, sending: bool = False) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        kind = classify(error, _OWN)
        if kind is Kind.NOT_FOUND:
            raise QueueGoneError(f"There is no queue {name} in SQS.") from error
        if sending and kind is Kind.INVALID:
            raise MessageRefusedError(f"SQS refuses a message for {name}: {error}") from error
        if kind is Kind.DENIED:
            raise PoolError(
                f"SQS denies access to the queue {name} ({error}). `python -m airflow_sklearn.iam --pool ...` prints "
                "the rights that a pool's driver and its workers need."
            ) from error
        raise
