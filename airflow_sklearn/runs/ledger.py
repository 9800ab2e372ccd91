"""The ledger of a prediction run: plan, jobs, receipts, parts and proofs, as objects in one folder.

The folder is named after the run's fingerprint, so that whatever computes the same rows shares the same receipts::

    <ledger>/plans/<digest>.json                the plan and its index, each with a copy in plans/copies/
    <ledger>/plans/chunks/<digest>.json         what the plan says of one chunk
    <ledger>/jobs/<chunk id>-<attempt>.json     and the results of those jobs beside them
    <ledger>/receipts/<chunk id>.json           one a chunk, create-if-absent
    <ledger>/parts/<sha-256>.parquet            named by content; only receipts say which count
    <ledger>/proofs/<partition>.json
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
    from airflow_sklearn.contract.receipt import OutputPart
    from airflow_sklearn.storage import Storage

log = logging.getLogger(__name__)

_THREADS = 16  # that read or write at the same time: the receipts of 1,000 chunks are read in seconds

#: At least 128 bits of a SHA-256: nobody finds another plan with the same ones.
_PLAN_NAME = re.compile(r"[0-9a-f]{32,64}")
_WHO = "Find out who else can write below the destination."
_PART_NAME = re.compile(r"[0-9a-f]{64}(\.[0-9A-Za-z]+)*")


class Ledger:
    """One run's ledger.

    :param uri: its folder, which ends in the fingerprint.
    """

    RESULT_ENDING = ".result.json"

    def __init__(self, storage: Storage, uri: str) -> None:
        self.storage, self.uri = storage, uri

    @property
    def jobs_folder(self) -> str:
        return join(self.uri, "jobs", "")

    def job_uri(self, chunk_id: str, attempt: str) -> str:
        return join(self.uri, "jobs", f"{chunk_id}-{attempt}.json")

    def result_uri(self, chunk_id: str, attempt: str) -> str:
        return join(self.uri, "jobs", f"{chunk_id}-{attempt}{self.RESULT_ENDING}")

    def receipt_uri(self, chunk_id: str) -> str:
        return join(self.uri, "receipts", f"{chunk_id}.json")

    def part_uri(self, sha256: str, ending: str) -> str:
        return join(self.uri, "parts", f"{sha256}{ending}")

    def proof_uri(self, destination: str, partition: str) -> str:
        return join(self.uri, "proofs", f"{content_id([destination, partition])}.json")

    def write_plan(self, plan: Plan) -> str:
        """Store the plan, what it says of each chunk, and the index that pins them all.

        Plan and index have a copy each: a run whose plan was overwritten or removed goes on.

        :return: the plan's URI, which ends in the index's digest.
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
        """Store a document under its digest, which is returned."""
        data = document.to_json()
        digest = hashlib.sha256(data).hexdigest()
        self.storage.write(_named(folder, digest), data)
        return digest

    def read_receipt(self, chunk_id: str, fingerprint: str) -> Receipt | None:
        """The chunk's receipt, if it is valid: of this fingerprint, and with all its parts still in this ledger."""
        return self._read_receipt(chunk_id, fingerprint)

    def _read_receipt(self, chunk_id: str, fingerprint: str, etag: str | None = None) -> Receipt | None:
        """:param etag: the version that is meant; default: whichever is there."""
        uri = self.receipt_uri(chunk_id)
        try:
            receipt = Receipt.from_json(self.storage.read(uri, etag=etag), where=uri)
        except ObjectNotFoundError:
            return None
        if (receipt.fingerprint, receipt.chunk_id) != (fingerprint, chunk_id):
            return None
        parts = (*receipt.parts, *receipt.quarantine)
        return receipt if all(map(self._is_own, parts)) and not self.parts_missing(parts) else None

    def read_receipts(self, plan: Plan) -> dict[str, Receipt]:
        """The valid receipts of a plan, by chunk id."""
        with ThreadPoolExecutor(_THREADS) as pool:
            found = pool.map(lambda chunk: self.read_receipt(chunk.id, plan.fingerprint), plan.chunks)
            return {receipt.chunk_id: receipt for receipt in found if receipt is not None}

    def record(self, receipt: Receipt) -> tuple[Receipt, bool]:
        """Store a receipt, unless another attempt at its chunk was first.

        :return: the receipt that counts, and whether it is the one given.
        """
        uri = self.receipt_uri(receipt.chunk_id)
        while True:
            with contextlib.suppress(ObjectExistsError):
                self.storage.create(uri, receipt.to_json())
                return receipt, True
            # Another attempt may replace what is there at any moment: only the version that was judged is replaced.
            with contextlib.suppress(ObjectChangedError, ObjectNotFoundError):
                etag = self.storage.stat(uri).etag
                winner = self._read_receipt(receipt.chunk_id, receipt.fingerprint, etag)
                if winner is not None:
                    return winner, winner == receipt
                # What is there refers to parts that are gone (a lifecycle rule, a clean-up), or elsewhere.
                self.storage.replace(uri, receipt.to_json(), etag=etag)
                return receipt, True

    def parts_missing(self, parts: Iterable[OutputPart]) -> list[OutputPart]:
        return [part for part in parts if not self._is_there(part)]

    def _is_own(self, part: OutputPart) -> bool:
        """Whether a part lies in this ledger under the name of its content: receipts can be forged."""
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
    """The whole plan, if it is the one that was planned: its URI, which never lies in the bucket, ends in a digest.

    What has the digest is the plan, wherever it was found: where somebody has changed or removed it, its copy counts.

    :param uri: what planning returned: ``<ledger>/plans/<digest>.json``, of an index; of a plan until version 0.1.
    :raises ObjectNotFoundError: no plan there.
    :raises DocumentError: something else is there, or the plan was changed after it was made, and its copy too.
    """
    found = _read_pinned(storage, uri)
    return _whole_plan(storage, uri, found) if isinstance(found, PlanIndex) else found


def read_chunk(storage: Storage, plan_uri: str, chunk_id: str) -> PlannedChunk | None:
    """What a plan says of one chunk, without the rest of the plan where that is possible.

    :param plan_uri: as of ``read_plan``.
    :return: None: the plan has no such chunk.
    :raises ObjectNotFoundError: no plan there.
    :raises DocumentError: as ``read_plan``.
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
    """What a plan's URI pins: an index; of a run that version 0.1 planned, the plan itself."""
    data = _read_digested(storage, uri)
    kind = Plan if f'"format":"{Plan.FORMAT}/'.encode() in data else PlanIndex
    return kind.from_json(data, where=uri)


def _read_digested(storage: Storage, uri: str) -> bytes:
    """What has the digest that its name says, there or in its copy."""
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
