"""The attempts at a run's chunks, as small documents in its ledger, from which the run's page is made.

They decide nothing: what cannot be stored or read is left out. Their names begin with the chunk's id::

    <ledger>/attempts/<chunk id>-<attempt>.start.json
    <ledger>/attempts/<chunk id>-<attempt>.end.json      only if the attempt's output does not count
"""

from __future__ import annotations

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from airflow_sklearn.contract.attempt import AttemptEnd, AttemptStart
from airflow_sklearn.exceptions import AirflowSklearnError, ObjectExistsError
from airflow_sklearn.storage import join

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_sklearn.storage import Storage

log = logging.getLogger(__name__)

_Kind = TypeVar("_Kind", AttemptStart, AttemptEnd)
_NAME = re.compile(r"(?P<name>[0-9a-f]{16}-[0-9A-Za-z-]{1,64})\.(?P<what>start|end)\.json")
_RESULT_ENDING = ".result.json"
_THREADS = 16
_LONGEST_MESSAGE = 2_000  # characters


@dataclass(frozen=True)
class Attempt:
    """What is stored of one attempt, whose output does not count, or which has not ended.

    :param name: the name of its documents: the chunk's id and the attempt's.
    """

    name: str
    start: AttemptStart | None = None
    end: AttemptEnd | None = None

    @property
    def chunk_id(self) -> str:
        """The chunk."""
        return self.name.partition("-")[0]


def attempt_name(ledger: str, result_uri: str) -> str:
    """The name of an attempt's documents, from the URI of its job's result; empty: it is of no run's ledger.

    :param ledger: the URI of the ledger's folder.
    """
    folder, name = join(ledger, "jobs", ""), result_uri.rpartition("/")[2].removesuffix(_RESULT_ENDING)
    return name if result_uri == f"{folder}{name}{_RESULT_ENDING}" and _NAME.fullmatch(f"{name}.end.json") else ""


def now() -> str:
    """The time now, as documents have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def record(storage: Storage, ledger: str, name: str, document: AttemptStart | AttemptEnd) -> None:
    """Store a document of an attempt, unless there is one. A failure is only logged: it must not fail the work.

    :param ledger: the URI of the ledger's folder.
    :param name: the result of ``attempt_name``; empty: nothing is stored.
    """
    if not name:
        return
    if isinstance(document, AttemptEnd) and len(document.message) > _LONGEST_MESSAGE:
        document = document.model_copy(update={"message": f"{document.message[:_LONGEST_MESSAGE]} ..."})
    try:
        what = "start" if isinstance(document, AttemptStart) else "end"
        storage.create(join(ledger, "attempts", f"{name}.{what}.json"), document.to_json())
    except ObjectExistsError:
        pass
    except Exception as error:
        log.info("The run's page will not show this attempt (%s): %s", name, error)


def read_attempts(storage: Storage, ledger: str, counted: Collection[str], *, most: int) -> tuple[list[Attempt], int]:
    """The attempts whose output does not count, or which have not ended.

    :param ledger: the URI of the ledger's folder.
    :param counted: the names of attempts whose receipts count, which need not be read.
    :param most: the largest number of attempts to read.
    :return: the attempts in the order of their names, and how many were left out.
    """
    found: dict[str, set[str]] = {}
    for stored in storage.list(join(ledger, "attempts", "")):
        if (match := _NAME.fullmatch(stored.uri.rpartition("/")[2])) and match["name"] not in counted:
            found.setdefault(match["name"], set()).add(match["what"])
    names = sorted(found)[:most]

    def read(name: str) -> Attempt:
        return Attempt(
            name,
            start=_read(storage, ledger, name, AttemptStart) if "start" in found[name] else None,
            end=_read(storage, ledger, name, AttemptEnd) if "end" in found[name] else None,
        )

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(read, names)), len(found) - len(names)


def _read(storage: Storage, ledger: str, name: str, kind: type[_Kind]) -> _Kind | None:
    uri = join(ledger, "attempts", f"{name}.{'start' if kind is AttemptStart else 'end'}.json")
    try:
        return kind.from_json(storage.read(uri), where=uri)
    except AirflowSklearnError as error:  # gone, or not what it should be
        log.info("%s", error)
        return None
