"""A worker does the job that it was started for, and no other one that somebody has put in its place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_sklearn import __version__
from airflow_sklearn.contract import exit_codes
from airflow_sklearn.contract.document import canonical_json
from airflow_sklearn.contract.jobs import JobResult, PoolWorkerJob, PredictJob, TrainJob
from airflow_sklearn.contract.model import FactoryEstimator
from airflow_sklearn.contract.plan import PlannedChunk
from airflow_sklearn.exceptions import DocumentError, ForgedMessageError
from airflow_sklearn.pool.folder import PoolFolder
from airflow_sklearn.pool.signing import Signer, new_key
from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.storage import Storage
from airflow_sklearn.worker.job_document import read_job
from airflow_sklearn.worker.run import run_job
from tests.factories import csv_plan


@pytest.fixture
def root(tmp_path: Path) -> str:
    return f"file://{tmp_path}"


@pytest.fixture
def chunk(root: str) -> tuple[PredictJob, str, str]:
    """A job, its URI, and its plan's."""
    storage = Storage()
    plan, plan_uri = csv_plan(storage, root)
    ledger = Ledger(storage, plan.ledger)
    first = plan.chunks[0]
    job = PredictJob(
        result_uri=ledger.result_uri(first.id, "1"),
        spec=plan.spec,
        fingerprint=plan.fingerprint,
        ledger=plan.ledger,
        chunk=first,
    )
    storage.write(ledger.job_uri(first.id, "1"), job.to_json())
    return job, ledger.job_uri(first.id, "1"), plan_uri


def evil(job: PredictJob) -> TrainJob:
    """What somebody would have the worker do who can write where the job lies."""
    return TrainJob(
        result_uri=job.result_uri,
        model="file:///x",
        version="x",
        estimator=FactoryEstimator(path="os:abort"),
        target="y",
        source=job.spec.source,
        objects=(),
    )


def test_a_job_with_the_digest_that_it_was_submitted_with_is_read(chunk: tuple[PredictJob, str, str]) -> None:
    job, uri, _ = chunk
    assert read_job(Storage(), uri, digest=job.digest()) == job


def test_another_job_is_not_even_parsed(chunk: tuple[PredictJob, str, str]) -> None:
    job, uri, _ = chunk
    for data in (evil(job).to_json(), job.to_json() + b" ", b"[" * 100_000, b""):
        Storage().write(uri, data)
        with pytest.raises(DocumentError, match="was changed after it was made"):
            read_job(Storage(), uri, digest=job.digest())


def test_a_worker_that_finds_another_job_does_nothing_and_says_so(
    chunk: tuple[PredictJob, str, str], caplog: pytest.LogCaptureFixture
) -> None:
    job, uri, _ = chunk
    Storage().write(uri, evil(job).to_json())
    assert run_job(uri, digest=job.digest()) == exit_codes.BROKEN_ENVIRONMENT
    assert "was changed after it was made" in caplog.text
    assert not Storage().exists(job.result_uri)


def test_a_job_that_nothing_pins_is_done_and_the_log_says_so(
    chunk: tuple[PredictJob, str, str], caplog: pytest.LogCaptureFixture
) -> None:
    job, uri, _ = chunk
    assert read_job(Storage(), uri) == job
    assert "Nothing pins this job" in caplog.text
    caplog.clear()
    read_job(Storage(), uri, digest=job.digest())
    assert not caplog.text


def test_a_chunk_of_the_plan_is_read_by_an_instance_of_that_plan(chunk: tuple[PredictJob, str, str]) -> None:
    job, uri, plan_uri = chunk
    assert read_job(Storage(), uri, plan=plan_uri) == job


@pytest.mark.parametrize(
    "change",
    [
        {"ledger": "file:///another"},
        {"fingerprint": "0" * 64},
        {"result_uri": "file:///elsewhere/x.result.json"},
        {"result_uri": "{jobs}x.json"},
        {"result_uri": ""},
        {"spec": {"model_manifest_uri": "file:///evil/manifest.json"}},
        {"spec": {"model_manifest_sha256": "0" * 64}},
        {"spec": {"batch_rows": 1}},
        {"chunk": {"pieces": ()}},
        {"chunk": {"id": "x"}},
    ],
    ids=str,
)
def test_an_instance_of_a_plan_refuses_what_is_no_chunk_of_it(
    chunk: tuple[PredictJob, str, str], change: dict[str, Any]
) -> None:
    job, uri, plan_uri = chunk
    jobs = Ledger(Storage(), job.ledger).jobs_folder
    update = {
        name: getattr(job, name).model_copy(update=value) if isinstance(value, dict) else value.replace("{jobs}", jobs)
        for name, value in change.items()
    }
    Storage().write(uri, job.model_copy(update=update).to_json())
    with pytest.raises(DocumentError, match="job is none of them"):
        read_job(Storage(), uri, plan=plan_uri)


def test_an_instance_of_a_plan_does_no_job_of_another_kind(chunk: tuple[PredictJob, str, str]) -> None:
    job, uri, plan_uri = chunk
    Storage().write(uri, evil(job).to_json())
    with pytest.raises(DocumentError, match="job is none of them"):
        read_job(Storage(), uri, plan=plan_uri)


def test_an_instance_does_not_believe_a_plan_that_was_changed(chunk: tuple[PredictJob, str, str]) -> None:
    _, uri, plan_uri = chunk
    for found in list(Storage().list(f"{plan_uri.rpartition('/')[0]}/")):
        Storage().write(found.uri, Storage().read(found.uri) + b" ")
    with pytest.raises(DocumentError, match="plan was changed"):
        read_job(Storage(), uri, plan=plan_uri)


def test_an_instance_does_not_believe_a_chunk_that_somebody_has_put_into_the_plan(
    chunk: tuple[PredictJob, str, str],
) -> None:
    job, uri, plan_uri = chunk
    spec = job.spec.model_copy(update={"model_manifest_uri": "file:///evil/manifest.json"})
    forged = job.model_copy(update={"spec": spec})
    Storage().write(uri, forged.to_json())
    document = PlannedChunk(spec=spec, fingerprint=job.fingerprint, ledger=job.ledger, chunk=job.chunk)
    for found in list(Storage().list(f"{plan_uri.rpartition('/')[0]}/chunks/")):
        Storage().write(found.uri, document.to_json())
    with pytest.raises(DocumentError, match="job is none of them"):
        read_job(Storage(), uri, plan=plan_uri)


# --- Versions of this package ---


def test_the_log_says_which_version_wrote_a_job_where_another_one_does_it(
    chunk: tuple[PredictJob, str, str], caplog: pytest.LogCaptureFixture
) -> None:
    job, uri, _ = chunk
    caplog.set_level("INFO", "airflow_sklearn.worker")
    read_job(Storage(), uri, digest=job.digest())
    assert "wrote this job" not in caplog.text
    for writer, told in (("0.1.9", "airflow-sklearn 0.1.9 wrote"), ("", "airflow-sklearn 0.1 wrote")):
        other = job.model_copy(update={"written_by": writer})
        Storage().write(uri, other.to_json())
        assert read_job(Storage(), uri, digest=other.digest()) == other
        assert told in caplog.text


@pytest.mark.parametrize("change", [{"format": "airflow-sklearn/predict-job/9"}, {"shards": 3}], ids=str)
def test_a_job_that_is_too_new_for_a_worker_fails_with_both_versions(
    chunk: tuple[PredictJob, str, str], change: dict[str, Any]
) -> None:
    job, uri, _ = chunk
    data = canonical_json({**json.loads(job.to_json()), "written_by": "7.8.9", **change})
    Storage().write(uri, data)
    program = f"""
import hashlib, sys
from airflow_sklearn.worker.run import run_job
sys.exit(run_job({uri!r}, digest=hashlib.sha256({data!r}).hexdigest()))
"""
    code = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False).returncode
    assert code == exit_codes.BROKEN_ENVIRONMENT
    error = JobResult.from_json(Storage().read(job.result_uri)).error
    assert error is not None
    for part in ("7.8.9", __version__, "pgrade airflow-sklearn in the worker image"):
        assert part in error.message


# --- Jobs of a pool's workers ---


def pool_job(pool: PoolFolder, **changes: Any) -> PoolWorkerJob:
    named = {"folder": pool.uri, "worker": "0", "tasks": f"{pool.uri}/tasks", "reports": f"{pool.uri}/reports"}
    return PoolWorkerJob(**{**named, "software": {}, **changes})


@pytest.fixture
def pool(root: str) -> PoolFolder:
    pool = PoolFolder(Storage(), f"{root}/pool")
    pool.make(new_key())
    return pool


def test_a_pool_s_job_is_read_with_its_signature(pool: PoolFolder) -> None:
    uri, job = pool.job_uri("0", 0), pool_job(pool)
    pool.write_job(uri, job, pool.signer())
    assert read_job(Storage(), uri) == job
    assert read_job(Storage(), uri, digest=job.digest()) == job


def test_a_pool_s_job_without_the_seal_is_refused(pool: PoolFolder) -> None:
    uri, job = pool.job_uri("0", 0), pool_job(pool)
    other = Signer(new_key(), pool.uri)
    for data in (job.to_json(), other.sign("job", job.to_json().decode()).encode(), b"", b"\xff" * 100):
        Storage().write(uri, data)
        with pytest.raises(ForgedMessageError):
            read_job(Storage(), uri)


def test_what_the_driver_signed_as_something_else_is_no_job(pool: PoolFolder) -> None:
    uri = pool.job_uri("0", 0)
    Storage().write(uri, pool.signer().sign("task", pool_job(pool).to_json().decode()).encode())
    with pytest.raises(ForgedMessageError):
        read_job(Storage(), uri)


def test_another_pool_s_job_under_a_key_that_was_put_there_is_refused_by_its_digest(pool: PoolFolder) -> None:
    uri, job, key = pool.job_uri("0", 0), pool_job(pool), new_key()
    Storage().write(f"{pool.uri}/key", key)
    pool.write_job(uri, pool_job(pool, worker="1"), Signer(key, pool.uri))
    with pytest.raises(DocumentError, match="was changed after it was made"):
        read_job(Storage(), uri, digest=job.digest())


def test_a_worker_does_not_take_a_key_that_was_put_into_its_pool_s_folder(pool: PoolFolder) -> None:
    known = pool.signer().key_sha256
    pool.signer(known)
    Storage().write(f"{pool.uri}/key", new_key())
    with pytest.raises(ForgedMessageError):
        pool.signer(known)


@pytest.mark.parametrize("change", [{"folder": "file:///another/pool"}])
def test_a_pool_starts_no_workers_of_another_one(pool: PoolFolder, change: dict[str, str]) -> None:
    uri = pool.job_uri("0", 0)
    pool.write_job(uri, pool_job(pool, **change), pool.signer())
    with pytest.raises(DocumentError, match="takes only jobs of its own workers"):
        read_job(Storage(), uri)


# --- The command ---


def worker(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "airflow_sklearn.worker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ}, check=False)


def test_the_command_takes_the_digest_and_refuses_what_is_none(chunk: tuple[PredictJob, str, str]) -> None:
    _, uri, _ = chunk
    assert worker("--sha256", "abc", uri).returncode == exit_codes.USAGE
    refused = worker("--sha256", "0" * 64, uri)
    assert (refused.returncode, "was changed after it was made" in refused.stdout) == (
        exit_codes.BROKEN_ENVIRONMENT,
        True,
    )
