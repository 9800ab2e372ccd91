from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_sklearn.airflow_compat import AirflowException, AirflowFailException, TaskDeferred
from airflow_sklearn.contract.problems import Problem
from airflow_sklearn.exceptions import DiskFullError, JobLostError, NoCapacityError, ThrottledError
from airflow_sklearn.operators import jobs
from airflow_sklearn.operators.base import final_errors, told_once
from airflow_sklearn.operators.predict import SklearnPredictOperator
from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.runtimes.base import JobHandle, JobState
from airflow_sklearn.runtimes.local import LocalRuntime
from airflow_sklearn.storage import Storage
from tests.factories import csv_plan, receipt
from tests.operators.fakes import Script, ScriptedOperator, ScriptedRuntime, status, store_result, task_context
from tests.runtimes.conftest import make_job


@pytest.fixture
def script(request: pytest.FixtureRequest) -> Script:
    return ScriptedRuntime.scripts[request.node.name]


@pytest.fixture
def operator(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., ScriptedOperator]:
    def make(**options: Any) -> ScriptedOperator:
        runtime = ScriptedRuntime(name=request.node.name)
        return ScriptedOperator(task_id="task", folder=str(tmp_path), runtime=runtime, aws_conn_id=None, **options)

    return make


def run(operator: ScriptedOperator, **context: Any) -> Any:
    """``execute`` as Airflow calls it, without Airflow's guard against calling it by hand."""
    with final_errors():
        return operator.work(task_context(**context))


def earlier_handle(folder: Path) -> JobHandle:
    job = make_job(folder)
    uri = f"file://{folder}/earlier.json"
    return JobHandle(key="key", job_uri=uri, result_uri=job.result_uri, submitted_at=time.time(), taken_over=True)


def test_the_result_document_is_the_success(operator: Any, script: Script, tmp_path: Path) -> None:
    script.polls = [status(JobState.RUNNING), status(JobState.SUCCEEDED)]
    script.on_submit = lambda: store_result(make_job(tmp_path))
    assert run(operator()) == "the receipt"
    assert (tmp_path / "job.json").exists(), "the job is stored before it is submitted"
    assert script.cancelled == []


def test_success_without_a_result_is_no_success(operator: Any, script: Script) -> None:
    script.polls = [status(JobState.SUCCEEDED)]
    script.lines = ["INFO the last words"]
    with pytest.raises(JobLostError, match="the last words"):
        run(operator())


def test_a_result_counts_even_if_the_runtime_lost_sight_of_the_job(
    operator: Any, script: Script, tmp_path: Path
) -> None:
    script.polls = [status(JobState.LOST)]
    script.on_submit = lambda: store_result(make_job(tmp_path))
    assert run(operator()) == "the receipt"


@pytest.mark.parametrize("kind", ["user", "data", "environment"])
def test_errors_that_a_retry_would_repeat_fail_the_task_for_good(
    operator: Any, script: Script, tmp_path: Path, kind: str
) -> None:
    problem = Problem(kind="missing_column", message="not there", column="age")
    script.polls = [status(JobState.FAILED, exit_code=65)]
    script.on_submit = lambda: store_result(make_job(tmp_path), kind, problems=(problem,))
    with pytest.raises(AirflowFailException, match="SomeError: why\n  missing_column: column 'age': not there"):
        run(operator())


@pytest.mark.parametrize("kind", ["internal", "deadline", "cancelled"])
def test_other_errors_are_left_to_airflows_retries(operator: Any, script: Script, tmp_path: Path, kind: str) -> None:
    script.polls = [status(JobState.FAILED, exit_code=70)]
    script.on_submit = lambda: store_result(make_job(tmp_path), kind)
    with pytest.raises(JobLostError, match="SomeError: why"):
        run(operator())


def test_an_earlier_attempts_job_is_taken_over(operator: Any, script: Script, tmp_path: Path) -> None:
    script.found = earlier_handle(tmp_path)
    script.polls = [status(JobState.SUCCEEDED)]
    store_result(make_job(tmp_path))
    assert run(operator()) == "the receipt"
    assert script.submitted == []


def test_a_job_that_was_taken_over_and_then_stopped_is_started_anew(
    operator: Any, script: Script, tmp_path: Path
) -> None:
    """The trigger of a cleared task stops its job, perhaps after the next attempt has taken it over."""
    script.found = earlier_handle(tmp_path)
    script.polls = [status(JobState.CANCELLED), status(JobState.SUCCEEDED)]
    script.on_submit = lambda: store_result(make_job(tmp_path))
    assert run(operator()) == "the receipt"
    assert len(script.submitted) == 1


def test_polls_that_fail_are_repeated(operator: Any, script: Script, tmp_path: Path) -> None:
    script.polls = [OSError("throttled"), OSError("throttled"), status(JobState.SUCCEEDED)]
    script.on_submit = lambda: store_result(make_job(tmp_path))
    assert run(operator()) == "the receipt"
    assert script.polled == 3


def test_a_runtime_out_of_reach_for_long_fails_the_task_and_the_job_is_stopped(
    operator: Any, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "GIVE_UP_AFTER", 0.02)
    script.polls = [OSError("unreachable")]
    with pytest.raises(OSError, match="unreachable"):
        run(operator())
    assert len(script.cancelled) == 1


def test_a_job_that_polls_do_not_see_for_long_is_lost_and_stopped(
    operator: Any, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "GIVE_UP_AFTER", 0.02)
    script.polls = [status(JobState.RUNNING), status(JobState.UNKNOWN, message="Its record cannot be read.")]
    with pytest.raises(JobLostError, match=r"has not been seen for 0 s. Its record cannot be read."):
        run(operator())
    assert len(script.cancelled) == 1


def test_a_job_past_its_deadline_is_stopped(operator: Any, script: Script) -> None:
    script.polls = [status(JobState.RUNNING)]
    with pytest.raises(JobLostError, match="deadline"):
        run(operator(deadline=timedelta(seconds=0.1)))
    assert script.cancelled


def test_a_kill_while_waiting_stops_the_job_and_the_wait(operator: Any, script: Script) -> None:
    task = operator()
    script.polls = [status(JobState.RUNNING)]
    script.on_poll = task.on_kill
    with pytest.raises(AirflowException, match="killed"):
        run(task)
    assert script.cancelled
    assert script.polled == 1


def test_a_kill_while_submitting_stops_the_job(operator: Any, script: Script) -> None:
    task = operator()
    script.on_submit = task.on_kill
    with pytest.raises(AirflowException, match="killed"):
        run(task)
    assert len(script.cancelled) == 1


def test_a_kill_before_there_is_a_job_does_nothing(operator: Any, script: Script) -> None:
    operator().on_kill()
    assert script.cancelled == []


def test_any_error_while_waiting_stops_the_job(operator: Any, script: Script) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    script.polls = [status(JobState.RUNNING)]
    script.on_poll = interrupt
    with pytest.raises(KeyboardInterrupt):
        run(operator())
    assert len(script.cancelled) == 1


def test_deferral_hands_everything_to_the_trigger_and_back_through_the_event(
    operator: Any, script: Script, tmp_path: Path
) -> None:
    task = operator(deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        run(task)
    assert script.cancelled == [], "the job goes on while the task is deferred"
    trigger = deferred.value.trigger
    assert deferred.value.method_name == "execute_complete"
    assert trigger.handle["data"] == {"detached": True}
    assert trigger.runtime == task.runtime.described_for_triggers()

    store_result(make_job(tmp_path))
    event = {"handle": trigger.handle, "status": status(JobState.SUCCEEDED).model_dump(mode="json")}
    assert operator(deferrable=True).execute_complete(task_context(), event) == "the receipt"


def test_a_deferred_job_that_failed_fails_the_task_the_same_way(operator: Any, tmp_path: Path) -> None:
    store_result(make_job(tmp_path), "data")
    handle = earlier_handle(tmp_path).model_dump(mode="json")
    event = {"handle": handle, "status": status(JobState.FAILED).model_dump(mode="json")}
    with pytest.raises(AirflowFailException, match="why"):
        operator(deferrable=True).execute_complete(task_context(), event)


def test_a_deferred_job_that_was_taken_over_and_stopped_is_started_and_deferred_anew(
    operator: Any, script: Script, tmp_path: Path
) -> None:
    handle = earlier_handle(tmp_path).model_dump(mode="json")
    event = {"handle": handle, "status": status(JobState.CANCELLED).model_dump(mode="json")}
    with pytest.raises(TaskDeferred):
        operator(deferrable=True).execute_complete(task_context(), event)
    assert len(script.submitted) == 1


@pytest.mark.parametrize(
    ("deadline", "execution_timeout", "seconds"),
    [(60, 30, 30), (30, 60, 30), (None, 30, 30), (60, None, 60), (None, None, None)],
)
def test_the_trigger_keeps_the_shorter_of_deadline_and_execution_timeout(
    operator: Any, deadline: int | None, execution_timeout: int | None, seconds: int | None
) -> None:
    task = operator(
        deferrable=True,
        deadline=timedelta(seconds=deadline) if deadline else None,
        execution_timeout=timedelta(seconds=execution_timeout) if execution_timeout else None,
    )
    before = time.time()
    with pytest.raises(TaskDeferred) as deferred:
        run(task)
    expires_at = deferred.value.trigger.expires_at
    assert expires_at is None if seconds is None else before + seconds - 1 <= expires_at <= time.time() + seconds


def refuse(script: Script, times: int, then: Callable[[], None]) -> None:
    """Let the next ``times`` submissions find no room."""

    def on_submit() -> None:
        if len(script.submitted) <= times:
            raise NoCapacityError("RESOURCE:MEMORY")
        then()

    script.on_submit = on_submit


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_CAPACITY_PAUSE", 0.01)
    monkeypatch.setattr(ScriptedRuntime, "capacity_timeout", 60.0)


@pytest.mark.usefixtures("quick")
def test_a_job_that_finds_no_room_is_submitted_again(operator: Any, script: Script, tmp_path: Path) -> None:
    refuse(script, 2, then=lambda: store_result(make_job(tmp_path)))
    script.polls = [status(JobState.SUCCEEDED)]
    assert run(operator()) == "the receipt"
    assert script.capacity_refusals == [0, 1, 2]


def test_a_job_that_finds_no_room_for_long_fails_the_task_with_the_reason(operator: Any, script: Script) -> None:
    refuse(script, 100, then=lambda: None)
    with pytest.raises(NoCapacityError, match="RESOURCE:MEMORY"):
        run(operator())
    assert script.capacity_refusals == [0], "this runtime allows no time"


@pytest.mark.usefixtures("quick")
def test_a_kill_while_waiting_for_room_ends_the_task_and_starts_nothing(operator: Any, script: Script) -> None:
    task = operator()

    def refuse_and_kill() -> None:
        task.on_kill()
        raise NoCapacityError("RESOURCE:MEMORY")

    script.on_submit = refuse_and_kill
    with pytest.raises(AirflowException, match="killed"):
        run(task)
    assert len(script.submitted) == 1


@pytest.mark.usefixtures("quick")
def test_a_job_that_was_accepted_and_then_found_no_room_is_submitted_again(
    operator: Any, script: Script, tmp_path: Path
) -> None:
    script.polls = [status(JobState.NO_CAPACITY, message="Capacity is unavailable"), status(JobState.SUCCEEDED)]
    script.on_submit = lambda: store_result(make_job(tmp_path)) if len(script.submitted) == 2 else None
    assert run(operator()) == "the receipt"
    assert script.capacity_refusals == [0, 1]


@pytest.mark.usefixtures("quick")
def test_a_deferred_job_that_found_no_room_is_submitted_and_deferred_anew(operator: Any, script: Script) -> None:
    with pytest.raises(TaskDeferred) as deferred:
        run(operator(deferrable=True))
    event = {"handle": deferred.value.trigger.handle, "status": status(JobState.NO_CAPACITY).model_dump(mode="json")}
    with pytest.raises(TaskDeferred) as again:
        operator(deferrable=True).execute_complete(task_context(), event)
    assert again.value.trigger.handle["refused"] == 1
    assert again.value.trigger.handle["asked_since"] == deferred.value.trigger.handle["asked_since"]


def test_work_that_was_finished_between_the_two_looks_is_not_done_again(
    operator: Any, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier attempt's job may end after the ledger was read, and before the runtime was asked for it."""
    task, looks = operator(), iter([None, "the receipt"])
    monkeypatch.setattr(task, "done_before", lambda *_: next(looks))
    assert run(task) == "the receipt"
    assert script.submitted == []


def test_a_kill_by_exception_in_the_middle_of_submitting_stops_what_was_started(
    operator: Any, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed_at_first() -> None:
        if len(script.submitted) == 1:
            raise SystemExit

    monkeypatch.setattr(ScriptedRuntime, "submits_once", True)
    script.on_submit = killed_at_first
    with pytest.raises(SystemExit):
        run(operator())
    assert script.submitted == [f"file://{tmp_path}/job.json"] * 2, "the same submission again gives the same job"
    assert script.cancelled == [f"file://{tmp_path}/job.json"]


@pytest.mark.usefixtures("quick")
def test_throttles_are_waited_for_and_do_not_count_as_want_of_room(
    operator: Any, script: Script, tmp_path: Path
) -> None:
    def throttle_twice() -> None:
        if len(script.submitted) <= 2:
            raise ThrottledError("Rate exceeded")
        store_result(make_job(tmp_path))

    script.on_submit = throttle_twice
    script.polls = [status(JobState.SUCCEEDED)]
    assert run(operator()) == "the receipt"
    assert script.capacity_refusals == [0, 0, 0]


def test_a_task_that_is_killed_before_it_submits_starts_nothing(operator: Any, script: Script) -> None:
    task = operator()
    task.on_kill()
    with pytest.raises(AirflowException, match="killed"):
        run(task)
    assert script.submitted == []


def test_work_that_was_done_before_its_job_was_stopped_counts(
    operator: Any, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker may be killed between its receipt and its result document."""
    task, looks = operator(), iter([None, None, "the receipt"])
    monkeypatch.setattr(task, "done_before", lambda *_: next(looks))
    script.polls = [status(JobState.LOST)]
    assert run(task) == "the receipt"


def test_a_log_that_cannot_be_read_does_not_hide_the_jobs_state(
    operator: Any, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: Any) -> Any:
        raise OSError("503")

    monkeypatch.setattr(ScriptedRuntime, "logs", unavailable)
    script.polls = [status(JobState.RUNNING), status(JobState.RUNNING), status(JobState.SUCCEEDED)]
    script.on_submit = lambda: store_result(make_job(tmp_path))
    assert run(operator()) == "the receipt"
    assert script.polled == 3


def test_an_error_is_told_once_without_what_it_was_raised_from(operator: Any, script: Script, tmp_path: Path) -> None:
    script.polls = [status(JobState.FAILED, exit_code=65)]
    script.on_submit = lambda: store_result(make_job(tmp_path), "data")
    task = operator()
    with pytest.raises(AirflowFailException) as caught:
        told_once(lambda: task.attempt(task_context()))
    text = "".join(traceback.format_exception(caught.value))
    assert text.count("SomeError: why") == 1
    stack = traceback.extract_tb(caught.value.__traceback__)
    assert len([frame for frame in stack if "airflow_sklearn" in frame.filename]) == 1


def test_what_is_no_error_of_the_package_keeps_its_traceback() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        told_once(broken)
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "broken"


def test_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    def write() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", f"{tmp_path}/part")

    with pytest.raises(DiskFullError, match=f"The disk of {tmp_path} is full"):
        told_once(write)


def test_the_operator_knows_whether_the_jobs_log_is_in_its_own(
    operator: Any, script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.polls = [status(JobState.RUNNING), status(JobState.SUCCEEDED)]
    script.on_submit = lambda: store_result(make_job(tmp_path))
    script.lines = ["INFO Done: 25 rows", "INFO Exit code 0."]
    task = operator()
    run(task)
    assert task.job_log_was_shown
    assert capsys.readouterr().out.count("Done: 25 rows") == 1
    script.lines, script.polled = [], 0
    run(silent := operator())
    assert not silent.job_log_was_shown


def test_what_the_jobs_log_has_said_is_not_said_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = Storage()
    plan, uri = csv_plan(storage, f"file://{tmp_path}")
    done = receipt(storage, plan, 0, problems=(Problem(kind="unseen_level", message="is new", column="x"),))
    task = SklearnPredictOperator(task_id="t", chunk={"plan": uri, "id": done.chunk_id}, runtime=LocalRuntime())
    task._answer(Ledger(storage, plan.ledger), done, reused=False)
    said = capsys.readouterr().out
    assert said.count("Predicted 25 rows") == said.count("unseen_level") == 1
    task.job_log_was_shown = True
    task._answer(Ledger(storage, plan.ledger), done, reused=False)
    assert not capsys.readouterr().out
