"""What pools rely on of a queue: the same of Amazon SQS as of a folder."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_sklearn.exceptions import MessageRefusedError, QueueGoneError, UserError
from airflow_sklearn.pool.queues import Queue, open_queue
from airflow_sklearn.pool.queues.folder import FolderQueue
from airflow_sklearn.pool.queues.sqs import SqsQueue
from tests.waiting import PATIENCE


@pytest.fixture(params=["folder", pytest.param("sqs", marks=pytest.mark.services)])
def queue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Queue]:
    if request.param == "folder":
        made = open_queue(f"file://{tmp_path}/queue")
    else:
        cloud = request.getfixturevalue("cloud")
        name = f"test-{uuid.uuid4().hex[:8]}"
        made = open_queue(f"sqs://{cloud.region}/{name}", lambda service, region: cloud.client(service))
    made.create(30)
    yield made
    made.destroy()


def receive_all(queue: Queue, count: int, *, visibility: float = 60) -> list[str]:
    found: list[str] = []
    give_up = time.monotonic() + PATIENCE
    while len(found) < count:
        assert time.monotonic() < give_up
        messages = queue.receive(10, wait=1, visibility=visibility)
        found += [message.body for message in messages]
        queue.delete(messages)
    return found


def test_what_is_sent_is_received_once(queue: Queue) -> None:
    sent = [f"{number} {'x' * 40_000}" for number in range(25)]
    queue.send(sent)
    assert sorted(receive_all(queue, 25)) == sorted(sent)
    assert queue.receive(10, wait=0, visibility=60) == []


def test_many_receivers_share_messages(queue: Queue) -> None:
    queue.send([str(number) for number in range(40)])
    found: list[str] = []

    def take() -> None:
        while messages := queue.receive(3, wait=1, visibility=60):
            found.extend(message.body for message in messages)
            queue.delete(messages)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, found)) == list(range(40))


def test_no_more_is_taken_than_was_asked_for(queue: Queue) -> None:
    queue.send(["a", "b", "c"])
    assert len(queue.receive(1, wait=5, visibility=60)) == 1
    assert len(receive_all(queue, 2)) == 2


def test_what_is_not_deleted_comes_again_and_is_counted(queue: Queue) -> None:
    queue.send(["task"])
    (first,) = queue.receive(1, wait=5, visibility=1)
    (again,) = queue.receive(1, wait=20, visibility=60)
    assert (first.deliveries, again.deliveries) == (1, 2)
    assert again.body == "task"
    queue.delete([first])  # by its old receipt: SQS may take it for the message or not
    queue.delete([again])
    assert queue.receive(1, wait=0, visibility=60) == []


def test_what_is_renewed_is_not_delivered_to_others(queue: Queue) -> None:
    queue.send(["task"])
    held = queue.receive(1, wait=5, visibility=2)
    for _ in range(4):
        queue.renew(held, 10)
        assert queue.receive(1, wait=1, visibility=60) == []
    queue.renew(held, 0)  # given back
    (again,) = queue.receive(1, wait=20, visibility=60)
    assert again.deliveries == 2
    queue.delete([again])


def test_a_queue_that_is_gone_is_told_apart(queue: Queue) -> None:
    queue.destroy()
    queue.destroy()
    with pytest.raises(QueueGoneError):
        queue.receive(1, wait=0, visibility=1)
    with pytest.raises(QueueGoneError):
        queue.send(["late"])


def test_a_queue_may_be_opened_before_it_is_there(tmp_path: Path) -> None:
    opened = open_queue(f"file://{tmp_path}/later")
    with pytest.raises(QueueGoneError):
        opened.receive(1, wait=0, visibility=1)
    open_queue(f"file://{tmp_path}/later").create(30)
    assert opened.receive(1, wait=0, visibility=1) == []


@pytest.mark.parametrize("uri", ["sqs://eu-west-1", "kafka://topic", "queue"])
def test_what_is_no_queue_is_named(uri: str) -> None:
    with pytest.raises(UserError, match="is no queue"):
        open_queue(uri)


class Refusing:
    """SQS, as it refuses a message: a local stand-in takes all."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def get_queue_url(self, **_: str) -> dict[str, str]:
        return {"QueueUrl": "url"}

    def send_message_batch(self, **_: Any) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    "answer",
    [
        {"Failed": [{"Id": "0", "SenderFault": True, "Code": "InvalidMessageContents"}]},
        ClientError({"Error": {"Code": "AWS.SimpleQueueService.BatchRequestTooLong"}}, "SendMessageBatch"),
    ],
)
def test_a_message_that_is_never_taken_is_told_apart(answer: Any) -> None:
    with pytest.raises(MessageRefusedError, match="refuses"):
        SqsQueue("tasks", Refusing(answer)).send(["x"])


def test_a_folder_is_not_listed_for_each_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = FolderQueue(f"{tmp_path}/queue")
    queue.create(30)
    queue.send([str(number) for number in range(100)])
    listed: list[str] = []
    names = FolderQueue._names

    def count(queue: FolderQueue, folder: str) -> list[str]:
        listed.append(folder)
        return names(queue, folder)

    monkeypatch.setattr(FolderQueue, "_names", count)
    monkeypatch.setattr("airflow_sklearn.pool.queues.folder._REAP_INTERVAL", 600)
    assert [queue.receive(1, wait=0, visibility=60)[0].body for _ in range(100)] == [str(n) for n in range(100)]
    assert len([folder for folder in listed if folder.endswith("ready")]) == 1
    queue.send(["later"])
    assert [message.body for message in queue.receive(10, wait=0, visibility=60)] == ["later"]
