"""The page of a prediction run: complete or not and why, when and where, and its data beside those of training."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.contract.receipt import total_counts
from airflow_sklearn.report.formats import clipped, count, counted, moment, seconds, size
from airflow_sklearn.report.links import href
from airflow_sklearn.report.page import render
from airflow_sklearn.report.run_data import drift_words, feature_rows, outline, score_pictures
from airflow_sklearn.report.run_time import LEGEND, Try, all_tries, causes, short_host, times
from airflow_sklearn.runs.model_store import page_uri_of
from airflow_sklearn.storage.uris import join

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.plan import Plan
    from airflow_sklearn.contract.proof import Proof
    from airflow_sklearn.contract.receipt import Receipt
    from airflow_sklearn.runs.attempts import Attempt


@dataclass(frozen=True)
class State:
    """Whether a run is complete, and the main sentence about it.

    :param tone: ``good``, ``bad``, ``warn`` or ``first``.
    """

    name: str
    tone: str
    sentence: str


def run_page(
    plan: Plan,
    receipts: Mapping[str, Receipt],
    attempts: Sequence[Attempt],
    proof: Proof | None,
    manifest: ModelManifest | None,
    *,
    plan_uri: str = "",
    proof_uri: str = "",
    failure: str = "",
    left_out: int = 0,
) -> str:
    """The page of a run.

    :param plan: the run's plan.
    :param receipts: the receipts of its chunks that are done, by chunk id.
    :param attempts: the attempts whose output does not count, or that have not ended.
    :param proof: the run's proof; None: it has not been proven to be complete.
    :param manifest: the manifest of its model; None: it cannot be read, and nothing is compared with training.
    :param plan_uri: the plan's URI.
    :param proof_uri: the proof's URI; empty: it is not stored.
    :param failure: why a task that is not an attempt at a chunk has failed, such as the commit.
    :param left_out: the number of attempts that were not read.
    """
    tries = all_tries(receipts, attempts)
    missing = {chunk.id: chunk.label for chunk in plan.chunks if chunk.id not in receipts}
    sums: Any = proof if proof is not None and proof.sketches else total_counts_of(receipts)
    rows = sum(receipt.rows_in for receipt in receipts.values())
    features = feature_rows(manifest, sums.sketches, sums.feature_counts, rows) if manifest else []
    why = causes(tries, missing)
    return render(
        "run.html",
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        plan=plan,
        title=_title(plan),
        lead=_lead(plan, manifest),
        state=_state(plan, receipts, tries, proof, failure),
        tiles=_tiles(plan, receipts, tries),
        failure=failure,
        causes=why,
        missing=len(missing),
        times=(found := times(plan, receipts, tries)),
        rates=_rates(receipts, found.wall),
        legend=LEGEND,
        chunks=_chunks(plan, receipts, tries),
        failures=[one for one in reversed(tries) if one.failed],
        left_out=left_out,
        labels={chunk.id: chunk.label for chunk in plan.chunks},
        features=features,
        drift_words=drift_words,
        outline=outline(features),
        scores=score_pictures(manifest, plan.spec.outputs, sums.score_counts) if manifest else [],
        label_counts=sorted(sums.prediction_counts.items(), key=lambda pair: -pair[1])[:20],
        problems=_problems(receipts),
        facts=_facts(plan, manifest, plan_uri, proof_uri),
        link=lambda uri: href(uri, plan.ledger),
        short_host=short_host,
        receipt_uri=lambda chunk_id: join(plan.ledger, "receipts", f"{chunk_id}.json"),
    )


@dataclass(frozen=True)
class Sums:
    """The counts of all receipts, by the names that a proof has."""

    sketches: dict[str, Any]
    feature_counts: dict[str, str]
    score_counts: dict[str, str]
    prediction_counts: dict[str, int]


def total_counts_of(receipts: Mapping[str, Receipt]) -> Sums:
    """The counts of all receipts together."""
    return Sums(**total_counts(receipts.values()))


def _title(plan: Plan) -> str:
    return f"{plan.destination.uri.rstrip('/').rpartition('/')[2]} / {plan.partition}"


def _lead(plan: Plan, manifest: ModelManifest | None) -> str:
    model = plan.spec.model_manifest_uri
    named = f"{manifest.model.rstrip('/').rpartition('/')[2]}, version {manifest.version}" if manifest else model
    by = f", planned by {plan.planned.dag_id} / {plan.planned.task_id}" if plan.planned.task_id else ""
    when = f" on {moment(plan.planned.at)}" if plan.planned.at else ""
    return f"{counted(len(plan.objects), 'object')} predicted by the model {named}{by}{when}."


def _state(
    plan: Plan, receipts: Mapping[str, Receipt], tries: Sequence[Try], proof: Proof | None, failure: str
) -> State:
    missing = len(plan.chunks) - len(receipts)
    if failure:
        return State("Failed", "bad", "The run is not published: a task has failed.")
    if proof is not None:
        quarantined = f" {counted(proof.rows_quarantined, 'row')} set aside." if proof.rows_quarantined else ""
        return State(
            "Complete", "good", f"The receipts cover the source exactly, and counts and keys agree.{quarantined}"
        )
    last = {one.chunk_id: one for one in tries}
    if not missing:
        return State("Predicted", "first", "All chunks are done. The commit has not proven and published them yet.")
    if any(last[chunk.id].failed for chunk in plan.chunks if chunk.id in last and chunk.id not in receipts):
        return State("Incomplete", "bad", f"{count(missing)} of {counted(len(plan.chunks), 'chunk')} are not done.")
    if tries:
        return State("Running", "warn", f"{count(missing)} of {counted(len(plan.chunks), 'chunk')} are not done yet.")
    return State("Planned", "first", "No chunk has been predicted yet.")


def _tiles(plan: Plan, receipts: Mapping[str, Receipt], tries: Sequence[Try]) -> list[tuple[str, str, str]]:
    done = list(receipts.values())
    read = sum(obj.size for obj in plan.objects)
    failed = [one for one in tries if one.failed]
    retried = len({one.chunk_id for one in failed})
    return [
        ("Rows predicted", count(sum(one.rows_out for one in done)), f"source of {size(read)}"),
        ("Chunks", f"{count(len(done))} of {count(len(plan.chunks))}", "have a receipt"),
        ("Failed attempts", count(len(failed)), f"at {counted(retried, 'chunk')}" if failed else "no retry was needed"),
    ]


def _rates(receipts: Mapping[str, Receipt], wall: float | None) -> list[tuple[str, str, str]]:
    done = [one for one in receipts.values() if one.rows_in and one.timings.wall]
    if not done:
        return []
    rows, worked = sum(one.rows_in for one in done), sum(one.timings.wall for one in done)
    each = sorted(one.rows_in / one.timings.wall for one in done)
    found = [
        (
            "Rows a second, each container",
            count(round(rows / worked)),
            f"from {count(round(each[0]))} to {count(round(each[-1]))}",
        ),
        ("Time of all containers", seconds(worked), f"longest chunk {seconds(max(one.timings.wall for one in done))}"),
        ("Peak memory", size(max(one.peak_memory_bytes for one in done)), "of one container"),
    ]
    if wall:
        whole = ("Rows a second, whole run", count(round(rows / wall)), f"{seconds(wall)} from first start to last end")
        found.insert(0, whole)
    return found


def _chunks(plan: Plan, receipts: Mapping[str, Receipt], tries: Sequence[Try]) -> list[dict[str, Any]]:
    by_chunk: dict[str, list[Try]] = {}
    for one in tries:
        by_chunk.setdefault(one.chunk_id, []).append(one)
    found = []
    for chunk in plan.chunks:
        receipt, mine = receipts.get(chunk.id), by_chunk.get(chunk.id, [])
        counting = next((one for one in mine if not one.cause), mine[-1] if mine else None)
        wall = receipt.timings.wall if receipt else 0.0
        found.append(
            {
                "id": chunk.id,
                "label": chunk.label,
                "receipt": receipt,
                "state": _chunk_state(receipt, mine),
                "rate": receipt.rows_in / wall if receipt and wall else None,
                "wall": wall,
                "tries": len([one for one in mine if one.cause != "not_used"]),
                "host": short_host(counting.host) if counting else "",
                "log": counting.log_url if counting else "",
            }
        )
    return sorted(found, key=lambda one: (one["receipt"] is not None, -one["wall"]))


def _chunk_state(receipt: Receipt | None, tries: Sequence[Try]) -> tuple[str, str]:
    if receipt is not None:
        return "done", "good"
    if not tries:
        return "not started", ""
    return ("running", "warn") if tries[-1].cause == "open" else (tries[-1].title, "bad")


def _problems(receipts: Mapping[str, Receipt]) -> list[Any]:
    merged = ProblemCollector()
    for receipt in receipts.values():
        merged.merge(receipt.problems)
    return sorted(merged.problems(), key=lambda problem: -problem.count)


def _facts(plan: Plan, manifest: ModelManifest | None, plan_uri: str, proof_uri: str) -> list[tuple[str, str, str]]:
    """Names, texts, and the URIs that they link to (empty: none)."""
    spec, by = plan.spec, plan.planned
    task = " / ".join(filter(None, [by.dag_id, by.task_id, by.run_id]))
    model = spec.model_manifest_uri
    report = page_uri_of(manifest.model, manifest.version) if manifest else ""
    return [
        ("Destination", plan.destination.uri, plan.destination.uri),
        ("Partition", plan.partition, ""),
        ("Columns", clipped(", ".join(output.name for output in spec.outputs), 300), ""),
        ("Method", spec.method, ""),
        ("Model", model, model),
        ("Model page", report, report),
        ("Planned by", task, ""),
        ("Plan", plan_uri, plan_uri),
        ("Ledger", plan.ledger, f"{plan.ledger}/"),
        ("Receipts", join(plan.ledger, "receipts", ""), join(plan.ledger, "receipts", "")),
        ("Proof", proof_uri, proof_uri),
        ("Fingerprint", plan.fingerprint, ""),
        ("Source", clipped(", ".join(spec.source.uris), 600), ""),
    ]
