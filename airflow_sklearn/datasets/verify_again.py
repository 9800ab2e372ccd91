"""Proving a run again after it was published: from its documents and its output alone."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_sklearn.datasets.publish_files import MANIFEST_NAME
from airflow_sklearn.exceptions import IncompleteRunError, ObjectChangedError, ObjectNotFoundError
from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.runs.verify import verify
from airflow_sklearn.storage import join

if TYPE_CHECKING:
    from airflow_sklearn.contract.proof import Proof, PublishedManifest
    from airflow_sklearn.datasets.run_catalog import KnownRun
    from airflow_sklearn.storage import Storage

_READERS = 8
_SHOWN = 10


@dataclass(frozen=True)
class Verified:
    """What was proven.

    :param proof: the proof, made anew.
    :param files: the number of published files whose content was read and has the digest that a receipt names; 0: the
        run's rows are not in a folder now.
    """

    proof: Proof
    files: int


def verify_again(storage: Storage, run: KnownRun) -> Verified:
    """Prove that the receipts of a run cover its source exactly, and that its published files hold what they say.

    Each published file is read. Of a table, or a partition that another run has replaced, only the documents are
    proven.

    :raises IncompleteRunError: something is missing, left over or other than the receipts say; the message lists all.
    """
    published = run.published if run.state == "published" else None
    # The ledger's parts may have been removed since: the published files are what counts then.
    receipts = Ledger(storage, run.plan.ledger).read_receipts(run.plan, check_parts=published is None)
    proof = verify(storage, run.plan, run.plan_uri, receipts)
    if published is None:
        return Verified(proof, 0)
    folder = join(run.plan.destination.uri, run.plan.partition)
    if faults := [*_listed_faults(proof, published), *_content_faults(storage, published, folder)]:
        shown = [*faults[:_SHOWN], *([f"and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else [])]
        raise IncompleteRunError(
            f"{folder} does not hold what the receipts say:"
            + "".join(f"\n  - {fault}" for fault in shown)
            + "\nFix: clear the commit task, so that the files are published again."
        )
    return Verified(proof, len(published.files))


def _listed_faults(proof: Proof, published: PublishedManifest) -> list[str]:
    """Differences between the receipts' parts and the manifest's files."""
    receipts = Counter((part.sha256, part.rows) for part in proof.files)
    manifest = Counter((part.sha256, part.rows) for part in published.files)
    faults = [f"no published file has the rows of a part with the SHA-256 {one[0]}" for one in receipts - manifest]
    faults += [f"a published file with the SHA-256 {one[0]} belongs to no receipt" for one in manifest - receipts]
    if published.rows != proof.rows_out:
        faults.append(f"{MANIFEST_NAME} counts {published.rows:,} rows, the receipts {proof.rows_out:,}")
    return faults


def _content_faults(storage: Storage, published: PublishedManifest, folder: str) -> list[str]:
    """Files whose content is not that of the manifest, or that it does not name."""

    def fault(part: tuple[str, str]) -> str:
        uri, sha256 = part
        try:
            storage.check(uri, sha256=sha256)
        except ObjectNotFoundError:
            return f"{uri} is gone"
        except ObjectChangedError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(_READERS) as pool:
        faults = list(filter(None, pool.map(fault, [(part.uri, part.sha256) for part in published.files])))
    known = {part.uri for part in published.files}
    return faults + [
        f"{obj.uri} is in the folder, and not in {MANIFEST_NAME}: readers take it for predictions"
        for obj in storage.expand([join(folder, "")], allow_empty=True)
        if obj.uri not in known
    ]
