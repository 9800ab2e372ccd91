"""A signal ends a job once, wherever it arrives."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from airflow_sklearn.contract.exit_codes import Cancelled
from airflow_sklearn.system.signals import Stopping, signals_held


def _never(error: BaseException) -> None:
    raise AssertionError(error)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.001)


def _job(work: Callable[[], None], stuck: Callable[[BaseException], None] = _never) -> None:
    with Stopping(stuck).listening():
        work()
        time.sleep(5)


class _Finalized:
    def __del__(self) -> None:
        _kill()
        sum(range(1000))


def test_a_signal_that_arrives_in_a_finalizer_is_not_lost() -> None:
    with pytest.raises(Cancelled, match="SIGTERM"):
        _job(lambda: _Finalized() and None)


def test_a_signal_that_arrives_in_a_hook_of_a_fork_is_not_lost() -> None:
    armed = [True]

    def hook() -> None:
        if armed:
            armed.clear()
            _kill()

    def work() -> None:
        if (child := os.fork()) == 0:
            os._exit(0)
        os.waitpid(child, 0)

    os.register_at_fork(before=hook)
    with pytest.raises(Cancelled, match="SIGTERM"):
        _job(work)


def test_signals_are_held_while_processes_are_made() -> None:
    reached = []

    def work() -> None:
        with signals_held():
            _kill()
            reached.append("the end of the fork")
        reached.append("what follows")

    with pytest.raises(Cancelled):
        _job(work)
    assert reached == ["the end of the fork"]


def test_a_second_signal_does_not_disturb_what_cleans_up() -> None:
    cleaned = []

    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        finally:
            _kill()
            cleaned.append(True)

    with pytest.raises(Cancelled, match="SIGINT"):
        _job(work)
    assert cleaned


def test_a_signal_is_without_effect_while_the_result_is_written() -> None:
    stopping = Stopping(_never)
    with stopping.listening():
        stopping.close()
        _kill()


def test_a_job_in_a_long_call_of_c_code_is_ended_by_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_sklearn.system.signals.PATIENCE", 0.05)
    told: list[str] = []

    def work() -> None:
        threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGTERM)).start()
        hashlib.pbkdf2_hmac("sha256", b"", b"", 1_500_000)

    with pytest.raises(Cancelled):
        _job(work, lambda error: told.append(str(error)))
    assert told == ["stopped by SIGTERM"]  # by then a real one has ended the process
