"""The predict job: one chunk is predicted in several processes, and gets one receipt."""

from __future__ import annotations

import hashlib
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from airflow_sklearn.contract.model import ModelManifest
from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.contract.receipt import Consumed, Receipt, Tally, Timings
from airflow_sklearn.exceptions import BrokenEnvironmentError, DataError, ObjectChangedError
from airflow_sklearn.runs.attempts import attempt_name
from airflow_sklearn.runs.chunking import split_pieces
from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.system.cgroup import process_limit
from airflow_sklearn.system.forks import WorkerProcessDiedError, run_in_processes
from airflow_sklearn.system.memory import PeakMemory
from airflow_sklearn.system.scratch import scratch_folder
from airflow_sklearn.system.software import check_versions, processor
from airflow_sklearn.system.threads import left_by_users_code, users_code
from airflow_sklearn.worker.artifact import fetch_artifact, open_estimator
from airflow_sklearn.worker.attempts import record_end, this_host
from airflow_sklearn.worker.parity import with_sample
from airflow_sklearn.worker.prediction.chunk_work import ChunkWork
from airflow_sklearn.worker.prediction.duplicate_keys import report_duplicates
from airflow_sklearn.worker.prediction.explainer import read_explanation
from airflow_sklearn.worker.prediction.progress import Progress
from airflow_sklearn.worker.prediction.slices import SliceResult, refused_kinds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.jobs import PredictJob
    from airflow_sklearn.storage import Storage

_LOG = logging.getLogger("airflow_sklearn.worker")
_SLICE_BYTES = 4_000_000  # of source for each process at least: with less, a process is not worth its start


def predict(job: PredictJob, storage: Storage) -> tuple[str, str]:
    """Predict one chunk and store its receipt, unless it has one.

    :return: the receipt's URI and the SHA-256 of its bytes.
    :raises DataError: rows violate a policy; the error carries all problems of the chunk.
    :raises BrokenEnvironmentError: versions, the artifact or the parity sample differ from training.
    """
    started = time.monotonic()
    ledger = Ledger(storage, job.ledger)
    receipt = ledger.read_receipt(job.chunk.id, job.fingerprint)
    if receipt is not None:
        _LOG.info("This chunk has a receipt already (%s rows); nothing is computed.", f"{receipt.rows_out:,}")
        if receipt.attempt != attempt_name(job.ledger, job.result_uri):
            record_end(job, storage, "not_used", "The chunk was predicted already.", time.monotonic() - started)
    else:
        try:
            computed = _compute(job, storage, started)
        except ObjectChangedError as error:
            raise ObjectChangedError(
                f"{error}. The source changed after the run was planned; its old and new rows are not mixed. "
                "Clear the plan task and what follows it, to plan with the source as it is now."
            ) from error
        receipt, won = ledger.record(computed)
        if not won:
            _LOG.info("Another attempt at this chunk was first; its receipt counts, this one's output is not used.")
            record_end(job, storage, "not_used", "Another attempt was first.", time.monotonic() - started)
    return ledger.receipt_uri(job.chunk.id), receipt.digest()


def _compute(job: PredictJob, storage: Storage, started: float) -> Receipt:
    manifest = _load_manifest(storage, job)
    for difference in check_versions(manifest.versions, job.spec.policies.version_mismatch):
        _LOG.warning("Other software than at training, let pass by policy: %s", difference)
    with scratch_folder() as scratch, PeakMemory() as memory:
        _LOG.info("Loading %s (%s, %.1f MB)", manifest.version, manifest.estimator_class, manifest.artifact.size / 1e6)
        manifest = with_sample(storage, manifest)
        artifact = fetch_artifact(storage, manifest.artifact, scratch)
        with users_code():
            estimator = open_estimator(
                artifact, manifest.artifact, job.spec.trusted_types
            )  # no other code of the user runs in this process
        start_up = time.monotonic() - started
        groups = split_pieces(storage, job.spec.source, job.chunk.pieces, _process_count(job)) or [()]
        _LOG.info(
            "%s: %.1f MB in %s, model %s, ready after %.1f s",
            job.chunk.label,
            job.chunk.size / 1e6,
            "1 process" if len(groups) == 1 else f"{len(groups)} processes",
            manifest.version,
            start_up,
        )
        with Progress(job.chunk.size, len(groups), scratch) as progress:
            reasons = read_explanation(storage, manifest, job.spec.outputs)
            work = ChunkWork(storage, job, manifest, artifact, groups, scratch, progress, estimator, reasons)
            del estimator
            results = _run(work, len(groups), progress)
        parity = max(result.parity for result in results)
        if parity:
            _LOG.warning(
                "The parity sample differs in its last bits (%.1e relative): trained on %r, predicting on %r.",
                parity,
                manifest.parity.processor,
                processor(),
            )
        problems = _gather_problems(job, results)
        _LOG.info("Done: %s", progress.line())
        _tell_of_quarantine(results)
    return _receipt(job, manifest, results, problems, start_up, time.monotonic() - started, memory.bytes, parity)


def _run(work: ChunkWork, count: int, progress: Progress) -> list[SliceResult]:
    """Run the slices in processes.

    :raises StalledError: the processes are stuck.
    """
    method: Literal["fork", "spawn"] = "fork"
    if count > 1 and (threads := left_by_users_code()):
        method = "spawn"
        _LOG.info(
            "Loading the model has started %d threads, which a fork would break: each process starts anew, and loads "
            "the model for itself. That takes more memory.",
            threads,
        )
    try:
        return run_in_processes(work, count, method=method, started=progress.watch)
    except WorkerProcessDiedError:
        if progress.stalled is not None:
            raise progress.stalled from None
        raise


def _load_manifest(storage: Storage, job: PredictJob) -> ModelManifest:
    """The model's manifest, with the primary key of the run."""
    uri = job.spec.model_manifest_uri
    data = storage.read(uri)
    found = hashlib.sha256(data).hexdigest()
    if found != job.spec.model_manifest_sha256:
        raise BrokenEnvironmentError(
            f"{uri} has the SHA-256 {found}, but the plan pinned {job.spec.model_manifest_sha256}: the manifest was "
            "overwritten after the plan was made. Clear the plan task to plan with the model as it is now."
        )
    manifest = ModelManifest.from_json(data, where=uri)
    schema = manifest.feature_schema.model_copy(update={"primary_key": job.spec.primary_key})
    return manifest.model_copy(update={"feature_schema": schema})


def _process_count(job: PredictJob) -> int:
    return max(1, min(process_limit(), job.chunk.size // _SLICE_BYTES + 1))


def _gather_problems(job: PredictJob, results: Sequence[SliceResult]) -> ProblemCollector:
    """Merge the problems of all slices.

    :raises DataError: a policy forbids one of them; the error carries all problems of the chunk.
    """
    problems = ProblemCollector()
    for result in results:
        problems.merge(result.problems)
    report_duplicates(job, results, problems)
    refused = ProblemCollector()  # without problems that the policies permit
    for result in results:
        refused.merge(result.errors)
    refused.merge(problem for problem in problems.problems() if problem.kind in refused_kinds(job))
    if refused:
        count = len(refused.problems())
        found = "this problem is in it: " if count == 1 else f"these {count} problems are in it:"
        raise DataError(f"{job.chunk.label} cannot be predicted, because {found}".rstrip(), refused.problems())
    for problem in problems.problems():
        _LOG.warning("%s", problem)
    return problems


def _tell_of_quarantine(results: Sequence[SliceResult]) -> None:
    rows = sum(result.rows_quarantined for result in results)
    if rows:
        _LOG.warning(
            "%s of %s rows are not predicted but set aside, with the reason of each: %s",
            f"{rows:,}",
            f"{sum(result.rows_in for result in results):,}",
            ", ".join(part.uri for result in results for part in result.quarantine),
        )


def _receipt(
    job: PredictJob,
    manifest: ModelManifest,
    results: Sequence[SliceResult],
    problems: ProblemCollector,
    start_up: float,
    wall: float,
    peak_memory: int,
    parity: float,
) -> Receipt:
    timings = Timings.total([result.timings for result in results])
    return Receipt(
        fingerprint=job.fingerprint,
        chunk_id=job.chunk.id,
        consumed=tuple(_merge_consumed([consumed for result in results for consumed in result.consumed])),
        rows_out=sum(part.rows for result in results for part in result.parts),
        columns=results[0].columns,
        problems=problems.problems(),
        timings=timings.model_copy(update={"start_up": start_up, "wall": wall}),
        peak_memory_bytes=peak_memory,
        processes=len(results),
        model_sha256=manifest.artifact.sha256,
        processor=processor(),
        parity_max_relative_difference=parity,
        job=job.identity.path,
        attempt=attempt_name(job.ledger, job.result_uri),
        started_at=(datetime.now(UTC) - timedelta(seconds=wall)).isoformat(timespec="milliseconds"),
        host=this_host(),
        **Tally.total(results),
    )


def _merge_consumed(pieces: Sequence[Consumed]) -> list[Consumed]:
    """Merge ranges of one object that follow each other."""
    merged: list[Consumed] = []
    for piece in pieces:
        if merged and merged[-1].object == piece.object and merged[-1].last == piece.first:
            piece = piece.model_copy(update={"first": merged[-1].first, "rows": merged[-1].rows + piece.rows})
            merged.pop()
        merged.append(piece)
    return merged
