from __future__ import annotations

import time
from typing import Any

import pytest

from demo import run


def test_what_goes_on_is_said_when_nothing_else_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "QUIET_SECONDS", 0.05)
    with run.never_silent():
        run.doing("fitting")
        until = time.monotonic() + 10
        said = ""
        while "... fitting" not in said and time.monotonic() < until:
            time.sleep(0.02)
            said += capsys.readouterr().out
    assert "... fitting" in said
    time.sleep(0.2)
    capsys.readouterr()
    time.sleep(0.2)
    assert capsys.readouterr().out == ""


def test_tasks_that_run_are_counted_by_what_they_do() -> None:
    def task(task_id: str, state: str | None) -> dict[str, Any]:
        return {"task_id": task_id, "state": state}

    tasks = [task("predict.predict", "running"), task("predict.predict", "running"), task("train", "running")]
    assert run._busy_with([*tasks, task("predict.commit", None)]) == "running: 2 x predict, 1 x train"
    assert run._busy_with([task("train", "queued")]) == "the next tasks are being started"
