from __future__ import annotations

from pathlib import Path

import pytest

from airflow_sklearn.contract.jobs import JobError, JobResult
from airflow_sklearn.contract.problems import Problem
from airflow_sklearn.exceptions import JobFailedError, JobLostError
from airflow_sklearn.runtimes.base import JobState, JobStatus
from airflow_sklearn.runtimes.outcome import raise_unless_succeeded, read_result, was_stopped
from airflow_sklearn.storage import Storage


def failed(kind: str, **more: object) -> JobResult:
    return JobResult(status="failed", error=JobError(kind=kind, type="SomeError", message="why", **more))


def test_the_result_document_beats_the_exit_code() -> None:
    raise_unless_succeeded(JobResult(status="succeeded"), JobStatus(state=JobState.LOST), [])


@pytest.mark.parametrize("kind", ["user", "data", "environment"])
def test_errors_that_a_retry_would_repeat_are_final(kind: str) -> None:
    with pytest.raises(JobFailedError, match="SomeError: why"):
        raise_unless_succeeded(failed(kind), JobStatus(state=JobState.FAILED, exit_code=64), [])


@pytest.mark.parametrize("kind", ["internal", "deadline", "cancelled"])
def test_other_errors_are_worth_a_retry(kind: str) -> None:
    with pytest.raises(JobLostError, match="SomeError: why"):
        raise_unless_succeeded(failed(kind), JobStatus(state=JobState.FAILED, exit_code=70), [])


def test_all_problems_are_in_the_message_each_with_what_where_how_many_and_what_to_do() -> None:
    problems = (
        Problem(kind="missing_column", message="not there", column="a"),
        Problem(
            kind="wrong_type",
            message="values that are not a number",
            column="b",
            file="s3://acme/a/very/long/folder/t.csv",
            count=1200,
            examples=("'x' at id=1", "'y' at id=2"),
            fix="correct them.",
        ),
    )
    failure = JobError(kind="data", type="DataError", message="Nothing is predicted:", problems=problems)
    with pytest.raises(JobFailedError) as caught:
        raise_unless_succeeded(JobResult(status="failed", error=failure), JobStatus(state=JobState.FAILED), [])
    assert str(caught.value).splitlines() == [
        "Nothing is predicted:",
        "  1. missing_column: column 'a': not there",
        "  2. wrong_type: column 'b': values that are not a number",
        "       Where: t.csv, in s3://acme/a/very/long/folder/",
        "       How many: 1,200",
        "       For example: 'x' at id=1, 'y' at id=2",
        "       Fix: correct them.",
    ]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (JobStatus(state=JobState.SUCCEEDED, exit_code=0), JobLostError),
        (JobStatus(state=JobState.LOST), JobLostError),
        (JobStatus(state=JobState.OUT_OF_MEMORY), JobLostError),
        (JobStatus(state=JobState.NO_CAPACITY), JobLostError),
        (JobStatus(state=JobState.FAILED, exit_code=70), JobLostError),
        (JobStatus(state=JobState.FAILED, exit_code=1), JobLostError),
        (JobStatus(state=JobState.FAILED, exit_code=64), JobFailedError),
        (JobStatus(state=JobState.FAILED, exit_code=78), JobFailedError),
        (JobStatus(state=JobState.FAILED, message="never started"), JobFailedError),
    ],
)
def test_without_a_result_the_state_decides_and_the_log_is_shown(status: JobStatus, error: type[Exception]) -> None:
    with pytest.raises(error, match="the last line"):
        raise_unless_succeeded(None, status, ["the last line"])


def test_a_job_that_was_stopped_for_its_deadline_says_so() -> None:
    with pytest.raises(JobLostError, match="deadline"):
        raise_unless_succeeded(failed("cancelled"), JobStatus.of_expired(), [])


@pytest.mark.parametrize(
    ("result", "status", "stopped"),
    [
        (None, JobStatus(state=JobState.CANCELLED), True),
        (None, JobStatus(state=JobState.LOST), True),
        (failed("cancelled"), JobStatus(state=JobState.CANCELLED), True),
        (failed("cancelled"), JobStatus.of_expired(), False),
        (failed("data"), JobStatus(state=JobState.FAILED), False),
        (None, JobStatus(state=JobState.FAILED), False),
    ],
)
def test_stopped_jobs_are_told_from_those_that_ended_themselves(
    result: JobResult | None, status: JobStatus, stopped: bool
) -> None:
    assert was_stopped(result, status) == stopped


def test_no_result_is_none(tmp_path: Path) -> None:
    storage, uri = Storage(), f"file://{tmp_path}/result.json"
    assert read_result(storage, uri) is None
    storage.write(uri, JobResult(status="succeeded", output_uri="x").to_json())
    result = read_result(storage, uri)
    assert result
    assert result.output_uri == "x"


OLD = "worker: error: unrecognized arguments: --sha256 s3://b/jobs/1.json"


@pytest.mark.parametrize(
    ("status", "tail"),
    [
        (JobStatus(state=JobState.FAILED, exit_code=2), ["usage: worker [-h] JOB_URI", OLD]),
        (JobStatus(state=JobState.FAILED, exit_code=2), []),  # a log that nobody can read
        (JobStatus(state=JobState.LOST), [OLD]),
    ],
)
def test_an_image_that_is_older_than_airflow_is_to_be_upgraded(status: JobStatus, tail: list[str]) -> None:
    with pytest.raises(JobFailedError, match=r"older than Airflow's airflow-sklearn\. Fix: upgrade the image"):
        raise_unless_succeeded(None, status, tail)
