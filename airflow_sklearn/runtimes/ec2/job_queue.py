"""Rosters: which jobs an instance does, in which order. They lie in storage, where those who submit and who work meet.

A pool is a folder; in it are numbered rosters, one an instance, each with a fixed number of places::

    <pool>/places/<roster>-<place>.json      a job, or nobody's: the roster is closed from here on
    <pool>/instances/<roster>.json           the instance that was launched for it
    <pool>/cancelled/<roster>-<place>        the job is not to be done, or to be stopped
    <pool>/ended/<roster>-<place>.json       how it ended
    <pool>/beats/<roster>                    written again and again by its instance, for as long as it works

Everything that two may want at the same moment is made with create-if-absent: a place has one job. An instance that
has nothing more to do takes its own free places before it goes, so that no job waits for one that is gone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from airflow_sklearn.contract.job_queue import JobEnd, RosterEntry, RosterInstance
from airflow_sklearn.exceptions import ObjectExistsError, ObjectNotFoundError
from airflow_sklearn.storage import join

if TYPE_CHECKING:
    from airflow_sklearn.storage import Storage

#: In a place that nobody shall have.
CLOSED = RosterEntry()


def place_name(number: str, place: int) -> str:
    """What a place is called in all of the pool's folders."""
    return f"{number}-{place:03}"


class Roster:
    """The jobs of one instance.

    :param pool: URI of the pool's folder.
    :param number: of the roster in its pool.
    :param places: how many jobs it takes.
    """

    def __init__(self, storage: Storage, pool: str, number: str, places: int) -> None:
        self._storage, self.pool, self.number, self.places = storage, pool, number, places

    def take(self, place: int, entry: RosterEntry) -> bool:
        """Put a job into a place.

        :return: whether it is there now; False if another one, or nobody's, was there before.
        """
        uri = self._place_uri(place)
        try:
            self._storage.create(uri, entry.to_json())
        except ObjectExistsError:
            return self.entry(place) == entry  # an answer may have been lost, and the request repeated
        return True

    def entry(self, place: int) -> RosterEntry | None:
        """What is in a place; None if it is free."""
        uri = self._place_uri(place)
        try:
            return RosterEntry.from_json(self._storage.read(uri), where=uri)
        except ObjectNotFoundError:
            return None

    def close(self) -> None:
        """Take all places that are free: nobody gets one any more."""
        for place in range(self.places):
            self.take(place, CLOSED)

    def withdraw(self, place: int) -> bool:
        """Take a job off. If it was the last one, the roster is closed.

        :return: whether there is other work to do.
        """
        if self.end(place) is not None:
            return True  # its instance is about to see for itself whether there is more, or ends
        self.cancel(place)
        if not self._has_work():
            self.close()  # but somebody may just have brought a job
        return self._has_work()

    def _has_work(self) -> bool:
        return any(
            self.entry(place) not in (None, CLOSED) and not self.is_cancelled(place) and self.end(place) is None
            for place in range(self.places)
        )

    def instance(self) -> RosterInstance | None:
        """The instance that was launched for it; None if none was."""
        uri = self._instance_uri
        try:
            return RosterInstance.from_json(self._storage.read(uri), where=uri)
        except ObjectNotFoundError:
            return None

    def set_instance(self, instance: RosterInstance) -> RosterInstance:
        """Say which instance was launched for it.

        :return: the instance that it has: another one, if somebody was faster.
        """
        try:
            self._storage.create(self._instance_uri, instance.to_json())
        except ObjectExistsError:
            return self.instance() or instance
        return instance

    def cancel(self, place: int) -> None:
        self._storage.write(join(self.pool, "cancelled", place_name(self.number, place)), b"")

    def is_cancelled(self, place: int) -> bool:
        return self._storage.exists(join(self.pool, "cancelled", place_name(self.number, place)))

    def beat(self) -> None:
        """Say that the instance looks after its jobs. What is written differs each time, and with it the ETag."""
        self._storage.write(join(self.pool, "beats", self.number), repr(time.time()).encode())

    def set_end(self, place: int, end: JobEnd) -> None:
        self._storage.write(end_uri(self.pool, place_name(self.number, place)), end.to_json())

    def end(self, place: int) -> JobEnd | None:
        """How a job ended; None if it has not, or if nothing is known of it."""
        uri = end_uri(self.pool, place_name(self.number, place))
        try:
            return JobEnd.from_json(self._storage.read(uri), where=uri)
        except ObjectNotFoundError:
            return None

    @property
    def _instance_uri(self) -> str:
        return join(self.pool, "instances", f"{self.number}.json")

    def _place_uri(self, place: int) -> str:
        return join(self.pool, "places", f"{place_name(self.number, place)}.json")


def ended_places(storage: Storage, pool: str) -> set[str]:
    """Names of the places of all rosters of a pool whose jobs have ended: one listing for as many as a thousand."""
    folder = join(pool, "ended/")
    return {found.uri.removeprefix(folder).removesuffix(".json") for found in storage.list(folder)}


def beats(storage: Storage, pool: str) -> dict[str, str]:
    """The ETag of the last beat of each roster's instance, by the roster's number: one listing for a thousand."""
    folder = join(pool, "beats/")
    return {found.uri.removeprefix(folder): found.etag for found in storage.list(folder)}


def last_place(storage: Storage, pool: str) -> tuple[int, int] | None:
    """Roster and place that were taken last; None in a pool that nobody has used. For rosters with decimal numbers."""
    folder, last = join(pool, "places/"), None
    for found in storage.list(folder):
        last = found.uri.removeprefix(folder).removesuffix(".json")
    if last is None:
        return None
    number, _, place = last.partition("-")
    return int(number), int(place)


def end_uri(pool: str, name: str) -> str:
    """Where it stands how the job of a place ended."""
    return join(pool, "ended", f"{name}.json")
