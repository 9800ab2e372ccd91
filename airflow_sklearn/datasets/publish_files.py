"""Publishing files into a folder, all or none. In the end the folder holds exactly one run's files.

::

    lock         ``_publishing.json`` lists all files that may have to be removed: new, old and abandoned ones
    copy         the new files get names that no other publication uses; their content is checked
    publish      ``_manifest.json`` names them; it replaces exactly the version that was read under the lock
    clean up     files that are listed and not in the manifest are removed, then the lock

If a publication dies, the next one cleans up, whichever run's it is. A file is removed only when no manifest can name
it any more: after the manifest was replaced, which makes all publications fail that have read the one before.
"""

from __future__ import annotations

import logging
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_sklearn.contract.faults import counted
from airflow_sklearn.contract.planned import Planned
from airflow_sklearn.contract.proof import PublishedManifest, Publishing
from airflow_sklearn.datasets.folder_lock import LOCK_EXPIRES, FolderLock
from airflow_sklearn.datasets.run_order import log_replacement, older_fault, rival_fault
from airflow_sklearn.exceptions import (
    ObjectChangedError,
    ObjectExistsError,
    ObjectNotFoundError,
    PublicationRefusedError,
    PublishError,
)
from airflow_sklearn.storage import join

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta

    from airflow_sklearn.contract.data import OutputFiles
    from airflow_sklearn.contract.receipt import OutputPart
    from airflow_sklearn.storage import Storage

log = logging.getLogger(__name__)

MANIFEST_NAME = "_manifest.json"
_PART = re.compile(r"part-\d{5,}-([0-9a-f]{16})((?:\.[0-9A-Za-z]+)*)")
_COPIERS = 16
#: The number of earlier publications that a manifest lists.
_EARLIER = 50


@dataclass(frozen=True)
class FileLoad:
    """Files that become the content of one folder.

    :param partition: the folder below the destination.
    :param fingerprint: identifies the content. If it is published already, nothing is changed.
    :param proof_uri: the URI of the proof for the files.
    :param planned: when and by which task the run was planned: an older run does not replace the rows of a newer one.
    :param replace_newer: let it do so.
    """

    destination: OutputFiles
    partition: str
    files: tuple[OutputPart, ...]
    rows: int
    fingerprint: str
    proof_uri: str
    planned: Planned = field(default_factory=Planned)
    replace_newer: bool = False

    @property
    def folder(self) -> str:
        """The URI of the partition's folder."""
        return join(self.destination.uri, self.partition)


def publish_files(
    storage: Storage, load: FileLoad, *, lock_expires: timedelta = LOCK_EXPIRES
) -> tuple[PublishedManifest, bool]:
    """Make files the content of a folder.

    A reader of the manifest sees the old rows or the new ones, never both.

    :param storage: where the files and the folder are.
    :param load: the files and the folder.
    :param lock_expires: the age at which another run's lock expires.
    :return: the manifest, and whether anything was published. False: the same rows were published before, and exist.
    :raises PublicationRefusedError: the partition was published before and ``if_exists`` is ``fail``; or it holds rows
        of a newer run, or of another task of the same run; or it lies in another partition, or is a link that leads out
        of the destination. Nothing was changed, and a retry does not help.
    :raises PublishError: the partition holds files that this package has not published, or another run is publishing
        there.
    :raises ObjectChangedError: a file does not have its digest.
    """
    for fault in _place_faults(storage, load):
        raise PublicationRefusedError(fault)
    owner = uuid.uuid4().hex
    targets = tuple(_target(load.folder, owner[:16], number, part) for number, part in enumerate(load.files))
    mine = Publishing(
        fingerprint=load.fingerprint,
        owner=owner,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        files=targets,
        planned=load.planned,
    )
    with FolderLock(storage, load.folder, mine, lock_expires) as lock:
        published = _Publication(storage, load, targets, lock).run()
    storage.remove_abandoned(join(load.folder, ""))
    return published


def read_published(storage: Storage, folder: str) -> PublishedManifest | None:
    """The manifest of a folder; None if nothing was published there. In a copied folder it names the copies."""
    return _read_manifest(storage, folder)[0]


def replacement_faults(storage: Storage, load: FileLoad) -> list[str]:
    """Reasons why a run could not replace the present content of its folder. They are checked before anything is
    computed.
    """
    faults = _place_faults(storage, load)
    before = read_published(storage, load.folder)
    if before is not None and before.fingerprint != load.fingerprint and (fault := _fault(before, load)):
        faults.append(fault)
    return faults


class _Publication:
    """One attempt at a publication, under the lock.

    :param targets: the copies of the files.
    """

    def __init__(self, storage: Storage, load: FileLoad, targets: tuple[OutputPart, ...], lock: FolderLock) -> None:
        self._storage, self._load, self._targets, self._lock = storage, load, targets, lock
        self._before, self._etag = _read_manifest(storage, load.folder)

    def run(self) -> tuple[PublishedManifest, bool]:
        before, load = self._before, self._load
        if before and before.fingerprint == load.fingerprint and (missing := self._missing(before)) is not None:
            return self._keep(before, missing)
        try:
            if before and (fault := _fault(before, load)):
                raise PublicationRefusedError(fault)
            self._refuse_foreign_files()
        except PublishError:
            self._give_up(())
            raise
        if before:
            self._lock.note(before.files)
        self._lock.keep = True
        self._copy(list(zip(load.files, self._targets, strict=True)))
        manifest = PublishedManifest(
            fingerprint=load.fingerprint,
            partition=load.partition,
            published_at=datetime.now(UTC).isoformat(timespec="seconds"),
            proof_uri=load.proof_uri,
            rows=load.rows,
            files=self._targets,
            planned=load.planned,
            replaced=before.publication() if before else None,
            earlier=self._earlier(before.files if before else ()),
        )
        rival = self._write(manifest)
        if rival is not None:
            if rival.fingerprint != load.fingerprint:
                self._withdraw(self._targets)
                raise PublishError(f"Another run published into {load.folder} at the same time. Commit again.")
            log.info("Another attempt at this publication was quicker.")
        self._clean_up(rival or manifest)
        if rival is None and manifest.replaced:
            log_replacement(log, load.folder, manifest.replaced, rows=manifest.replaced.rows, by=load.rows)
        return rival or manifest, rival is None

    def _missing(self, before: PublishedManifest) -> list[tuple[OutputPart, OutputPart]] | None:
        """The files of an earlier publication of the same rows that are gone, each with its source.

        None: they cannot be restored under their names.
        """
        gone = set(_gone(self._storage, self._load.folder, before.files))
        if not gone:
            return []
        known = [(part.sha256, part.size) for part in before.files]
        if known != [(part.sha256, part.size) for part in self._load.files]:
            return None
        return [pair for pair in zip(self._load.files, before.files, strict=True) if pair[1].uri in gone]

    def _keep(
        self, before: PublishedManifest, missing: Sequence[tuple[OutputPart, OutputPart]]
    ) -> tuple[PublishedManifest, bool]:
        if missing:
            what = counted(len(missing), "published file")
            log.warning("Gone from %s, and copied again: %s.", self._load.folder, what)
            self._copy(missing)
        planned = max(before.planned, self._load.planned, key=lambda planned: planned.at)
        return self._confirm(before.model_copy(update={"planned": planned})), bool(missing)

    def _confirm(self, manifest: PublishedManifest) -> PublishedManifest:
        """Leave the manifest as it is, and remove files that it does not name.

        :raises PublishError: another run has published.
        """
        # An abandoned publication may still live. The manifest changes first, so that it cannot publish its files.
        manifest = manifest.model_copy(update={"earlier": self._earlier(())})
        stored = self._storage.read(join(self._load.folder, MANIFEST_NAME), etag=self._etag)
        if manifest.to_json() != stored and self._write(manifest) is not None:
            raise PublishError(f"Another run published into {self._load.folder} at the same time. Commit again.")
        self._clean_up(manifest)
        return manifest

    def _copy(self, pairs: Sequence[tuple[OutputPart, OutputPart]]) -> None:
        """Copy files. If that fails, the copies are removed.

        :raises PublishError: another attempt has taken over.
        """
        copies = [target for _, target in pairs]
        try:
            with ThreadPoolExecutor(_COPIERS) as pool:
                list(pool.map(lambda pair: _copy_part(self._storage, *pair), pairs))
            self._lock.check()
            if gone := _gone(self._storage, self._load.folder, copies):
                what = counted(len(gone), "file")
                raise PublishError(f"Gone after they were copied: {what}, first {gone[0]}. Commit again.")
        except Exception:
            self._give_up(copies)
            raise

    def _give_up(self, copies: Iterable[OutputPart]) -> None:
        """Restore the content that the manifest names. Files that cannot be removed now stay listed in the lock."""
        try:
            self._withdraw(copies)
            if self._before and self._lock.abandoned and self._lock.is_held():
                self._confirm(self._before)
            self._lock.keep = bool(self._lock.abandoned) and self._before is None
        except Exception as error:  # the error that is being raised says more
            log.warning("Files may stay in %s until the next attempt: %s", self._load.folder, error)

    def _withdraw(self, copies: Iterable[OutputPart]) -> None:
        """Remove copies that will not be published. No other publication can publish them."""
        now = read_published(self._storage, self._load.folder)
        published = {part.uri for part in now.files} if now else set()
        self._storage.delete([part.uri for part in copies if part.uri not in published])

    def _write(self, manifest: PublishedManifest) -> PublishedManifest | None:
        """Publish: replace exactly the manifest that was read under the lock.

        :return: None, or the manifest that another run has published instead.
        """
        uri, data = join(self._load.folder, MANIFEST_NAME), manifest.to_json()
        try:
            if self._etag is None:
                self._storage.create(uri, data)
            else:
                self._storage.replace(uri, data, etag=self._etag)
        except Exception as error:  # any error: the write may have succeeded, and its answer was lost
            now = read_published(self._storage, self._load.folder)
            if now == manifest:
                return None
            if now is not None and isinstance(error, ObjectExistsError | ObjectChangedError):
                return now
            raise
        return None

    def _clean_up(self, manifest: PublishedManifest) -> None:
        """Remove all files of this and earlier publications that are not in the manifest. Only files in this folder."""
        published = {part.uri for part in manifest.files}
        if rest := [uri for uri in self._own_files() if uri not in published]:
            what = counted(len(rest), "file")
            log.info("Removing %s of other publications from %s.", what, self._load.folder)
            self._storage.delete(rest)

    def _refuse_foreign_files(self) -> None:
        folder = join(self._load.folder, "")
        # One listing: an abandoned publication that still lives may copy a file between two.
        names = [obj.uri.removeprefix(folder) for obj in self._storage.expand([folder], allow_empty=True)]
        ours = set(self._own_names(names))
        if foreign := [name for name in names if name not in ours]:
            raise PublishError(
                f"{self._load.folder} holds {counted(len(foreign), 'file')} that this package did not publish "
                f"({', '.join(foreign[:5])}). Readers would take them for predictions. Fix: move them away, or choose "
                "another partition."
            )

    def _own_files(self) -> list[str]:
        """The files in the folder that belong to this publication or an earlier one."""
        folder = join(self._load.folder, "")
        names = [obj.uri.removeprefix(folder) for obj in self._storage.list(f"{folder}part-")]
        return [join(folder, name) for name in self._own_names(names)]

    def _own_names(self, names: Iterable[str]) -> list[str]:
        """Those of ``names`` that show that the file belongs to this publication or an earlier one."""
        before = self._before
        listed = {_name(part) for part in (*self._lock.files, *(before.files if before else ()))}
        ids = set(before.earlier if before else ())
        return [
            name for name in names if (found := _PART.fullmatch(name)) and (name in listed or found.group(1) in ids)
        ]

    def _earlier(self, replaced: Iterable[OutputPart]) -> tuple[str, ...]:
        """Ids of publications whose files are gone or will be removed: earlier, replaced and abandoned ones."""
        current = {_name(part) for part in self._before.files} if self._before else set()
        dead = [part for part in self._lock.abandoned if _name(part) not in current]
        ids = dict.fromkeys(self._before.earlier if self._before else ())
        for parts in (dead, list(replaced)):
            found = {_id(_name(part)) for part in parts}
            ids |= dict.fromkeys(sorted(found)) if len(found) < _EARLIER else {}  # 0.1.0 had another one in each name
        return tuple(ids)[-_EARLIER:]


def _place_faults(storage: Storage, load: FileLoad) -> list[str]:
    """Why nothing may be published in a folder, whatever it holds."""
    faults = []
    if storage.leads_out(load.folder, load.destination.uri):
        faults.append(
            f"{load.folder} is a symbolic link, or below one, that leads out of the destination: files elsewhere would "
            "be replaced. Fix: name the folder that it leads to as the destination, or remove the link."
        )
    folders = load.partition.split("/")
    for depth in range(len(folders)):
        above = join(load.destination.uri, *folders[:depth])
        manifest = join(above, MANIFEST_NAME)
        # Listed, not read: reading an absent object may need a permission that nobody has.
        if any(obj.uri == manifest for obj in storage.list(manifest)):
            faults.append(
                f"{load.folder} lies in {above}, which holds a partition of its own: readers of that would find these "
                "rows too. Fix: choose another destination or partition."
            )
    return faults


def _fault(before: PublishedManifest, load: FileLoad) -> str:
    """Why a run may not replace the present content; empty if it may."""
    if load.destination.if_exists == "fail":
        return (
            f"{load.folder} was published before ({counted(before.rows, 'row')} at {before.published_at}) and "
            "if_exists is 'fail'. Fix: set if_exists='replace' to replace its rows, or choose another partition."
        )
    if before.fingerprint == load.fingerprint:
        return ""
    if load.planned.is_rival_of(before.planned):
        return rival_fault(load.folder, str(before.publication()))
    if load.planned.is_older_than(before.planned) and not load.replace_newer:
        return older_fault(load.folder, str(before.publication()), load.planned)
    return ""


def _read_manifest(storage: Storage, folder: str) -> tuple[PublishedManifest | None, str | None]:
    """The manifest and its etag. Its files are those of this folder, even if the folder was copied from another one."""
    uri = join(folder, MANIFEST_NAME)
    try:
        etag = storage.stat(uri).etag
        manifest = PublishedManifest.from_json(storage.read(uri, etag=etag), where=uri)
    except ObjectNotFoundError:
        return None, None
    files = [part.model_copy(update={"uri": join(folder, _name(part))}) for part in manifest.files]
    return manifest.model_copy(update={"files": tuple(files)}), etag


def _target(folder: str, publication: str, number: int, part: OutputPart) -> OutputPart:
    ending = _name(part)[len(part.sha256) :]
    name = f"part-{number:05d}-{publication}{ending}"
    if not _PART.fullmatch(name):
        raise PublishError(f"{part.uri} is no name of a file of predictions.")
    return part.model_copy(update={"uri": join(folder, name), "etag": ""})


def _copy_part(storage: Storage, part: OutputPart, target: OutputPart) -> None:
    storage.copy(part.uri, target.uri, etag=part.etag or None, sha256=part.sha256)


def _name(part: OutputPart) -> str:
    return part.uri.rpartition("/")[2]


def _id(name: str) -> str:
    """The id of the publication to which a file belongs."""
    found = _PART.fullmatch(name)
    return found.group(1) if found else ""


def _gone(storage: Storage, folder: str, parts: Iterable[OutputPart]) -> list[str]:
    sizes = {obj.uri: obj.size for obj in storage.list(join(folder, "part-"))}
    return [part.uri for part in parts if sizes.get(part.uri) != part.size]
