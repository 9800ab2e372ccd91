"""What a container does when its queues, its storage or its driver fail it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_sklearn.contract.jobs import JobIdentity, PoolWorkerJob
from airflow_sklearn.exceptions import MessageRefusedError, PoolError
from airflow_sklearn.pool import retry_budget as patience
from airflow_sklearn.pool.folder import PoolFolder
from airflow_sklearn.pool.messages import REPORT, Control, Failed, Ready
from airflow_sklearn.pool.queues import Queue, open_queue
from airflow_sklearn.pool.signing import Signer, new_key
from airflow_sklearn.pool.software import installed_software
from airflow_sklearn.pool.worker import worker as workers
from airflow_sklearn.pool.worker.worker import PoolWorker
from airflow_sklearn.storage import Storage
from tests.waiting import wait_for


class Driver:
    """The other side of a pool, by hand."""

    def __init__(self, path: Path) -> None:
        self.path = path / "pool"
        self.folder = PoolFolder(Storage(), f"file://{self.path}")
        key = new_key()
        self.signer = Signer(key, self.folder.uri)
        self.folder.make(key)
        self.say(beat=1)
        self.tasks, self.reports = open_queue(self._queue("tasks")), open_queue(self._queue("reports"))
        self.tasks.create(30)
        self.reports.create(30)

    def say(self, **control: Any) -> None:
        signed = self.signer.sign("control", Control(**control).model_dump_json())
        self.folder.storage.write(self.folder.control_uri, signed.encode())

    def worker(self, *, driver_seconds: float = 600) -> PoolWorker:
        job = PoolWorkerJob(
            identity=JobIdentity(),
            folder=self.folder.uri,
            worker="0",
            tasks=self._queue("tasks"),
            reports=self._queue("reports"),
            software=installed_software(),
            processes=1,
            driver_seconds=driver_seconds,
            restarts=2,
            visibility_seconds=30,
            idle_seconds=600,
        )
        return PoolWorker(job, self.folder)

    def is_gone(self) -> bool:
        return not self.path.exists()

    def _queue(self, name: str) -> str:
        return f"file://{self.path}/queues/{name}"


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    return Driver(tmp_path)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_PAUSE", 0.01)
    monkeypatch.setattr(workers, "_CONTROL_SECONDS", 0.05)


class Started:
    """A worker at work."""

    def __init__(self, worker: PoolWorker) -> None:
        self.worker = worker
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with self.worker:
                self.worker.run()
        except Exception as error:
            self.error = error

    def wait(self) -> Exception | None:
        wait_for(lambda: not self._thread.is_alive(), "the worker to end")
        return self.error


class Failing:
    """A queue whose calls raise, so often."""

    def __init__(self, queue: Queue, name: str, error: Exception, times: int) -> None:
        self._queue, self._name, self._error, self.left = queue, name, error, times

    def __getattr__(self, name: str) -> Any:
        if name == self._name and self.left > 0:
            self.left -= 1
            raise self._error
        return getattr(self._queue, name)


def test_a_worker_that_may_not_use_its_queue_fails_with_the_reason(driver: Driver) -> None:
    worker = driver.worker()
    denied: Any = Failing(worker.tasks, "receive", PoolError("SQS denies access"), 1)
    worker.tasks = denied
    error = Started(worker).wait()
    assert isinstance(error, PoolError)
    assert not driver.is_gone()


@pytest.mark.parametrize(("queue", "call"), [("tasks", "receive"), ("_reports", "send")])
def test_a_worker_bears_errors_that_pass(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, queue: str, call: str
) -> None:
    monkeypatch.setattr("airflow_sklearn.pool.worker.slot._PAUSE", 0.01)
    worker = driver.worker()
    failing: Any = Failing(getattr(worker, queue), call, ConnectionError("no route"), 3)
    setattr(worker, queue, failing)
    started = Started(worker)
    (message,) = wait_for(lambda: driver.reports.receive(1, wait=1, visibility=60), "its report")
    assert isinstance(REPORT.validate_json(driver.signer.verify("report", message.body)), Ready)
    wait_for(lambda: failing.left == 0, "the errors")
    assert not worker.over.is_set()
    driver.say(beat=2, closing=True)
    assert started.wait() is None


def test_a_worker_that_hears_of_the_end_removes_the_pool(driver: Driver) -> None:
    """Its driver may be killed on its way."""
    started = Started(driver.worker())
    driver.say(beat=2, closing=True)
    assert started.wait() is None
    assert driver.is_gone()


def test_a_driver_that_was_killed_when_it_had_removed_the_queues_leaves_nothing(driver: Driver) -> None:
    worker = driver.worker()
    started = Started(worker)
    wait_for(lambda: worker.opened, "the worker to find the queue")
    driver.say(beat=2, closing=True)
    driver.tasks.destroy()
    assert started.wait() is None
    assert driver.is_gone()


def test_a_worker_without_a_sign_of_its_driver_removes_the_pool(driver: Driver) -> None:
    assert Started(driver.worker(driver_seconds=0.5)).wait() is None
    assert driver.is_gone()


def test_a_worker_that_cannot_hear_its_driver_ends_and_leaves_the_pool_alone(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "GIVE_UP_SECONDS", 0.5)
    worker = driver.worker(driver_seconds=0.4)
    (driver.path / "control").write_bytes(b"?")
    assert Started(worker).wait() is not None
    assert not driver.is_gone()


def test_a_blind_time_is_not_counted_as_silence(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver, too, may have been cut off from storage."""
    now = [1000.0]
    monkeypatch.setattr(workers.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(patience.time, "monotonic", lambda: now[0])
    worker = driver.worker(driver_seconds=60)
    worker._listen()
    said = (driver.path / "control").read_bytes()
    (driver.path / "control").write_bytes(b"?")
    now[0] += 50
    worker._listen()
    (driver.path / "control").write_bytes(said)
    for _ in range(2):
        now[0] += 50
        worker._listen()
        assert not worker.over.is_set()
    now[0] += 50
    worker._listen()
    assert worker.over.is_set()


class Picky:
    """A queue that refuses messages with a word in them, as SQS does those that are too large."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def send(self, bodies: Sequence[str]) -> None:
        if any("unspeakable" in body for body in bodies):
            raise MessageRefusedError("too large")
        self._queue.send(bodies)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


def test_a_report_that_the_queue_refuses_is_replaced_by_a_short_one(driver: Driver) -> None:
    worker = driver.worker()
    picky: Any = Picky(worker._reports)
    worker._reports = picky
    for name, message in (("1", "plain"), ("2", "unspeakable"), ("3", "plain")):
        worker.report(Failed(task=name, worker="0", type="Error", message=message), None)
    started = Started(worker)
    found = {}
    while len(found) < 3:
        for received in driver.reports.receive(10, wait=5, visibility=60):
            report = REPORT.validate_json(driver.signer.verify("report", received.body))
            if isinstance(report, Failed):
                found[report.task] = report.message
    assert found["1"] == found["3"] == "plain"
    assert "could not be told: too large" in found["2"]
    driver.say(beat=2, closing=True)
    assert started.wait() is None
