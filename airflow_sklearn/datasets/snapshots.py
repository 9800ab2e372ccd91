"""Snapshots: rows of a table or a query, exported into files once for a run, under a folder of the run's own.

::

    <staging>/unloads/<task>/<n>/                     n: how often the task was cleared
    <staging>/unloads/<task>/<n>/<attempt>/rows/      the files
    <staging>/unloads/<task>/<n>/snapshot.json        written last: the files are whole

What a run reads is what the table held at one moment, whatever becomes of the table. A retry finds the snapshot of an
earlier attempt; a task that is cleared takes a new one, and removes the old.
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
    """The folder of a task instance since it was last cleared.

    :param staging: the URI of the folder that is for such files.
    """
    task = content_id([identity.dag_id, identity.task_id, identity.run_id, identity.map_index])
    return join(staging, "unloads", task, str(clears))


def rows_folder(folder: str, attempt: str, query: str) -> str:
    """Where an attempt's files go, with its slash.

    :param folder: ``snapshot_folder``'s.
    :param attempt: the number of the try: a name of the attempt's own.
    :param query: what is exported.
    """
    return join(folder, attempt, content_id(query), "rows", "")


def store_snapshot(storage: Storage, snapshot: Snapshot) -> None:
    """Say that the files are whole."""
    storage.write(join(snapshot.folder, _SNAPSHOT), snapshot.to_json())


def find_snapshot(storage: Storage, folder: str) -> Snapshot | None:
    """What an earlier attempt of the task has unloaded; its files are whole, or it has served and they are gone.

    :raises DocumentError: the document names what lies elsewhere: no attempt of the task has written it.
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
    """What the task had left before it was cleared. Nothing of a newer clear: this attempt may be a late one."""
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
    """Remove what was unloaded, when it has served. An error here must not fail what has succeeded.

    A document can be forged, and this deletes with Airflow's rights: only what an export makes is removed, by its
    names, and nothing where the document's folder is none of ``snapshot_folder``'s.

    :param folder: the task's own, where the caller knows it: nothing is removed from any other one.
    :param served: the URI of what was made of it: stays behind, for an attempt that comes after.
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
        # The document first: else an attempt at the same time would take the files for whole.
        if served:
            storage.write(document, snapshot.model_copy(update={"served": served}).to_json())
        else:
            storage.delete([document])
        storage.delete(
            obj.uri for obj in storage.list(join(snapshot.folder, "")) if _is_below(snapshot.folder, obj.uri)
        )
    except StorageError as error:
        log.warning("What was unloaded could not be removed from %s: %s", snapshot.folder, error)
