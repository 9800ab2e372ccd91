"""Tasks that raise, crash, kill and forge; workers and drivers that are killed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from joblib import Parallel, delayed, parallel_config

from airflow_sklearn.exceptions import BrokenEnvironmentError, PoolError, RemoteTaskError, TaskLostError
from airflow_sklearn.joblib_backend import WorkerPool
from airflow_sklearn.pool import pickles
from airflow_sklearn.pool.blobs import BlobWriter
from airflow_sklearn.pool.driver import session
from airflow_sklearn.pool.messages import Payload, Task
from airflow_sklearn.pool.queues import open_queue
from airflow_sklearn.pool.signing import Signer, new_key
from airflow_sklearn.runtimes.local.runtime import LocalRuntime
from tests.pool.driver.conftest import LocalPool
from tests.waiting import PATIENCE, wait_for

REPOSITORY = Path(__file__).parents[3]


def square(number: int) -> int:
    return number**2


# --- What tasks raise ---


def test_the_remote_traceback_is_chained_to_the_exception(shared_pool: WorkerPool) -> None:
    with (
        parallel_config("containers", pool=shared_pool, n_jobs=2),
        pytest.raises(LookupError, match="no number 3") as caught,
    ):
        Parallel()(delayed(refuses_three)(number) for number in range(6))
    cause = caught.value.__cause__
    assert cause is not None
    assert "in refuses_three" in str(cause)
    assert "LookupError: no number 3" in str(cause)


def refuses_three(number: int) -> int:
    if number == 3:
        raise LookupError("no number 3")
    return number


class TwoArgumentsError(Exception):
    """Cannot be unpickled: pickle calls it with one."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


def raise_two() -> None:
    raise TwoArgumentsError("fish", "chips")


def raise_with_lock() -> None:
    error = RuntimeError("it holds a lock")
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    raise error


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (raise_two, r"(?s)TwoArgumentsError: fish and chips.*could not be unpickled here"),
        (raise_with_lock, r"(?s)RuntimeError: it holds a lock.*could not be pickled in the container"),
    ],
)
def test_an_exception_that_cannot_travel_arrives_as_its_text(shared_pool: WorkerPool, function: Any, said: str) -> None:
    with pytest.raises(RemoteTaskError, match=said) as caught:
        shared_pool.submit(function).result(PATIENCE)
    assert f"in {function.__name__}" in str(caught.value.__cause__)


class OnlyThere:
    """Its pickle cannot be read here."""

    def __reduce__(self) -> Any:
        return _only_in, (os.getpid(),)


def _only_in(process: int) -> Any:
    if process != os.getpid():
        raise LookupError("this is another process")
    return OnlyThere()


def test_a_result_that_cannot_travel_is_a_clear_error(shared_pool: WorkerPool) -> None:
    with pytest.raises(RemoteTaskError, match=r"(?s)The result of .*allocate_lock.* could not be pickled.*<unlocked"):
        shared_pool.submit(threading.Lock).result(PATIENCE)
    with pytest.raises(RemoteTaskError, match="could not be unpickled here: LookupError: this is another process"):
        shared_pool.submit(OnlyThere).result(PATIENCE)


def test_a_task_that_the_container_cannot_read_is_named(shared_pool: WorkerPool, tmp_path: Path) -> None:
    (tmp_path / "only_here.py").write_text("def work(): return 1\n")
    program = "import sys; sys.path.insert(0, sys.argv[1]); import only_here, cloudpickle; print(only_here.work())"
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    sys.path.insert(0, str(tmp_path))
    try:
        import only_here  # type: ignore[import-not-found]

        with pytest.raises(RemoteTaskError, match=r"(?s)could not read.*No module named 'only_here'.*worker image"):
            shared_pool.submit(only_here.work).result(PATIENCE)
    finally:
        sys.path.remove(str(tmp_path))


def test_the_first_error_kills_the_tasks_that_run_and_drops_the_others(local_pool: LocalPool) -> None:
    started = local_pool.folder / "started"
    started.mkdir()
    with parallel_config("containers", n_jobs=2, **local_pool.parameters):
        with pytest.raises(ZeroDivisionError):
            Parallel(batch_size=1, pre_dispatch="all")(
                delayed(fails_when_the_other_runs)(str(started), number) for number in range(12)
            )
        assert Parallel()(delayed(square)(number) for number in range(4)) == [0, 1, 4, 9]
        assert len(list(started.iterdir())) < 6


def fails_when_the_other_runs(folder: str, number: int) -> None:
    Path(folder, str(number)).touch()
    if number:
        time.sleep(600)
    while len(os.listdir(folder)) < 2:
        time.sleep(0.05)
    raise ZeroDivisionError


# --- Tasks and workers that die ---


def dies_at_first(folder: str, number: int, how: str) -> int:
    """Ends its process, or its container, when it is first run."""
    path = Path(folder, f"run-{number}")
    path.write_text(f"{path.read_text() if path.exists() else ''}x")
    if number == 3 and len(path.read_text()) == 1:
        os.kill(os.getpid() if how == "process" else os.getppid(), signal.SIGKILL)
        time.sleep(600)
    return number


@pytest.mark.parametrize("how", ["process", "container"])
def test_a_task_whose_container_died_is_run_again(local_pool: LocalPool, how: str) -> None:
    with parallel_config("containers", n_jobs=2, **local_pool.parameters):
        tasks = (delayed(dies_at_first)(str(local_pool.folder), number, how) for number in range(6))
        assert Parallel(batch_size=1)(tasks) == list(range(6))
    assert (local_pool.folder / "run-3").read_text() == "xx"


def kills(folder: str, number: int, how: str) -> int:
    if number == 2:
        with open(Path(folder, "kills"), "a") as file:
            file.write("x")
        os.kill(os.getpid() if how == "process" else os.getppid(), signal.SIGKILL)
        time.sleep(600)
    return number


@pytest.mark.parametrize("how", ["process", "container"])
def test_a_task_that_keeps_killing_is_named_and_given_up(local_pool: LocalPool, how: str) -> None:
    def run() -> None:
        with parallel_config("containers", n_jobs=2, restarts=2, **local_pool.parameters):
            Parallel(batch_size=1)(delayed(kills)(str(local_pool.folder), number, how) for number in range(5))

    with pytest.raises(TaskLostError, match=r"test_failures.kills\(.*, 2, .*is given up") as caught:
        run()
    said = str(caught.value)
    del caught  # its frames refer to the block
    assert (local_pool.folder / "kills").read_text() == "xxx"
    told = "was killed by SIGKILL" if how == "process" else "its container ended"
    assert told in said
    local_pool.wait_until_gone()


def leaves_a_child_and_dies() -> None:
    if os.fork():
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)


def test_a_process_that_dies_is_missed_though_its_child_lives_on(local_pool: LocalPool) -> None:
    with WorkerPool(restarts=1, **local_pool.parameters) as pool:
        future = pool.submit(leaves_a_child_and_dies)
        with pytest.raises(TaskLostError, match="was killed by SIGKILL"):
            future.result(PATIENCE)
        wait_for(lambda: len(local_pool.running()) <= 1, local_pool.running)
    local_pool.wait_until_gone()


def test_tasks_that_only_shared_a_container_with_a_killer_are_not_given_up(local_pool: LocalPool) -> None:
    """Four at a time in one container, which one of them ends each time that it runs."""
    parameters = {**local_pool.parameters, "visibility_timeout": 5}
    with WorkerPool(processes=4, restarts=1, **parameters) as pool:
        good = [pool.submit(lambda n=n: slow_square(n), workers=4) for n in range(12)]  # type: ignore[misc]
        bad = pool.submit(lambda: os.kill(os.getppid(), signal.SIGKILL) or time.sleep(600), workers=4)
        with pytest.raises(TaskLostError):
            bad.result(PATIENCE)
        assert [future.result(PATIENCE) for future in good] == [n**2 for n in range(12)]


def slow_square(number: int) -> int:
    time.sleep(0.3)
    return number**2


def test_workers_killed_at_random_give_every_result_once(local_pool: LocalPool) -> None:
    parameters = {**local_pool.parameters, "visibility_timeout": 2}
    dice, killed, next_kill = random.Random(0), 0, 20
    seen: Counter[int] = Counter()
    with parallel_config("containers", n_jobs=2, restarts=10, **parameters):
        tasks = (delayed(short)(number) for number in range(500))
        for result in Parallel(return_as="generator_unordered", batch_size=2)(tasks):
            seen[result] += 1
            if seen.total() >= next_kill and (workers := local_pool.workers()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    dice.choice(workers).kill()
                    killed, next_kill = killed + 1, seen.total() + dice.randrange(30, 90)
    assert seen == Counter(range(500))
    assert killed >= 5
    local_pool.wait_until_gone()


def short(number: int) -> int:
    time.sleep(0.01)
    return number


def test_containers_that_cannot_start_are_an_error_with_their_log(local_pool: LocalPool, tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'the cluster is on fire'\nexit 3\n")
    broken.chmod(0o755)
    runtime = LocalRuntime(python=str(broken), state_dir=str(tmp_path / "state"))
    with (
        WorkerPool(**{**local_pool.parameters, "runtime": runtime}) as pool,
        pytest.raises(PoolError, match=r"(?s)3 containers .* before they took a task.*the cluster is on fire"),
    ):
        pool.submit(os.getpid).result(PATIENCE)
    local_pool.wait_until_gone()


def test_other_software_is_reported_before_any_work(
    local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    software = {**session.installed_software(), "numpy": "1.26.4", "python": "3.8.1"}
    monkeypatch.setattr(session, "installed_software", lambda: software)
    with (
        WorkerPool(**local_pool.parameters) as pool,
        pytest.raises(BrokenEnvironmentError, match=r"(?s)python 3.8.1 here.*numpy 1.26.4 here, \d.* in the worker"),
    ):
        pool.submit(lambda: (tmp_path / "ran").touch()).result(PATIENCE)
    assert not (tmp_path / "ran").exists()
    local_pool.wait_until_gone()


# --- Drivers that end ---

DRIVER = """
import sys, time
import joblib
import airflow_sklearn.joblib_backend
from airflow_sklearn.runtimes.local.runtime import LocalRuntime

folder, driver_timeout = sys.argv[1], float(sys.argv[2])
with joblib.parallel_config(
    "containers", n_jobs=2, runtime=LocalRuntime(state_dir=folder + "/state"), storage=f"file://{folder}/pools",
    driver_timeout=driver_timeout,
):
    joblib.Parallel(batch_size=1)(joblib.delayed(time.sleep)(600) for _ in range(4))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_driver_that_is_ended_leaves_nothing(local_pool: LocalPool, number: signal.Signals) -> None:
    # Only after SIGINT does Python itself end in order; after the others its workers go by the time-out.
    arguments = [str(local_pool.folder), str(PATIENCE) if number is signal.SIGINT else "10"]
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, *arguments], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for(lambda: len(local_pool.running()) == 2)
        driver.send_signal(number)
        _, said = driver.communicate(timeout=PATIENCE)
    finally:
        driver.kill()
    assert driver.returncode != 0
    if number is signal.SIGINT:
        assert "KeyboardInterrupt" in said
        assert not local_pool.processes()
    local_pool.wait_until_gone()


def test_a_driver_that_was_suspended_for_long_is_told(local_pool: LocalPool) -> None:
    parameters = {**local_pool.parameters, "driver_timeout": 10}
    pool = WorkerPool(**parameters)
    pool.submit(os.getpid).result(PATIENCE)
    opened = pool._session
    assert opened is not None
    opened.control.lock.acquire()  # no sign of life any more
    try:
        with pytest.raises(PoolError, match=r"no sign of this process for 10 s"):
            pool.submit(lambda: time.sleep(600)).result(PATIENCE)
    finally:
        opened.control.lock.release()
    assert pool.submit(lambda: 7).result(PATIENCE) == 7
    pool.close()
    local_pool.wait_until_gone()


# --- What somebody else writes ---


def test_a_worker_reads_no_task_that_its_driver_did_not_write(local_pool: LocalPool, tmp_path: Path) -> None:
    with WorkerPool(**local_pool.parameters) as pool:
        pool.submit(os.getpid).result(PATIENCE)
        opened = pool._session
        assert opened is not None
        tasks = open_queue(opened._tasks_uri)
        harm = pickles.dumps(lambda: (tmp_path / "harm").touch())
        forged = Task(task="0" * 16, call="", payload=BlobWriter(opened.folder).payload(harm, name="forged"))
        text = forged.model_dump_json()
        another_key = Signer(new_key(), opened.folder.uri)
        tasks.send([text, another_key.sign("task", text), opened._signer.sign("report", text)])
        assert pool.submit(lambda: 7).result(PATIENCE) == 7
        assert [pool.submit(lambda: 7).result(PATIENCE) for _ in range(3)] == [7, 7, 7]
    assert not (tmp_path / "harm").exists()


def test_a_driver_reads_no_result_that_its_workers_did_not_write(local_pool: LocalPool, tmp_path: Path) -> None:
    with WorkerPool(**local_pool.parameters) as pool:
        future = pool.submit(lambda: time.sleep(2) or 7)
        opened = pool._session
        assert opened is not None
        report = (
            f'{{"kind":"done","task":"{future.task_id}","worker":"0","seconds":0,'
            f'"payload":{_payload_that_touches(tmp_path / "harm").model_dump_json()}}}'
        )
        reports = open_queue(opened._reports_uri)
        reports.send([report, Signer(new_key(), opened.folder.uri).sign("report", report)])
        assert future.result(PATIENCE) == 7
    assert not (tmp_path / "harm").exists()


class _Touches:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def _payload_that_touches(path: Path) -> Payload:
    import base64

    return Payload(inline=base64.b64encode(pickles.dumps(_Touches(path))).decode())


def test_stored_bytes_that_were_changed_are_not_unpickled(local_pool: LocalPool, tmp_path: Path) -> None:
    """A large pickle, replaced in storage by somebody who may write there and does not know the key."""
    harm = pickles.dumps(_Touches(tmp_path / "harm"))
    with WorkerPool(**local_pool.parameters) as pool:
        pool.submit(os.getpid).result(PATIENCE)
        opened = pool._session
        assert opened is not None
        write = opened.blobs._write
        opened.blobs._write = lambda blob, _: write(blob, harm)  # type: ignore[method-assign]
        large = "x" * 200_000
        with pytest.raises(RemoteTaskError, match="does not have the SHA-256"):
            pool.submit(lambda: len(large)).result(PATIENCE)
    assert not (tmp_path / "harm").exists()
