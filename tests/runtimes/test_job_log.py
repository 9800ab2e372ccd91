from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from airflow_sklearn.contract.exit_codes import ERROR_FOLLOWS
from airflow_sklearn.runtimes import job_log
from airflow_sklearn.runtimes.base import JobHandle
from airflow_sklearn.runtimes.job_log import JobLog
from tests.operators.fakes import Script, ScriptedRuntime

HANDLE = JobHandle(key="key", job_uri="job", result_uri="", submitted_at=0.0)
LAST = "2026-01-01 00:00:09 INFO Exit code 0."


@pytest.fixture
def runtime(request: pytest.FixtureRequest) -> ScriptedRuntime:
    return ScriptedRuntime(name=request.node.name)


@pytest.fixture
def script(runtime: ScriptedRuntime) -> Script:
    return runtime.script


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO)
    # A thread that an earlier test has left may log, too.
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "task"]


def new_log(seen: Any = None) -> JobLog:
    return JobLog(logging.getLogger("task"), seen)


def test_each_line_is_copied_once_at_its_level(runtime: ScriptedRuntime, script: Script, said: Any) -> None:
    log = new_log()
    for line in ("2026-01-01 00:00:00 INFO 5 rows", "2026-01-01 00:00:01 WARNING odd value"):
        script.lines.append(line)
        log.forward(runtime, HANDLE)
    assert said() == [("INFO", "5 rows"), ("WARNING", "odd value")]


def test_another_process_goes_on_where_the_first_one_stopped(
    runtime: ScriptedRuntime, script: Script, said: Any
) -> None:
    script.lines = ["INFO one"]
    first = new_log()
    first.forward(runtime, HANDLE)
    script.lines += ["INFO two"]
    second = new_log(first.state())
    second.forward(runtime, HANDLE)
    assert [text for _, text in said()] == ["one", "two"]
    assert list(second.tail) == ["INFO one", "INFO two"], "an error shows the last lines, whoever copied them"


def test_the_last_lines_are_waited_for(
    runtime: ScriptedRuntime, script: Script, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptedRuntime, "log_delay", 30.0)
    monkeypatch.setattr(job_log.time, "sleep", lambda _: script.lines.append(LAST))
    new_log().drain(runtime, HANDLE)
    assert [text for _, text in said()] == ["Exit code 0."]


def test_they_are_not_waited_for_for_ever(
    runtime: ScriptedRuntime, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptedRuntime, "log_delay", 0.02)
    monkeypatch.setattr(job_log, "_PAUSE", 0.01)
    script.lines = ["INFO and then it was killed"]
    log = new_log()
    log.drain(runtime, HANDLE)
    assert list(log.tail) == script.lines


def test_a_log_out_of_reach_is_said_once(
    runtime: ScriptedRuntime, said: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unavailable(*_: Any) -> Any:
        raise OSError("503")

    monkeypatch.setattr(ScriptedRuntime, "logs", unavailable)
    monkeypatch.setattr(ScriptedRuntime, "log_delay", 30.0)
    log = new_log()
    for _ in range(3):
        log.forward(runtime, HANDLE)
    log.drain(runtime, HANDLE)
    assert [level for level, _ in said()] == ["WARNING"]
    assert "503" in said()[0][1]


def test_a_log_that_comes_back_is_waited_for_again(
    runtime: ScriptedRuntime, script: Script, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([OSError("503"), (["INFO one"], 1), ([LAST], 2)])

    def logs(*_: Any) -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(ScriptedRuntime, "logs", logs)
    log = new_log()
    log.forward(runtime, HANDLE)
    log.drain(runtime, HANDLE)
    assert [text for _, text in said()][1:] == ["one", "Exit code 0."]


def test_the_tail_holds_only_what_a_metadata_database_takes(
    runtime: ScriptedRuntime, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL + 1)  # half a character in a test's report is more than its reader bears
    script.lines = ["a\x00b", "c\ud800", "d" * 10_000]
    log = new_log()
    log.forward(runtime, HANDLE)
    assert list(log.tail) == ["ab", "c?", "d" * 500]


def test_the_error_that_the_task_will_raise_is_not_copied_but_kept(
    runtime: ScriptedRuntime, script: Script, said: Any
) -> None:
    script.lines = ["INFO reading", f"INFO {ERROR_FOLLOWS}", "ERROR DataError: no rows"]
    first = new_log()
    first.forward(runtime, HANDLE)
    second = new_log(first.state())
    script.lines += ["  1. wrong_type", "no line begins with a blank here", "INFO Exit code 65."]
    second.forward(runtime, HANDLE)
    assert [text for _, text in said()] == ["reading", "Exit code 65."]
    assert "ERROR DataError: no rows" in second.tail
    assert "  1. wrong_type" in second.tail
