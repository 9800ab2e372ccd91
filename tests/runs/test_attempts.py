"""Attempts at chunks are recorded in the ledger, and what is not well formed is left out."""

from __future__ import annotations

from pathlib import Path

from airflow_sklearn.contract.attempt import AttemptEnd, AttemptStart
from airflow_sklearn.runs.attempts import attempt_name, read_attempts, record
from airflow_sklearn.storage import Storage

CHUNK = "0123456789abcdef"


def end(message: str = "why") -> AttemptEnd:
    return AttemptEnd(
        chunk_id=CHUNK, ended_at="2026-01-01T00:00:00+00:00", cause="lost", message=message, told_by="airflow"
    )


def test_an_attempt_is_named_by_its_chunk_and_its_job() -> None:
    assert attempt_name("s3://b/f", f"s3://b/f/jobs/{CHUNK}-1-ab12.result.json") == f"{CHUNK}-1-ab12"
    for other in (f"s3://b/g/jobs/{CHUNK}-1.result.json", f"s3://b/f/jobs/../{CHUNK}-1.result.json", "s3://b/f/jobs/x"):
        assert attempt_name("s3://b/f", other) == ""


def test_the_first_end_that_is_told_stays(tmp_path: Path) -> None:
    storage, ledger, name = Storage(), f"file://{tmp_path}", f"{CHUNK}-1"
    record(storage, ledger, name, end("the worker's"))
    record(storage, ledger, name, end("Airflow's"))
    found, left_out = read_attempts(storage, ledger, (), most=10)
    assert [(one.name, one.chunk_id, one.end.message if one.end else "") for one in found] == [
        (name, CHUNK, "the worker's")
    ]
    assert left_out == 0


def test_attempts_whose_receipts_count_and_those_past_the_limit_are_not_read(tmp_path: Path) -> None:
    storage, ledger = Storage(), f"file://{tmp_path}"
    for number in range(5):
        start = AttemptStart(chunk_id=CHUNK, started_at="2026-01-01T00:00:00+00:00")
        record(storage, ledger, f"{CHUNK}-{number}", start)
    found, left_out = read_attempts(storage, ledger, [f"{CHUNK}-0"], most=3)
    assert [one.name for one in found] == [f"{CHUNK}-{number}" for number in (1, 2, 3)]
    assert left_out == 1


def test_what_is_no_attempt_is_left_out(tmp_path: Path) -> None:
    storage, ledger = Storage(), f"file://{tmp_path}"
    for name in (f"{CHUNK}-1.end.json", f"{CHUNK}.end.json", "x/y.end.json", f"{CHUNK}-1.other.json"):
        storage.write(f"{ledger}/attempts/{name}", b"[]")
    found, left_out = read_attempts(storage, ledger, (), most=10)
    assert [(one.name, one.start, one.end) for one in found] == [(f"{CHUNK}-1", None, None)]
    assert left_out == 0


def test_what_cannot_be_recorded_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "attempts").write_text("a file where the folder should be")
    record(Storage(), f"file://{tmp_path}", f"{CHUNK}-1", end())


def test_a_long_message_is_cut(tmp_path: Path) -> None:
    record(Storage(), f"file://{tmp_path}", f"{CHUNK}-1", end("x" * 100_000))
    assert (tmp_path / "attempts" / f"{CHUNK}-1.end.json").stat().st_size < 3_000
