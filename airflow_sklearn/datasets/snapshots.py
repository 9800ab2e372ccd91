"""Snapshots: rows of a table or a query, exported into files once for a run, in a folder of their own.

::

    <staging>/unloads/<task>/<n>/                     n: how often the task was cleared
    <staging>/unloads/<task>/<n>/<attempt>/rows/      the files
    <staging>/unloads/<task>/<n>/snapshot.json        written last: shows that the files are complete

A run reads the rows that the table held at one moment, even if the table changes later. A retry uses the snapshot of an
earlier attempt. A task that was cleared makes a new one, and removes the old one.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from airflow_sklearn.contract.document import content_id
from airflow_sklearn.contract.tables import Snapshot
from airflow_sklearn.exceptions import DocumentError, ObjectNotFoundError, StorageError
from airflow_sklearn.storage import join

if TYPE_CHECKING:
    from airflow_sklearn.contract.jobs import JobIdentity
    from airflow_sklearn.storage import Storage

log = logging.getLogger(__name__)

_SNAPSHOT = "snapshot.json"
_FOLDER = re.compile(r"/unloads/[0-9a-f]{16}/\d+\Z")  # of a task instance since it was last cleared
_ROWS = re.compile(r"\d+/[0-9a-f]{16}/rows/[^/]+")  # below it, of one attempt


def snapshot_folder(staging: str, identity: JobIdentity, clears: int) -> str:
    """The folder for the exports of a task instance since it was last cleared.

    :param staging: the URI of the folder for all exports.
    :param identity: the task instance.
    :param clears: how often it was cleared.
    """
    task = content_id([identity.dag_id, identity.task_id, identity.run_id, identity.map_index])
    return join(staging, "unloads", task, str(clears))


def rows_folder(folder: str, attempt: str, query: str) -> str:
    """The URI of the folder for an attempt's files, with a slash at its end.

    :param folder: the result of ``snapshot_folder``.
    :param attempt: the attempt's number.
    :param query: the exported query.
    """
    return join(folder, attempt, content_id(query), "rows", "")


def store_snapshot(storage: Storage, snapshot: Snapshot) -> None:
    """Store a snapshot's document, after all of its files are complete."""
    storage.write(join(snapshot.folder, _SNAPSHOT), snapshot.to_json())


def find_snapshot(storage: Storage, folder: str) -> Snapshot | None:
    """The snapshot of an earlier attempt; None if there is none. Its files are complete, or were removed after their
    use.

    :raises DocumentError: the document names files elsewhere, so that no attempt of the task has written it.
    """
    uri = join(folder, _SNAPSHOT)
    try:
        found = Snapshot.from_json(storage.read(uri), where=uri)
    except ObjectNotFoundError:
        return None
    elsewhere = [name for name in (*found.files.uris, found.manifest_uri) if not _is_below(folder, name)]
    if elsewhere or found.folder != folder:
        raise DocumentError(
            f"{_SNAPSHOT}: it names {[found.folder, *elsewhere][-1]}, which is not in its own folder: somebody else "
            f"has written it. Fix: find out who can write there, and remove it. ({uri})"
        )
    return found


def _is_below(folder: str, uri: str) -> bool:
    root = join(folder, "")
    return uri.startswith(root) and _ROWS.fullmatch(uri.removeprefix(root)) is not None


def remove_others(storage: Storage, folder: str) -> None:
    """Remove exports from before the task was cleared. Those of later clears stay: this attempt may be a late one."""
    parent, _, ours = folder.rpartition("/")
    prefix = join(parent, "")
    leftovers = [
        obj.uri
        for obj in storage.list(prefix)
        if (number := obj.uri.removeprefix(prefix).partition("/")[0]).isdigit() and int(number) < int(ours)
    ]
    if leftovers:
        log.info("Removing %d files that earlier runs of this task left in %s", len(leftovers), parent)
        storage.delete(leftovers)


def delete_snapshot(storage: Storage, snapshot: Snapshot | None, *, folder: str = "", served: str = "") -> None:
    """Remove exported files after their use. An error is only logged, because the task has succeeded.

    A document can be forged, and files are deleted with Airflow's permissions. Therefore only files with the names that
    an export gives are removed, and only in a folder from ``snapshot_folder``.

    :param folder: the task's own folder, if the caller knows it: nothing is removed elsewhere.
    :param served: the URI of the result made of the rows. The document stays, and tells it to a later attempt.
    """
    if snapshot is None or snapshot.keep:
        return
    if not _FOLDER.search(snapshot.folder) or folder not in ("", snapshot.folder):
        log.warning(
            "%s is not where this task unloads to, whatever the document says that names it: nothing is removed.",
            snapshot.folder,
        )
        return
    document = join(snapshot.folder, _SNAPSHOT)
    try:
        # The document first: else another attempt could see it and believe that the files are complete.
        if served:
            storage.write(document, snapshot.model_copy(update={"served": served}).to_json())
        else:
            storage.delete([document])
        storage.delete(
            obj.uri for obj in storage.list(join(snapshot.folder, "")) if _is_below(snapshot.folder, obj.uri)
        )
    except StorageError as error:
        log.warning("What was unloaded could not be removed from %s: %s", snapshot.folder, error)
