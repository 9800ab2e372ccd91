"""Job queues: which jobs an instance does, in which order. They lie in storage: submitters and workers meet there.

A pool is a folder; in it are numbered job queues, one an instance, each with a fixed number of slots::

    <pool>/places/<queue>-<slot>.json       a job, or nobody's: the job queue is closed from here on
    <pool>/instances/<queue>.json           the instance that was launched for it
    <pool>/cancelled/<queue>-<slot>         the job is not to be done, or to be stopped
    <pool>/ended/<queue>-<slot>.json        how it ended
    <pool>/beats/<queue>                    written again and again by its instance, for as long as it works

Everything that two may want at the same moment is made with create-if-absent: a slot has one job. An instance that
has nothing more to do takes its own free slots before it goes, so that no job waits for one that is gone.
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

#: In a slot that nobody shall have.
CLOSED = QueueEntry()


def slot_name(number: str, slot: int) -> str:
    """What a slot is called in all of the pool's folders."""
    return f"{number}-{slot:03}"


class JobQueue:
    """The jobs of one instance.

    :param pool: URI of the pool's folder.
    :param number: of the job queue in its pool.
    :param slots: how many jobs it takes.
    """

    def __init__(self, storage: Storage, pool: str, number: str, slots: int) -> None:
        self._storage, self.pool, self.number, self.slots = storage, pool, number, slots

    def take(self, slot: int, entry: QueueEntry) -> bool:
        """Put a job into a slot.

        :return: whether it is there now; False if another one, or nobody's, was there before.
        """
        uri = self._slot_uri(slot)
        try:
            self._storage.create(uri, entry.to_json())
        except ObjectExistsError:
            return self.entry(slot) == entry  # an answer may have been lost, and the request repeated
        return True

    def entry(self, slot: int) -> QueueEntry | None:
        """What is in a slot; None if it is free."""
        uri = self._slot_uri(slot)
        try:
            return QueueEntry.from_json(self._storage.read(uri), where=uri)
        except ObjectNotFoundError:
            return None

    def close(self) -> None:
        """Take all slots that are free: nobody gets one any more."""
        for slot in range(self.slots):
            self.take(slot, CLOSED)

    def withdraw(self, slot: int) -> bool:
        """Take a job off. If it was the last one, the job queue is closed.

        :return: whether there is other work to do.
        """
        if self.end(slot) is not None:
            return True  # its instance is about to see for itself whether there is more, or ends
        self.cancel(slot)
        if not self._has_work():
            self.close()  # but somebody may just have brought a job
        return self._has_work()

    def _has_work(self) -> bool:
        return any(
            self.entry(slot) not in (None, CLOSED) and not self.is_cancelled(slot) and self.end(slot) is None
            for slot in range(self.slots)
        )

    def instance(self) -> QueueInstance | None:
        """The instance that was launched for it; None if none was."""
        uri = self._instance_uri
        try:
            return QueueInstance.from_json(self._storage.read(uri), where=uri)
        except ObjectNotFoundError:
            return None

    def set_instance(self, instance: QueueInstance) -> QueueInstance:
        """Say which instance was launched for it.

        :return: the instance that it has: another one, if somebody was faster.
        """
        try:
            self._storage.create(self._instance_uri, instance.to_json())
        except ObjectExistsError:
            return self.instance() or instance
        return instance

    def cancel(self, slot: int) -> None:
        """Say that a job is not to be done, or to be stopped."""
        self._storage.write(join(self.pool, "cancelled", slot_name(self.number, slot)), b"")

    def is_cancelled(self, slot: int) -> bool:
        """Whether somebody has said that a job is not to be done, or to be stopped."""
        return self._storage.exists(join(self.pool, "cancelled", slot_name(self.number, slot)))

    def beat(self) -> None:
        """Say that the instance looks after its jobs. What is written differs each time, and with it the ETag."""
        self._storage.write(join(self.pool, "beats", self.number), repr(time.time()).encode())

    def set_end(self, slot: int, end: JobEnd) -> None:
        """Write down how a job ended."""
        self._storage.write(end_uri(self.pool, slot_name(self.number, slot)), end.to_json())

    def end(self, slot: int) -> JobEnd | None:
        """How a job ended; None if it has not, or if nothing is known of it."""
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
    """The queue that a job was placed in."""
    return JobQueue(storage, placement.pool, placement.number, placement.slots)


def ended_slots(storage: Storage, pool: str) -> set[str]:
    """Names of the slots of all job queues of a pool whose jobs have ended: one listing for as many as a thousand."""
    folder = join(pool, "ended/")
    return {found.uri.removeprefix(folder).removesuffix(".json") for found in storage.list(folder)}


def beats(storage: Storage, pool: str) -> dict[str, str]:
    """The ETag of the last beat of each job queue's instance, by the job queue's number: one listing for a thousand."""
    folder = join(pool, "beats/")
    return {found.uri.removeprefix(folder): found.etag for found in storage.list(folder)}


def last_slot(storage: Storage, pool: str) -> tuple[int, int] | None:
    """Queue and slot that were taken last; None in a pool that nobody has used. For queues with decimal numbers."""
    folder, last = join(pool, "places/"), None
    for found in storage.list(folder):
        last = found.uri.removeprefix(folder).removesuffix(".json")
    if last is None:
        return None
    number, _, slot = last.partition("-")
    return int(number), int(slot)


def end_uri(pool: str, name: str) -> str:
    """Where it stands how the job of a slot ended."""
    return join(pool, "ended", f"{name}.json")
