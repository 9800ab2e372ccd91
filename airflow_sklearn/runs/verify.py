"""The first half of a commit: prove from the receipts that a prediction run is complete, before it is published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.contract.proof import Proof
from airflow_sklearn.contract.receipt import KEY_HASH_ALGORITHM, KeyHash, total_counts
from airflow_sklearn.exceptions import IncompleteRunError
from airflow_sklearn.runs.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_sklearn.contract.plan import Plan
    from airflow_sklearn.contract.receipt import Consumed, Receipt
    from airflow_sklearn.storage import Storage

_SHOWN = 20
_EXAMPLES = 3


def verify(storage: Storage, plan: Plan, plan_uri: str, receipts: Mapping[str, Receipt] | None = None) -> Proof:
    """Prove that the receipts cover the plan's source exactly.

    :param storage: where the ledger is.
    :param plan: the run's plan.
    :param plan_uri: the plan's URI, which the proof records.
    :param receipts: the plan's valid receipts, by chunk id; None: they are read.
    :raises IncompleteRunError: chunks have no receipt, or receipts leave gaps, overlap, or do not add up. The message
        lists all faults.
    """
    receipts = Ledger(storage, plan.ledger).read_receipts(plan) if receipts is None else receipts
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
        **total_counts(ordered),
    )


def write_proof(storage: Storage, plan: Plan, proof: Proof) -> str:
    """Store the proof in the run's ledger.

    :return: the proof's URI.
    """
    uri = Ledger(storage, plan.ledger).proof_uri(plan.destination.uri, plan.partition)
    storage.write(uri, proof.to_json())
    return uri


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
        wrong = [(end, start) for end, start in zip(ends, starts, strict=True) if end != start]
        if wrong:
            shown = ", ".join(f"one ends at {end:,}, the next begins at {start:,}" for end, start in wrong[:_EXAMPLES])
            more = f", and {len(wrong) - _EXAMPLES:,} more" if len(wrong) > _EXAMPLES else ""
            faults.append(f"the ranges of the receipts do not tile {uri}: {shown}{more}")
    return faults


def _column_faults(receipts: Sequence[Receipt]) -> list[str]:
    """Chunks whose parts have other columns than the first chunk's: together they could not be read as one table."""
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
    """Receipts with key hashes of different algorithms, which cannot be added up."""
    return [
        f"the chunk {receipt.chunk_id} hashed its keys by {receipt.key_hash.algorithm}, not {KEY_HASH_ALGORITHM}: it "
        "was predicted by another version of the worker image. Use one image for the run, and another ledger"
        for receipt in receipts
        if receipt.key_hash.algorithm != KEY_HASH_ALGORITHM
    ]


def _snapshot_faults(plan: Plan, receipts: Iterable[Receipt]) -> list[str]:
    """Faults if the number of rows read is not the number of rows that Redshift has unloaded."""
    read = sum(receipt.rows_in for receipt in receipts)
    if plan.snapshot is None or plan.snapshot.rows == read:
        return []
    return [f"{plan.snapshot.rows:,} rows were unloaded ({plan.snapshot.manifest_uri}), and {read:,} were read"]
