"""The ledger of a prediction run: plan, jobs, receipts, parts and proofs, as objects in one folder.

The folder is named after the run's fingerprint, so that whatever computes the same rows shares the same receipts::

    <ledger>/plans/<digest>.json                and plans/copies/<digest>.json
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
from airflow_sklearn.contract.plan import Plan
from airflow_sklearn.contract.receipt import Receipt
from airflow_sklearn.exceptions import DocumentError, ObjectChangedError, ObjectExistsError, ObjectNotFoundError
from airflow_sklearn.storage import join

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_sklearn.contract.receipt import OutputPart
    from airflow_sklearn.storage import Storage

log = logging.getLogger(__name__)

_READERS = 16  # threads that read receipts at the same time: a commit of 1,000 chunks takes seconds

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

    def plan_uri(self, plan: Plan) -> str:
        return join(self.uri, "plans", f"{plan.digest()[:32]}.json")

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
        """Store the plan, and a copy: a run whose plan was overwritten or removed goes on. :return: the plan's URI."""
        uri = self.plan_uri(plan)
        for place in (_copy_of(uri), uri):
            self.storage.write(place, plan.to_json())
        return uri

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
        with ThreadPoolExecutor(_READERS) as pool:
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
    """The plan, if it is the one that was planned: its URI, which never lies in the bucket, ends in its digest.

    What has the digest is the plan, wherever it was found: where somebody has changed or removed it, its copy counts.

    :param uri: what planning returned: ``<ledger>/plans/<digest>.json``.
    :raises ObjectNotFoundError: no plan there.
    :raises DocumentError: something else is there, or the plan was changed after it was made, and its copy too.
    """
    name = uri.rpartition("/")[2].removesuffix(".json")
    if not _PLAN_NAME.fullmatch(name):
        raise DocumentError(
            f"{name}: a plan's name is the digest of its content, and this is none. Fix: clear the plan task, so that "
            f"the plan is made anew. ({uri})"
        )
    found = []
    for place in (uri, _copy_of(uri)):
        with contextlib.suppress(ObjectNotFoundError):
            data = storage.read(place)
            digest = hashlib.sha256(data).hexdigest()
            if digest.startswith(name):
                if place != uri:
                    log.warning("The plan was changed or removed after it was made: its copy is used. %s", _WHO)
                return Plan.from_json(data, where=place)
            found.append(digest)
    if not found:
        raise ObjectNotFoundError(f"The plan {uri} is gone. Fix: clear the plan task, so that it is made anew.")
    raise DocumentError(
        f"{name}.json: the plan was changed after it was made (its SHA-256 is {found[0]} now): it is not read. {_WHO} "
        f"Fix: clear the plan task, so that the plan is made anew. ({uri})"
    )


def _copy_of(plan_uri: str) -> str:
    folder, _, name = plan_uri.rpartition("/")
    return join(folder, "copies", name)
