"""Job queues in storage: which jobs an instance does, and in which order.

A pool is a folder with numbered job queues. Each belongs to one instance, and has a fixed number of slots::

    <pool>/places/<queue>-<slot>.json       a job, or the mark that the job queue is closed
    <pool>/instances/<queue>.json           the instance that was launched for the queue
    <pool>/cancelled/<queue>-<slot>         the mark that the job must not be started, or must be stopped
    <pool>/ended/<queue>-<slot>.json        how the job ended
    <pool>/beats/<queue>                    the instance's heartbeat, written again and again while it works

Where two processes may compete, create-if-absent decides: a slot has at most one job. An instance without further work
closes its free slots before it ends, so that no job waits for an instance that is gone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from airflow_sklearn.contract.job_queue import JobEnd, QueueEntry, QueueInstance
from airflow_sklearn.exceptions import ObjectExistsError, ObjectNotFoundError
from airflow_sklearn.storage import join

if TYPE_CHECKING:
    from airflow_sklearn.contract.job_queue import Placement
    from airflow_sklearn.storage import Storage

#: The content of a closed slot.
CLOSED = QueueEntry()


def slot_name(number: str, slot: int) -> str:
    """The name of a slot in all of the pool's folders."""
    return f"{number}-{slot:03}"


class JobQueue:
    """The job queue of one instance.

    :param storage: where the pool is.
    :param pool: the URI of the pool's folder.
    :param number: the queue's number in the pool.
    :param slots: the number of its slots.
    """

    def __init__(self, storage: Storage, pool: str, number: str, slots: int) -> None:
        self._storage, self.pool, self.number, self.slots = storage, pool, number, slots

    def take(self, slot: int, entry: QueueEntry) -> bool:
        """Put a job into a slot.

        :return: whether the job is in the slot now. False: the slot has another job, or is closed.
        """
        uri = self._slot_uri(slot)
        try:
            self._storage.create(uri, entry.to_json())
        except ObjectExistsError:
            return self.entry(slot) == entry  # the first answer may have been lost, and boto3 has repeated the request
        return True

    def entry(self, slot: int) -> QueueEntry | None:
        """The content of a slot; None if it is free."""
        uri = self._slot_uri(slot)
        try:
            return QueueEntry.from_json(self._storage.read(uri), where=uri)
        except ObjectNotFoundError:
            return None

    def close(self) -> None:
        """Close all free slots, so that no job can take one."""
        for slot in range(self.slots):
            self.take(slot, CLOSED)

    def withdraw(self, slot: int) -> bool:
        """Remove a job from the queue. If it was the last one, the queue is closed.

        :return: whether the queue has other work.
        """
        if self.end(slot) is not None:
            return True  # the instance will see by itself whether there is more work, or end
        self.cancel(slot)
        if not self._has_work():
            self.close()  # but a job may have been added just now
        return self._has_work()

    def _has_work(self) -> bool:
        return any(
            self.entry(slot) not in (None, CLOSED) and not self.is_cancelled(slot) and self.end(slot) is None
            for slot in range(self.slots)
        )

    def instance(self) -> QueueInstance | None:
        """The instance that was launched for the queue; None if none was."""
        uri = self._instance_uri
        try:
            return QueueInstance.from_json(self._storage.read(uri), where=uri)
        except ObjectNotFoundError:
            return None

    def set_instance(self, instance: QueueInstance) -> QueueInstance:
        """Store which instance was launched for the queue.

        :return: the stored instance, which is another one if another process was first.
        """
        try:
            self._storage.create(self._instance_uri, instance.to_json())
        except ObjectExistsError:
            return self.instance() or instance
        return instance

    def cancel(self, slot: int) -> None:
        """Mark a slot's job: it must not be started, or must be stopped."""
        self._storage.write(join(self.pool, "cancelled", slot_name(self.number, slot)), b"")

    def is_cancelled(self, slot: int) -> bool:
        """Whether a slot's job is marked as cancelled."""
        return self._storage.exists(join(self.pool, "cancelled", slot_name(self.number, slot)))

    def beat(self) -> None:
        """Write a heartbeat. Its content differs each time, and so does its ETag."""
        self._storage.write(join(self.pool, "beats", self.number), repr(time.time()).encode())

    def set_end(self, slot: int, end: JobEnd) -> None:
        """Store how a slot's job ended."""
        self._storage.write(end_uri(self.pool, slot_name(self.number, slot)), end.to_json())

    def end(self, slot: int) -> JobEnd | None:
        """How a slot's job ended; None if it has not, or nothing was stored."""
        uri = end_uri(self.pool, slot_name(self.number, slot))
        try:
            return JobEnd.from_json(self._storage.read(uri), where=uri)
        except ObjectNotFoundError:
            return None

    @property
    def _instance_uri(self) -> str:
        return join(self.pool, "instances", f"{self.number}.json")

    def _slot_uri(self, slot: int) -> str:
        return join(self.pool, "places", f"{slot_name(self.number, slot)}.json")


def queue_of(storage: Storage, placement: Placement) -> JobQueue:
    """The job queue in which a job was placed."""
    return JobQueue(storage, placement.pool, placement.number, placement.slots)


def ended_slots(storage: Storage, pool: str) -> set[str]:
    """The names of a pool's slots whose jobs have ended: one request for each thousand."""
    folder = join(pool, "ended/")
    return {found.uri.removeprefix(folder).removesuffix(".json") for found in storage.list(folder)}


def beats(storage: Storage, pool: str) -> dict[str, str]:
    """The ETag of the last heartbeat of each instance, by the number of its job queue: one request for each
    thousand.
    """
    folder = join(pool, "beats/")
    return {found.uri.removeprefix(folder): found.etag for found in storage.list(folder)}


def last_slot(storage: Storage, pool: str) -> tuple[int, int] | None:
    """The queue and slot that were taken last; None if the pool is unused. Only for queues with decimal numbers."""
    folder, last = join(pool, "places/"), None
    for found in storage.list(folder):
        last = found.uri.removeprefix(folder).removesuffix(".json")
    if last is None:
        return None
    number, _, slot = last.partition("-")
    return int(number), int(slot)


def end_uri(pool: str, name: str) -> str:
    """The URI at which the end of a slot's job is stored."""
    return join(pool, "ended", f"{name}.json")
