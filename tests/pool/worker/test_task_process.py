"""What a container makes of a task, without a container."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airflow_sklearn.exceptions import StorageError
from airflow_sklearn.pool import pickles
from airflow_sklearn.pool.blobs import BlobReader, BlobWriter
from airflow_sklearn.pool.folder import PoolFolder
from airflow_sklearn.pool.messages import Done, Failed, Payload, Task
from airflow_sklearn.pool.worker import task_process
from airflow_sklearn.pool.worker.starts import Starts
from airflow_sklearn.pool.worker.task_process import TaskRunner
from airflow_sklearn.storage import Storage
from airflow_sklearn.system.cgroup import cores
from airflow_sklearn.system.software import limit_threads, threads_limited


@pytest.fixture
def folder(tmp_path: Path) -> PoolFolder:
    return PoolFolder(Storage(), f"file://{tmp_path}/pool")


@pytest.fixture
def runner(folder: PoolFolder, tmp_path: Path) -> TaskRunner:
    return TaskRunner(folder, "0", str(tmp_path))


def task(folder: PoolFolder, function: Any, **changes: Any) -> Task:
    payload = BlobWriter(folder).payload(pickles.dumps(function), name="task-1")
    return Task(**{"task": "1", "call": "c", "payload": payload, **changes})


def test_a_result_comes_back_small_or_large(runner: TaskRunner, folder: PoolFolder, tmp_path: Path) -> None:
    for size in (10, 1_000_000):
        report = runner.run(task(folder, lambda size=size: b"x" * size))
        assert isinstance(report, Done)
        assert (report.payload.stored is None) == (size == 10)
        assert pickles.loads(BlobReader(folder, str(tmp_path)).data(report.payload)) == b"x" * size


def test_what_a_task_raises_is_in_the_answer_even_what_would_end_a_process(
    runner: TaskRunner, folder: PoolFolder
) -> None:
    for function, name in ((lambda: 1 / 0, "ZeroDivisionError"), (lambda: os._exit is None or exit(3), "SystemExit")):
        report = runner.run(task(folder, function))
        assert isinstance(report, Failed)
        assert (report.type, report.stage) == (name, "run")
        assert report.payload is not None
        assert "test_task_process.py" in report.traceback
        assert "pool/worker/task_process.py" not in report.traceback


def test_a_result_that_cannot_be_pickled_says_what_it_is(runner: TaskRunner, folder: PoolFolder) -> None:
    report = runner.run(task(folder, threading.Lock))
    assert isinstance(report, Failed)
    assert report.stage == "write"
    assert "The result is <unlocked _thread.lock" in report.message


def test_a_payload_with_another_digest_is_not_unpickled(runner: TaskRunner, folder: PoolFolder, tmp_path: Path) -> None:
    large = "x" * 100_000
    good = task(folder, lambda: len(large))
    assert good.payload.stored is not None
    harm = pickles.dumps(_Touches(tmp_path / "harm"))
    folder.storage.write(folder.blob_uri(good.payload.stored), harm)
    report = runner.run(good)
    assert isinstance(report, Failed)
    assert (report.type, report.stage) == ("ForgedMessageError", "read")
    assert not (tmp_path / "harm").exists()


class _Touches:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(("mode", "writeable"), [("r", False), ("c", True), (None, True)])
def test_arrays_beside_a_pickle_are_mapped_as_asked(
    folder: PoolFolder, tmp_path: Path, mode: Any, writeable: bool
) -> None:
    writer, blobs = BlobWriter(folder), []

    def keep_out(data: memoryview, _: Any) -> bool:
        import hashlib

        blobs.append(writer.store(data, hashlib.sha256(data).hexdigest()))
        return True

    data = pickles.dumps(np.arange(1000), keep_out=keep_out)
    payload: Payload = writer.payload(data, tuple(blobs), name="task-1")
    reader = BlobReader(folder, str(tmp_path))
    for _ in range(2):
        found = pickles.loads(reader.data(payload), reader.buffers(payload, mode))
        assert found.sum() == 499_500
        assert found.flags.writeable == writeable


def test_starts_that_are_left_are_of_tasks_that_ended_something(folder: PoolFolder) -> None:
    starts = Starts(folder, "0")
    starts.died("a", None, "its process was killed by SIGKILL")
    starts.take_back(starts.note("a"))
    note = starts.note("a")
    starts.note("b")
    assert starts.of("a")[0] == 1
    assert "SIGKILL" in starts.of("a")[1][0]
    assert "its container ended" in starts.of("a")[1][1]
    starts.died("a", note, "its process ended with exit code 3")
    assert starts.of("a")[0] == 1
    assert "exit code 3" in starts.of("a")[1][1]
    assert starts.of("c") == (0, ())


def test_threads_are_limited_for_a_process_and_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert limit_threads({}, 3, 1)["OMP_NUM_THREADS"] == "3"
    assert limit_threads({"OMP_NUM_THREADS": "5"}, 3, 1)["OMP_NUM_THREADS"] == "3"
    assert limit_threads({"OMP_NUM_THREADS": "5"}, None, 1)["OMP_NUM_THREADS"] == "5"
    assert limit_threads({}, None, 64)["OMP_NUM_THREADS"] == "1"
    with threads_limited(2):
        assert os.environ["OMP_NUM_THREADS"] == "2"
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_cores_go_by_the_containers_quota(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert cores(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cores(tmp_path) == len(os.sched_getaffinity(0))


def test_what_no_message_can_hold_is_left_out_of_the_answer(runner: TaskRunner, folder: PoolFolder) -> None:
    def fail() -> None:
        raise ValueError("\ud800 \ufffe \uffff é" + "y" * 1_000_000 + " the end")

    report = runner.run(task(folder, fail))
    assert isinstance(report, Failed)
    text = report.model_dump_json()
    assert len(text.encode()) < 262_144
    assert not {"\ud800", "\ufffe", "\uffff"} & set(text)
    assert "in fail" in report.traceback
    assert report.traceback.endswith(" the end\n")
    assert "characters are left out" in report.traceback
    assert report.payload is not None
    assert report.payload.stored is not None


def test_of_many_starts_some_are_told(folder: PoolFolder) -> None:
    starts = Starts(folder, "0")
    for _ in range(50):
        starts.note("a")
    in_vain, told = starts.of("a")
    assert in_vain == 50
    assert len(told) == 20


def test_storage_may_be_out_of_reach_for_a_moment(
    runner: TaskRunner, folder: PoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_process, "_PAUSES", (0.0, 0.0))
    large = "x" * 100_000
    sent = task(folder, lambda: large)
    errors = [StorageError("slow down")] * 2
    read = runner._reader.data

    def data(payload: Payload) -> bytes:
        if errors:
            raise errors.pop()
        return read(payload)

    runner._reader.data = data  # type: ignore[method-assign]
    assert isinstance(runner.run(sent), Done)
    errors += [StorageError("S3 refuses")] * 3
    report = runner.run(sent)
    assert isinstance(report, Failed)
    assert (report.type, report.message, report.stage) == ("StorageError", "S3 refuses", "storage")


def test_an_error_of_storage_that_a_task_itself_raises_is_its_own(runner: TaskRunner, folder: PoolFolder) -> None:
    def fail() -> None:
        raise StorageError("of the task")

    report = runner.run(task(folder, fail))
    assert isinstance(report, Failed)
    assert (report.type, report.stage) == ("StorageError", "run")
