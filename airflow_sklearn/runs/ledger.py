"""The ledger of a prediction run: plan, jobs, receipts, parts and proofs, as objects in one folder.

The folder's name is the run's fingerprint, so that runs which compute the same rows share their receipts::

    <ledger>/plans/<digest>.json                the plan and its index, each with a copy in plans/copies/
    <ledger>/plans/chunks/<digest>.json         the plan of one chunk
    <ledger>/jobs/<chunk id>-<attempt>.json     jobs; their results are beside them
    <ledger>/receipts/<chunk id>.json           one a chunk, stored by create-if-absent
    <ledger>/parts/<sha-256>.parquet            named by content; a part counts only if a receipt names it
    <ledger>/proofs/<partition>.json
    <ledger>/attempts/<chunk id>-<attempt>...   what ``attempts`` records for the run's page
    <ledger>/report.html                        the run's page
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from airflow_sklearn.contract.document import content_id
from airflow_sklearn.contract.plan import Plan, PlanIndex, PlannedChunk
from airflow_sklearn.contract.receipt import Receipt
from airflow_sklearn.exceptions import DocumentError, ObjectChangedError, ObjectExistsError, ObjectNotFoundError
from airflow_sklearn.storage import join

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_sklearn.contract.document import Document
    from airflow_sklearn.contract.plan import Chunk
    from airflow_sklearn.contract.receipt import OutputPart
    from airflow_sklearn.storage import Storage

log = logging.getLogger(__name__)

_THREADS = 16  # threads that read or write at the same time: 1,000 receipts take seconds

#: At least 128 bits of a SHA-256: enough that nobody can make another plan with the same name.
_PLAN_NAME = re.compile(r"[0-9a-f]{32,64}")
_WHO = "Find out who else can write below the destination."
_PART_NAME = re.compile(r"[0-9a-f]{64}(\.[0-9A-Za-z]+)*")


class Ledger:
    """The ledger of one run.

    :param storage: where the ledger is.
    :param uri: the ledger's folder. Its name is the run's fingerprint.
    """

    RESULT_ENDING = ".result.json"

    def __init__(self, storage: Storage, uri: str) -> None:
        self.storage, self.uri = storage, uri

    @property
    def jobs_folder(self) -> str:
        """The URI of the folder for jobs and their results, with a slash at its end."""
        return join(self.uri, "jobs", "")

    def job_uri(self, chunk_id: str, attempt: str) -> str:
        """The URI of the job of one attempt at a chunk."""
        return join(self.uri, "jobs", f"{chunk_id}-{attempt}.json")

    def result_uri(self, chunk_id: str, attempt: str) -> str:
        """The URI of the result of one attempt at a chunk."""
        return join(self.uri, "jobs", f"{chunk_id}-{attempt}{self.RESULT_ENDING}")

    def receipt_uri(self, chunk_id: str) -> str:
        """The URI of a chunk's receipt."""
        return join(self.uri, "receipts", f"{chunk_id}.json")

    def part_uri(self, sha256: str, ending: str) -> str:
        """The URI of a part with this content.

        :param ending: the file name's ending with its dot, such as ``.parquet``.
        """
        return join(self.uri, "parts", f"{sha256}{ending}")

    def proof_uri(self, destination: str, partition: str) -> str:
        """The URI of the proof for one partition of a destination."""
        return join(self.uri, "proofs", f"{content_id([destination, partition])}.json")

    def write_plan(self, plan: Plan) -> str:
        """Store the plan, one document for each chunk, and the index that holds the digests of all of them.

        Plan and index are stored twice: the run can go on if somebody changes or removes one of the two.

        :return: the index's URI, which ends in the index's digest. It stands for the plan.
        """
        folder, chunks = join(self.uri, "plans"), [PlannedChunk.of(plan, chunk) for chunk in plan.chunks]
        with ThreadPoolExecutor(_THREADS) as pool:
            digests = list(pool.map(lambda chunk: self._write_named(join(folder, "chunks"), chunk), chunks))
        ids = (chunk.id for chunk in plan.chunks)
        index = PlanIndex(plan=plan.digest(), chunks=dict(zip(ids, digests, strict=True)))
        for document in (plan, index):
            self._write_named(join(folder, "copies"), document)
            digest = self._write_named(folder, document)
        return _named(folder, digest)

    def _write_named(self, folder: str, document: Document) -> str:
        """Store a document under its SHA-256, and return that."""
        data = document.to_json()
        digest = hashlib.sha256(data).hexdigest()
        self.storage.write(_named(folder, digest), data)
        return digest

    def read_receipt(self, chunk_id: str, fingerprint: str) -> Receipt | None:
        """The chunk's receipt if it is valid: of this fingerprint, and with all its parts in this ledger. Else None."""
        return self._read_receipt(chunk_id, fingerprint)

    def _read_receipt(
        self, chunk_id: str, fingerprint: str, etag: str | None = None, *, check_parts: bool = True
    ) -> Receipt | None:
        """:param etag: the version to read; None: the current one."""
        uri = self.receipt_uri(chunk_id)
        try:
            receipt = Receipt.from_json(self.storage.read(uri, etag=etag), where=uri)
        except ObjectNotFoundError:
            return None
        if (receipt.fingerprint, receipt.chunk_id) != (fingerprint, chunk_id):
            return None
        parts = (*receipt.parts, *receipt.quarantine)
        if not all(map(self._is_own, parts)) or (check_parts and self.parts_missing(parts)):
            return None
        return receipt

    def read_receipts(self, plan: Plan, *, check_parts: bool = True) -> dict[str, Receipt]:
        """The valid receipts of a plan's chunks, by chunk id.

        :param check_parts: whether all their parts must be there. A page need not know.
        """

        def read(chunk: Chunk) -> Receipt | None:
            return self._read_receipt(chunk.id, plan.fingerprint, check_parts=check_parts)

        with ThreadPoolExecutor(_THREADS) as pool:
            found = pool.map(read, plan.chunks)
            return {receipt.chunk_id: receipt for receipt in found if receipt is not None}

    def record(self, receipt: Receipt) -> tuple[Receipt, bool]:
        """Store a chunk's receipt, unless there is a valid one from another attempt.

        :return: the receipt that is stored now, and whether it is the given one.
        """
        uri = self.receipt_uri(receipt.chunk_id)
        while True:
            with contextlib.suppress(ObjectExistsError):
                self.storage.create(uri, receipt.to_json())
                return receipt, True
            # Another attempt may replace the receipt at any moment: replace only the version that was found invalid.
            with contextlib.suppress(ObjectChangedError, ObjectNotFoundError):
                etag = self.storage.stat(uri).etag
                winner = self._read_receipt(receipt.chunk_id, receipt.fingerprint, etag)
                if winner is not None:
                    return winner, winner == receipt
                # The receipt there names parts that are gone (a lifecycle rule, a clean-up), or outside this ledger.
                self.storage.replace(uri, receipt.to_json(), etag=etag)
                return receipt, True

    def parts_missing(self, parts: Iterable[OutputPart]) -> list[OutputPart]:
        """The parts that are not in this ledger."""
        return [part for part in parts if not self._is_there(part)]

    def _is_own(self, part: OutputPart) -> bool:
        """Whether a part's URI is that of its content in this ledger. A forged receipt may name other URIs."""
        name = part.uri.rpartition("/")[2]
        return (
            _PART_NAME.fullmatch(name) is not None
            and part.uri == self.part_uri(part.sha256, name[len(part.sha256) :])
            and name.startswith(part.sha256)
        )

    def _is_there(self, part: OutputPart) -> bool:
        try:
            return self.storage.stat(part.uri).size == part.size
        except ObjectNotFoundError:
            return False


def read_plan(storage: Storage, uri: str) -> Plan:
    """Read a whole plan, and check that it is the one that was made.

    The URI ends in a digest, and comes from Airflow, not from the bucket. If the object at the URI has another digest,
    its copy is read.

    :param uri: the result of planning: ``<ledger>/plans/<digest>.json``. It is the URI of an index, or, for runs
        planned by version 0.1, of the plan itself.
    :raises ObjectNotFoundError: there is no plan.
    :raises DocumentError: it is no plan, or the plan and its copy were changed after they were made.
    """
    found = _read_pinned(storage, uri)
    return _whole_plan(storage, uri, found) if isinstance(found, PlanIndex) else found


def read_chunk(storage: Storage, plan_uri: str, chunk_id: str) -> PlannedChunk | None:
    """Read the plan of one chunk, in most cases without reading the whole plan.

    :param plan_uri: see ``read_plan``.
    :param chunk_id: the chunk.
    :return: None if the plan has no such chunk.
    :raises ObjectNotFoundError: there is no plan.
    :raises DocumentError: see ``read_plan``.
    """
    plan = _read_pinned(storage, plan_uri)
    if isinstance(plan, PlanIndex):
        if (digest := plan.chunks.get(chunk_id)) is None:
            return None
        uri = _named(join(_folder_of(plan_uri), "chunks"), digest)
        with contextlib.suppress(ObjectNotFoundError):
            data = storage.read(uri)
            if hashlib.sha256(data).hexdigest() == digest:
                return PlannedChunk.from_json(data, where=uri)
        log.warning("%s was changed or removed after it was made: the whole plan is read. %s", uri, _WHO)
        plan = _whole_plan(storage, plan_uri, plan)
    return next((PlannedChunk.of(plan, chunk) for chunk in plan.chunks if chunk.id == chunk_id), None)


def _whole_plan(storage: Storage, index_uri: str, index: PlanIndex) -> Plan:
    uri = _named(_folder_of(index_uri), index.plan)
    return Plan.from_json(_read_digested(storage, uri), where=uri)


def _read_pinned(storage: Storage, uri: str) -> PlanIndex | Plan:
    """The document at a plan's URI: an index, or the plan itself for runs planned by version 0.1."""
    data = _read_digested(storage, uri)
    kind = Plan if f'"format":"{Plan.FORMAT}/'.encode() in data else PlanIndex
    return kind.from_json(data, where=uri)


def _read_digested(storage: Storage, uri: str) -> bytes:
    """Read an object whose name is a part of its SHA-256, or its copy if it does not match."""
    name = uri.rpartition("/")[2].removesuffix(".json")
    if not _PLAN_NAME.fullmatch(name):
        raise DocumentError(
            f"{name}: a plan's name is the digest of its content, and this is none. Fix: clear the plan task, so that "
            f"the plan is made anew. ({uri})"
        )
    found = []
    for place in (uri, join(_folder_of(uri), "copies", f"{name}.json")):
        with contextlib.suppress(ObjectNotFoundError):
            data = storage.read(place)
            digest = hashlib.sha256(data).hexdigest()
            if digest.startswith(name):
                if place != uri:
                    log.warning("The plan was changed or removed after it was made: its copy is used. %s", _WHO)
                return data
            found.append(digest)
    if not found:
        raise ObjectNotFoundError(f"The plan {uri} is gone. Fix: clear the plan task, so that it is made anew.")
    raise DocumentError(
        f"{name}.json: the plan was changed after it was made (its SHA-256 is {found[0]} now): it is not read. {_WHO} "
        f"Fix: clear the plan task, so that the plan is made anew. ({uri})"
    )


def _named(folder: str, digest: str) -> str:
    return join(folder, f"{digest[:32]}.json")


def _folder_of(uri: str) -> str:
    return uri.rpartition("/")[0]
