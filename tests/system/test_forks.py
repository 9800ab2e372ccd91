"""Processes that share what their parent has loaded."""

from __future__ import annotations

import gc
import multiprocessing
import time
from multiprocessing.context import ForkProcess
from typing import Any

import pytest

from airflow_sklearn.system.forks import run_in_processes


def sleep(number: int) -> int:
    time.sleep(600)
    return number


def test_when_a_process_cannot_be_started_the_others_end_and_garbage_is_collected_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[Any] = []
    start = ForkProcess.start

    def start_two(process: ForkProcess) -> None:
        if len(started) == 2:
            raise BlockingIOError("Resource temporarily unavailable")
        start(process)
        started.append(process)

    monkeypatch.setattr(ForkProcess, "start", start_two)
    with pytest.raises(BlockingIOError):
        run_in_processes(sleep, 3)
    assert [process.is_alive() for process in started] == [False, False]
    assert multiprocessing.active_children() == []
    assert gc.get_freeze_count() == 0
    assert gc.isenabled()


def test_processes_end_when_whoever_is_told_of_them_fails() -> None:
    def tell(pids: list[int]) -> None:
        raise ValueError("no room in the log")

    with pytest.raises(ValueError, match="no room"):
        run_in_processes(sleep, 2, started=tell)
    assert multiprocessing.active_children() == []
    assert gc.get_freeze_count() == 0
