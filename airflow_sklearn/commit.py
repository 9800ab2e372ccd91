"""The commit: prove from the receipts that a run is complete, then publish it in one step that is all or nothing."""

from __future__ import annotations

import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_sklearn.contract.data import OutputFiles
from airflow_sklearn.contract.proof import Proof, PublishedManifest, Publishing
from airflow_sklearn.contract.receipt import KEY_HASH_ALGORITHM, KeyHash, OutputPart
from airflow_sklearn.exceptions import (
    IncompleteRunError,
    ObjectChangedError,
    ObjectExistsError,
    ObjectNotFoundError,
    PublishError,
)
from airflow_sklearn.ledger import Ledger
from airflow_sklearn.problems import ProblemCollector
from airflow_sklearn.storage import join

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_sklearn.contract.plan import Plan
    from airflow_sklearn.contract.receipt import Consumed, Receipt
    from airflow_sklearn.storage import Storage

MANIFEST_NAME = "_manifest.json"
_LOCK_NAME = "_publishing.json"
#: Age at which the lock of a publication that never ended no longer holds. Publishing copies within one store: minutes.
_LOCK_EXPIRES = timedelta(hours=1)
_COPIERS = 16
_SHOWN = 20


def verify(storage: Storage, plan: Plan, plan_uri: str) -> Proof:
    """Prove that the receipts tile the plan's source exactly.

    :raises IncompleteRunError: chunks without a receipt, or receipts that leave a gap, overlap, or do not add up; all
        faults are named.
    """
    ledger = Ledger(storage, plan.ledger)
    receipts = ledger.read_receipts(plan)
    missing = [
        f"no receipt for the chunk {chunk.label!r} ({chunk.id})" for chunk in plan.chunks if chunk.id not in receipts
    ]
    ordered = [receipts[chunk.id] for chunk in plan.chunks if chunk.id in receipts]
    faults = missing or [
        *_tiling_faults(plan, ordered),
        *_column_faults(ordered),
        *(fault for receipt in ordered for fault in _sum_faults(receipt)),
        *_key_hash_faults(ordered),
        *_snapshot_faults(plan, ordered),
    ]
    if faults:
        shown = [f"  - {fault}" for fault in faults[:_SHOWN]] + [f"  and {len(faults) - _SHOWN} more"] * (
            len(faults) > _SHOWN
        )
        raise IncompleteRunError(
            f"{len(ordered)} of {len(plan.chunks)} chunks are done; nothing is published.\n" + "\n".join(shown) + "\n"
            "Clear the mapped predict tasks of this run: only what is missing is computed again."
        )
    problems = ProblemCollector()
    for receipt in ordered:
        problems.merge(receipt.problems)
    return Proof(
        plan_uri=plan_uri,
        fingerprint=plan.fingerprint,
        model_manifest_uri=plan.spec.model_manifest_uri,
        destination=plan.destination.uri,
        partition=plan.partition,
        objects=len(plan.objects),
        source_bytes=sum(obj.size for obj in plan.objects),
        chunks=len(plan.chunks),
        rows_in=sum(receipt.rows_in for receipt in ordered),
        rows_out=sum(receipt.rows_out for receipt in ordered),
        rows_quarantined=sum(receipt.rows_quarantined for receipt in ordered),
        key_hash=KeyHash.total(receipt.key_hash for receipt in ordered),
        files=tuple(part for receipt in ordered for part in receipt.parts),
        quarantine=tuple(part for receipt in ordered for part in receipt.quarantine),
        problems=problems.problems(),
        seconds_in_chunks=sum(receipt.timings.wall for receipt in ordered),
    )


def publish(storage: Storage, plan: Plan, proof: Proof) -> tuple[PublishedManifest, bool]:
    """Make a run's proven parts the content of the folder that it was planned for; see ``publish_files``."""
    if not isinstance(plan.destination, OutputFiles):
        raise TypeError(f"{plan.destination.uri} is a table: see airflow_sklearn.redshift.publish")
    proof_uri = write_proof(storage, plan, proof)
    load = FileLoad(plan.destination, plan.partition, proof.files, proof.rows_out, proof.fingerprint, proof_uri)
    return publish_files(storage, load)


def write_proof(storage: Storage, plan: Plan, proof: Proof) -> str:
    """Leave the proof in the run's ledger. :return: its URI."""
    uri = Ledger(storage, plan.ledger).proof_uri(plan.destination.uri, plan.partition)
    storage.write(uri, proof.to_json())
    return uri


@dataclass(frozen=True)
class FileLoad:
    """Files that become the content of one folder.

    :param partition: the folder below the destination.
    :param fingerprint: of the content: what is published already under the same one is left as it is.
    :param proof_uri: where it is written what the files are.
    """

    destination: OutputFiles
    partition: str
    files: tuple[OutputPart, ...]
    rows: int
    fingerprint: str
    proof_uri: str


def publish_files(storage: Storage, load: FileLoad) -> tuple[PublishedManifest, bool]:
    """Make files the content of a folder.

    New files come under names of their own, then ``_manifest.json`` names them, then the files that the manifest named
    before go. A reader of the manifest sees the old rows or the new ones, never both.

    :return: the manifest, and False when these very rows were published before and are still there.
    :raises PublishError: the partition holds files that were not published by this package, or was published before and
        ``if_exists`` is ``fail``, or another run is publishing into it.
    """
    folder = join(load.destination.uri, load.partition)
    targets = tuple(_published_part(folder, number, part) for number, part in enumerate(load.files))
    with _Lock(storage, folder, load.fingerprint, targets) as lock:
        before, etag = _read_manifest(storage, folder)
        if before and before.fingerprint == load.fingerprint and not _gone(storage, before.files):
            return before, False
        if before and load.destination.if_exists == "fail":
            raise PublishError(
                f"{folder} was published before ({before.rows:,} rows at {before.published_at}) and if_exists is "
                "'fail'. Set if_exists='replace' to replace its rows, or choose another partition."
            )
        old = (*(before.files if before else ()), *lock.abandoned)
        _refuse_foreign_files(storage, folder, (*old, *targets))
        lock.files_may_be_there = True
        with ThreadPoolExecutor(_COPIERS) as pool:
            list(pool.map(lambda pair: _copy(storage, *pair), zip(load.files, targets, strict=True)))
        lock.check()
        if gone := _gone(storage, targets):
            raise PublishError(f"{len(gone)} files are not in {folder} after copying, first {gone[0]}. Commit again.")
        manifest = PublishedManifest(
            fingerprint=load.fingerprint,
            partition=load.partition,
            published_at=datetime.now(UTC).isoformat(timespec="seconds"),
            proof_uri=load.proof_uri,
            rows=load.rows,
            files=targets,
        )
        _write_manifest(storage, folder, manifest, etag)
        kept = {part.uri for part in targets}
        storage.delete(part.uri for part in old if part.uri not in kept)
    return manifest, True


def _copy(storage: Storage, part: OutputPart, target: OutputPart) -> None:
    storage.copy(part.uri, target.uri, etag=part.etag or None, sha256=part.sha256)


def read_published(storage: Storage, folder: str) -> PublishedManifest | None:
    """What a folder holds now, None if nothing was published there."""
    return _read_manifest(storage, folder)[0]


def _read_manifest(storage: Storage, folder: str) -> tuple[PublishedManifest | None, str | None]:
    """The manifest and its version."""
    uri = join(folder, MANIFEST_NAME)
    try:
        etag = storage.stat(uri).etag
        return PublishedManifest.from_json(storage.read(uri, etag=etag), where=uri), etag
    except ObjectNotFoundError:
        return None, None


def _write_manifest(storage: Storage, folder: str, manifest: PublishedManifest, etag: str | None) -> None:
    """Publish: over the version that was read under the lock, and no other."""
    uri = join(folder, MANIFEST_NAME)
    try:
        if etag is None:
            storage.create(uri, manifest.to_json())
        else:
            storage.replace(uri, manifest.to_json(), etag=etag)
    except (ObjectExistsError, ObjectChangedError) as error:
        raise PublishError(f"Another run published into {folder} at the same time. Commit again.") from error


class _Lock:
    """One publication into a folder at a time.

    A run takes over its own lock (of an attempt that died, or still lives somewhere), and one that has expired; whoever
    lost it that way notices before it publishes.
    """

    def __init__(self, storage: Storage, folder: str, fingerprint: str, files: tuple[OutputPart, ...]) -> None:
        self._storage, self._uri = storage, join(folder, _LOCK_NAME)
        self._mine = Publishing(
            fingerprint=fingerprint,
            owner=uuid.uuid4().hex,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            files=files,
        )
        self._etag = ""
        self.abandoned: tuple[OutputPart, ...] = ()
        """Files that publications which never ended may have left."""
        self.files_may_be_there = False

    def __enter__(self) -> _Lock:
        try:
            try:
                self._etag = self._storage.create(self._uri, self._mine.to_json())
            except ObjectExistsError:
                self._take_over()
        except (ObjectExistsError, ObjectChangedError, ObjectNotFoundError) as error:
            raise PublishError(f"Another run publishes into this partition right now ({self._uri}). Retry.") from error
        return self

    def _take_over(self) -> None:
        etag = self._storage.stat(self._uri).etag
        other = Publishing.from_json(self._storage.read(self._uri, etag=etag), where=self._uri)
        age = datetime.now(UTC) - datetime.fromisoformat(other.started_at)
        if other.fingerprint != self._mine.fingerprint and age < _LOCK_EXPIRES:
            raise PublishError(
                f"Another run (fingerprint {other.fingerprint[:16]}) began to publish into this partition at "
                f"{other.started_at} and has not ended. Retry when it has; if it is dead, delete {self._uri} "
                f"or wait for {_LOCK_EXPIRES}."
            )
        self.abandoned = other.files
        # Whoever takes over from this one must know of the abandoned files too.
        files = {part.uri: part for part in (*other.files, *self._mine.files)}
        mine = self._mine.model_copy(update={"files": tuple(files.values())})
        self._etag = self._storage.replace(self._uri, mine.to_json(), etag=etag)
        self.files_may_be_there = bool(other.files)

    def check(self) -> None:
        """:raises PublishError: the lock is another's now, or was; then no files that this one brought stay behind."""
        if not self._is_held():
            if not self._storage.exists(self._uri):
                folder = self._uri.rpartition("/")[0]
                published = read_published(self._storage, folder)
                kept = {part.uri for part in published.files} if published else set()
                self._storage.delete(part.uri for part in self._mine.files if part.uri not in kept)
            raise PublishError(f"Another attempt took over this publication ({self._uri} is no longer this one's).")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # After an error the lock stays while files may lie about: its list is how they are found and removed.
        if (kind is None or not self.files_may_be_there) and self._is_held():
            self._storage.delete([self._uri])

    def _is_held(self) -> bool:
        try:
            return self._storage.stat(self._uri).etag == self._etag
        except ObjectNotFoundError:
            return False


def _tiling_faults(plan: Plan, receipts: Iterable[Receipt]) -> list[str]:
    by_object: dict[str, list[Consumed]] = {obj.uri: [] for obj in plan.objects}
    etags = {obj.uri: obj.etag for obj in plan.objects}
    faults = []
    for receipt in receipts:
        for consumed in receipt.consumed:
            if etags.get(consumed.object.uri) != consumed.object.etag:
                faults.append(
                    f"the chunk {receipt.chunk_id} read another version of {consumed.object.uri} than was planned"
                )
            else:
                by_object[consumed.object.uri].append(consumed)
    for uri, pieces in by_object.items():
        pieces.sort(key=lambda piece: (piece.first, piece.last))
        ends = [0, *(piece.last for piece in pieces)]
        starts = [*(piece.first for piece in pieces), pieces[0].total if pieces else -1]
        if ends != starts:
            faults.append(f"the receipts do not tile {uri}: ranges end at {ends} and begin at {starts}")
    return faults


def _column_faults(receipts: Sequence[Receipt]) -> list[str]:
    """Chunks whose parts have other columns than the first one's: no reader could read them as one table."""
    expected = {column.name: column.arrow_type for column in receipts[0].columns}
    faults = []
    for receipt in receipts[1:]:
        found = {column.name: column.arrow_type for column in receipt.columns}
        for name in sorted(set(expected) | set(found)):
            if found.get(name) != expected.get(name):
                faults.append(
                    f"the column {name!r} is {expected.get(name)} in the chunk {receipts[0].chunk_id} and "
                    f"{found.get(name)} in {receipt.chunk_id}: make its type the same in all source files"
                )
    return faults


def _sum_faults(receipt: Receipt) -> list[str]:
    consumed = sum(piece.rows for piece in receipt.consumed)
    written = sum(part.rows for part in receipt.parts)
    faults = []
    if (
        consumed != receipt.rows_in
        or written != receipt.rows_out
        or receipt.rows_in != receipt.rows_out + receipt.rows_quarantined
    ):
        faults.append(
            f"the chunk {receipt.chunk_id} does not add up: {consumed} rows read, {receipt.rows_in} in, "
            f"{receipt.rows_out} out, {written} written, {receipt.rows_quarantined} set aside"
        )
    return faults


def _key_hash_faults(receipts: Iterable[Receipt]) -> list[str]:
    """Hashes of different algorithms cannot be added up."""
    return [
        f"the chunk {receipt.chunk_id} hashed its keys by {receipt.key_hash.algorithm}, not {KEY_HASH_ALGORITHM}: it "
        "was predicted by another version of the worker image. Use one image for the run, and another ledger"
        for receipt in receipts
        if receipt.key_hash.algorithm != KEY_HASH_ALGORITHM
    ]


def _snapshot_faults(plan: Plan, receipts: Iterable[Receipt]) -> list[str]:
    """What Redshift says that it has unloaded must have been read, row by row."""
    read = sum(receipt.rows_in for receipt in receipts)
    if plan.snapshot is None or plan.snapshot.rows == read:
        return []
    return [f"{plan.snapshot.rows:,} rows were unloaded ({plan.snapshot.manifest_uri}), and {read:,} were read"]


def _published_part(folder: str, number: int, part: OutputPart) -> OutputPart:
    name = part.uri.rpartition("/")[2]
    ending = name[len(part.sha256) :]
    return part.model_copy(update={"uri": join(folder, f"part-{number:05d}-{part.sha256[:16]}{ending}"), "etag": ""})


def _refuse_foreign_files(storage: Storage, folder: str, known: Iterable[OutputPart]) -> None:
    names = {part.uri for part in known}
    foreign = [obj.uri for obj in storage.expand([join(folder, "")], allow_empty=True) if obj.uri not in names]
    if foreign:
        shown = ", ".join(re.sub(r".*/", "", uri) for uri in foreign[:5])
        raise PublishError(
            f"{folder} holds {len(foreign)} files that this package did not publish ({shown}). "
            "Readers would take them for predictions: move them away, or choose another partition."
        )


def _gone(storage: Storage, parts: Iterable[OutputPart]) -> list[str]:
    sizes = {}
    parts = list(parts)
    for folder in {part.uri.rpartition("/")[0] for part in parts}:
        sizes.update({obj.uri: obj.size for obj in storage.list(join(folder, ""))})
    return [part.uri for part in parts if sizes.get(part.uri) != part.size]
