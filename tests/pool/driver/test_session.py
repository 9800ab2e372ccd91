"""One opening of a pool: what it asks of its runtime, and what is left when it ends, however it ends."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from airflow_sklearn.exceptions import StorageError
from airflow_sklearn.joblib_backend import WorkerPool, backend
from airflow_sklearn.joblib_backend.backend import ContainerBackend
from airflow_sklearn.pool.driver import session
from airflow_sklearn.pool.driver.session import Session
from airflow_sklearn.runtimes.base import JobHandle, JobStatus
from airflow_sklearn.runtimes.local.runtime import LocalRuntime
from tests.pool.driver.conftest import LocalPool
from tests.waiting import PATIENCE, wait_for


def session_of(pool: WorkerPool) -> Session:
    found = pool._session
    assert found is not None
    return found


@dataclass(repr=False)
class Counting(LocalRuntime):
    polls: ClassVar[list[int]] = []

    def poll(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        self.polls.append(len(handles))
        return super().poll(handles)


def test_containers_are_looked_at_by_the_clock_not_with_each_task(local_pool: LocalPool) -> None:
    runtime = Counting(state_dir=str(local_pool.folder / "state"))
    with WorkerPool(**{**local_pool.parameters, "runtime": runtime, "poll_interval": 600}) as pool:
        for _ in range(20):
            pool.submit(os.getpid, workers=2).result(PATIENCE)
        assert pool.statistics()["containers_started"] == 1
        assert not Counting.polls


@dataclass(repr=False)
class Interrupted(LocalRuntime):
    def cancel(self, handle: JobHandle) -> None:
        super().cancel(handle)
        raise KeyboardInterrupt


def test_a_second_signal_at_the_end_leaves_nothing(local_pool: LocalPool) -> None:
    runtime = Interrupted(state_dir=str(local_pool.folder / "state"))
    pool = WorkerPool(**{**local_pool.parameters, "runtime": runtime})
    pool.submit(os.getpid).result(PATIENCE)
    with pytest.raises(KeyboardInterrupt):
        pool.close()
    assert not local_pool.remains()
    assert not local_pool.processes()


@dataclass(repr=False)
class Stuck(LocalRuntime):
    """Its containers cannot be stopped from here."""

    def cancel(self, handle: JobHandle) -> None:
        raise ConnectionError("no route")

    def poll(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        raise ConnectionError("no route")


def test_containers_that_cannot_be_stopped_hear_that_the_pool_is_closed(local_pool: LocalPool) -> None:
    runtime = Stuck(state_dir=str(local_pool.folder / "state"))
    with WorkerPool(**{**local_pool.parameters, "runtime": runtime}) as pool:
        pool.submit(os.getpid).result(PATIENCE)
    local_pool.wait_until_gone()


def test_what_is_being_stored_when_the_pool_ends_is_removed(
    local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_SENDER_SECONDS", 0.1)
    pool = WorkerPool(**local_pool.parameters)
    pool.submit(os.getpid).result(PATIENCE)
    blobs = session_of(pool).blobs
    write, begun, go_on, done = blobs._write, threading.Event(), threading.Event(), threading.Event()

    def write_slowly(*arguments: Any) -> None:
        begun.set()
        go_on.wait(PATIENCE)
        write(*arguments)
        done.set()

    blobs._write = write_slowly  # type: ignore[method-assign]
    large = "x" * 200_000
    pool.submit(lambda: len(large))
    assert begun.wait(PATIENCE)
    pool.close()
    go_on.set()
    assert done.wait(PATIENCE)
    local_pool.wait_until_gone()


def test_no_sign_of_life_comes_after_the_end(local_pool: LocalPool) -> None:
    pool = WorkerPool(**local_pool.parameters)
    pool.submit(os.getpid).result(PATIENCE)
    opened = session_of(pool)
    pool.close()
    opened.control.write()
    assert not local_pool.remains()


def test_a_block_may_be_collected_in_a_thread_that_holds_a_lock_of_its_pool(
    local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "_CLOSE_SECONDS", 0.1)
    block = ContainerBackend(**local_pool.parameters)
    block.pool.submit(os.getpid).result(PATIENCE)
    with session_of(block.pool).control.lock:
        del block
        gc.collect()
    local_pool.wait_until_gone()


def test_a_task_of_a_call_that_was_cancelled_is_dropped(local_pool: LocalPool) -> None:
    with WorkerPool(**local_pool.parameters) as pool:
        for call in ("mine", ""):
            running = pool.submit(lambda: time.sleep(600), call=call)
            pool.cancel(call)
            with pytest.raises(CancelledError):
                running.result(PATIENCE)
        with pytest.raises(CancelledError):
            pool.submit(os.getpid, call="mine").result(PATIENCE)
        assert pool.submit(lambda: 7).result(PATIENCE) == 7, "what has no call is not of a call that was cancelled"


def test_storage_that_is_out_of_reach_is_no_fault_of_the_task(local_pool: LocalPool) -> None:
    def fail(*_: Any) -> None:
        raise StorageError("the disk is full")

    with WorkerPool(**local_pool.parameters) as pool:
        pool.submit(os.getpid).result(PATIENCE)
        session_of(pool).blobs._write = fail  # type: ignore[method-assign]
        large = "x" * 200_000
        with pytest.raises(StorageError, match="the disk is full"):
            pool.submit(lambda: len(large)).result(PATIENCE)
    wait_for(lambda: not local_pool.processes())
