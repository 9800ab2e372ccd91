"""An instance's jobs in their order. The workers are stand-ins, real processes; the job queue is real."""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_sklearn.contract.job_queue import JobEnd, QueueEntry
from airflow_sklearn.exceptions import StorageError
from airflow_sklearn.runtimes.ec2.job_queue import CLOSED, JobQueue, beats
from airflow_sklearn.storage import Storage
from airflow_sklearn.worker.ec2_host import job_process, serve
from airflow_sklearn.worker.ec2_host.__main__ import main
from tests.waiting import PATIENCE, wait_for

WAIT = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); print('waits', flush=True); time.sleep(600)"


@pytest.fixture(autouse=True)
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the Python source that is its job's URI, after ``file:///``."""
    program = tmp_path / "worker"
    program.write_text(
        f"#!{sys.executable}\nimport os, signal, sys, time\nexec(sys.argv[-1].removeprefix('file:///'))\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(job_process, "sys", SimpleNamespace(executable=str(program)))
    monkeypatch.setattr(serve, "_LOOK", 0.02)
    monkeypatch.setattr(serve, "_CANCEL_LOOK", 0.05)


@pytest.fixture
def queue_of(tmp_path: Path) -> Callable[..., JobQueue]:
    """``queue_of("print(1)", "print(2)", slots=3)``: with jobs as Python source."""

    def make(*sources: str, slots: int | None = None) -> JobQueue:
        queue = JobQueue(Storage(), f"file://{tmp_path}/pool", "7", slots or len(sources))
        for slot, source in enumerate(sources):
            queue.take(slot, QueueEntry(job_uri=f"file:///{source}"))
        return queue

    return make


@pytest.fixture
def served() -> Iterator[Callable[[JobQueue], threading.Thread]]:
    """Serves a job queue while the test goes on."""
    threads: list[threading.Thread] = []

    def begin(queue: JobQueue) -> threading.Thread:
        threads.append(threading.Thread(target=serve.serve, args=(queue, []), kwargs={"idle_timeout": 0.2}))
        threads[-1].start()
        return threads[-1]

    yield begin
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def exit_codes(queue: JobQueue) -> list[int | None]:
    ends = [queue.end(slot) for slot in range(queue.slots)]
    return [end.exit_code if end else None for end in ends]


def wait_until_it_waits(capfd: pytest.CaptureFixture[str]) -> None:
    said = ""

    def waits() -> bool:
        nonlocal said
        said += capfd.readouterr().out
        return "waits" in said

    wait_for(waits)


def test_jobs_are_done_one_after_another(queue_of: Callable[..., JobQueue], capfd: pytest.CaptureFixture[str]) -> None:
    queue = queue_of("print('first')", "print('second'); sys.exit(65)", "print('third')")
    serve.serve(queue, [], idle_timeout=0)
    assert exit_codes(queue) == [0, 65, 0]
    said = [line for line in capfd.readouterr().out.splitlines() if line in ("first", "second", "third")]
    assert said == ["first", "second", "third"]


def test_a_worker_that_is_killed_has_the_code_that_a_shell_gives_it(queue_of: Callable[..., JobQueue]) -> None:
    queue = queue_of("os.kill(os.getpid(), 9)")
    serve.serve(queue, [], idle_timeout=0)
    assert exit_codes(queue) == [137]
    end = queue.end(0)
    assert end is not None
    assert not end.out_of_memory
    assert end.memory > 0


def test_a_worker_that_the_kernel_killed_for_its_memory_is_told_apart(
    queue_of: Callable[..., JobQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's count goes up while it runs. (Real kills: tests/cloud.)"""
    counts = iter([3, 4])
    monkeypatch.setattr(job_process, "oom_kills", lambda: next(counts))
    queue = queue_of("os.kill(os.getpid(), 9)")
    serve.serve(queue, [], idle_timeout=0)
    end = queue.end(0)
    assert end is not None
    assert end.out_of_memory


def test_a_worker_that_says_itself_that_memory_ran_out_is_believed(queue_of: Callable[..., JobQueue]) -> None:
    queue = queue_of("sys.exit(71)")
    serve.serve(queue, [], idle_timeout=0)
    end = queue.end(0)
    assert end is not None
    assert end.out_of_memory


def test_a_job_that_comes_in_time_is_done_and_then_the_queue_closes(
    queue_of: Callable[..., JobQueue], served: Callable[[JobQueue], threading.Thread]
) -> None:
    queue = queue_of("print(1)", slots=3)
    thread = served(queue)
    wait_for(lambda: queue.end(0))
    taken = queue.take(1, QueueEntry(job_uri="file:///print(2)"))  # or it was closed just before
    thread.join(PATIENCE)
    assert queue.entry(2) == CLOSED
    assert (queue.entry(1) != CLOSED) is taken
    assert exit_codes(queue)[:2] == [0, 0 if taken else None]


def test_a_job_that_got_a_place_behind_a_closed_one_is_done(queue_of: Callable[..., JobQueue]) -> None:
    queue = queue_of("print(1)", slots=4)
    queue.take(1, CLOSED)
    queue.take(2, QueueEntry(job_uri="file:///print(3)"))
    serve.serve(queue, [], idle_timeout=600)
    assert exit_codes(queue) == [0, None, 0, None]
    assert queue.entry(3) == CLOSED


def test_a_job_that_is_cancelled_before_its_turn_is_left_out(queue_of: Callable[..., JobQueue]) -> None:
    queue = queue_of("print(1)", "raise SystemExit(1)")
    queue.cancel(1)
    serve.serve(queue, [], idle_timeout=0)
    assert exit_codes(queue) == [0, 143]


def test_a_job_that_is_cancelled_while_it_runs_ends_and_the_next_begins(
    queue_of: Callable[..., JobQueue], served: Callable[[JobQueue], threading.Thread], capfd: pytest.CaptureFixture[str]
) -> None:
    queue = queue_of(WAIT, "print('next')")
    served(queue)
    wait_until_it_waits(capfd)
    queue.cancel(0)
    wait_for(lambda: queue.end(1))
    assert exit_codes(queue) == [143, 0]


def test_a_worker_that_does_not_listen_is_killed(
    queue_of: Callable[..., JobQueue],
    served: Callable[[JobQueue], threading.Thread],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(serve, "_TO_END", 0.2)
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('waits', flush=True); time.sleep(600)"
    queue = queue_of(deaf, "print('next')")
    served(queue)
    wait_until_it_waits(capfd)
    queue.cancel(0)
    wait_for(lambda: queue.end(1))
    assert exit_codes(queue) == [137, 0]


def test_an_instance_that_is_stopped_says_so_of_all_its_jobs(queue_of: Callable[..., JobQueue]) -> None:
    """SIGTERM, as when a Spot instance is taken away; here it comes from the job itself."""
    stop = f"signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); os.kill({os.getpid()}, {int(signal.SIGTERM)}); time.sleep(600)"  # noqa: E501
    queue = queue_of(stop, "print('never')", slots=3)
    before = signal.getsignal(signal.SIGTERM)
    with serve.signals() as came:
        serve.serve(queue, came, idle_timeout=600)
    assert exit_codes(queue) == [143, None, None]
    assert queue.end(1) == JobEnd(message="The instance was stopped before the job's turn came.")
    assert queue.entry(2) == CLOSED
    assert signal.getsignal(signal.SIGTERM) == before


def test_storage_that_is_out_of_reach_for_a_while_costs_no_job(
    queue_of: Callable[..., JobQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_PAUSES", (0.0, 0.0))
    queue = queue_of("time.sleep(1)", "print(2)")
    trouble = dict.fromkeys(("entry", "set_end", "is_cancelled"), 2)
    for name in trouble:
        works = getattr(queue, name)

        def flaky(*arguments: object, name: str = name, works: Callable[..., object] = works) -> object:
            if trouble[name]:
                trouble[name] -= 1
                raise StorageError("503")
            return works(*arguments)

        monkeypatch.setattr(queue, name, flaky)
    serve.serve(queue, [], idle_timeout=0)
    assert exit_codes(queue) == [0, 0]
    assert set(trouble.values()) == {0}


def test_nothing_is_written_where_the_queue_has_been_removed(queue_of: Callable[..., JobQueue], tmp_path: Path) -> None:
    """As when a pool of joblib's is closed: its folder goes, and the instance is ended."""
    remove = f"import shutil; shutil.rmtree({str(tmp_path / 'pool')!r}); os.kill({os.getpid()}, {int(signal.SIGTERM)})"
    queue = queue_of(remove)
    with serve.signals() as came:
        serve.serve(queue, came, idle_timeout=0)
    assert not [path for path in (tmp_path / "pool").rglob("*") if path.is_file()]


def test_a_host_beats_while_it_works_or_waits_and_no_longer(
    queue_of: Callable[..., JobQueue], served: Callable[[JobQueue], threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_BEAT", 0.02)

    def heard() -> str | None:
        return beats(Storage(), queue.pool).get(queue.number)

    queue = queue_of("time.sleep(0.5)", slots=2)
    thread = served(queue)
    first = wait_for(heard)
    wait_for(lambda: heard() != first)
    wait_for(lambda: queue.end(0))
    later = heard()
    wait_for(lambda: heard() != later or queue.entry(1) == CLOSED)
    thread.join(PATIENCE)
    last = heard()
    time.sleep(0.1)
    assert heard() == last


def test_a_host_that_does_not_get_on_does_not_say_that_it_works(
    queue_of: Callable[..., JobQueue], served: Callable[[JobQueue], threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_BEAT", 0.02)
    monkeypatch.setattr(serve, "_LONGEST_STEP", 1.0)
    hangs = threading.Event()
    monkeypatch.setattr(job_process.JobProcess, "runs", lambda _: hangs.wait(PATIENCE) and False)
    queue = queue_of("print(1)")
    thread = served(queue)
    try:
        wait_for(lambda: beats(Storage(), queue.pool))
        time.sleep(1.2)
        last = beats(Storage(), queue.pool)
        time.sleep(0.2)
        assert beats(Storage(), queue.pool) == last
    finally:
        hangs.set()
        thread.join(PATIENCE)
    assert exit_codes(queue) == [0]


def test_a_beat_that_cannot_be_written_costs_no_job(
    queue_of: Callable[..., JobQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise StorageError("503")

    queue = queue_of("print(1)")
    monkeypatch.setattr(queue, "beat", fails)
    serve.serve(queue, [], idle_timeout=0)
    assert exit_codes(queue) == [0]


def test_a_beat_that_never_comes_back_keeps_no_instance_from_its_end(
    queue_of: Callable[..., JobQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_LAST_BEAT", 0.05)
    forever = threading.Event()
    queue = queue_of("print(1)")
    monkeypatch.setattr(queue, "beat", lambda: forever.wait(PATIENCE))
    began = time.monotonic()
    serve.serve(queue, [], idle_timeout=0)
    forever.set()
    assert time.monotonic() - began < PATIENCE / 2
    assert exit_codes(queue) == [0]


def test_the_command_serves_a_roster(queue_of: Callable[..., JobQueue], tmp_path: Path) -> None:
    queue = queue_of("print(1)", slots=2)
    assert main([f"file://{tmp_path}/pool", "7", "--places", "2", "--idle-timeout", "0"]) == 0
    assert exit_codes(queue) == [0, None]


# --- What pins the jobs ---


def take(queue: JobQueue, job_uri: str, log_stream: str = "") -> None:
    queue.take(0, QueueEntry(job_uri=job_uri, log_stream=log_stream))


def test_each_worker_is_told_what_pins_its_job(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "worker"
    program.write_text(f"#!{sys.executable}\nimport sys\nprint('told', *sys.argv[1:])\n")
    queue = JobQueue(Storage(), f"file://{tmp_path}/jobs/pools/1", "7", 1)
    take(queue, f"file://{tmp_path}/jobs/a.json")
    arguments = [queue.pool, "7", "--plan", "s3://b/plans/0.json", "--idle-timeout", "0"]
    assert main(arguments) == 0
    assert f"--plan s3://b/plans/0.json file://{tmp_path}/jobs/a.json" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("job_uri", "log_stream"),
    [("file:///elsewhere/a.json", ""), ("{jobs}/deeper/a.json", ""), ("{jobs}/a.json", "worker/another/job")],
)
def test_a_job_from_elsewhere_is_not_begun(tmp_path: Path, job_uri: str, log_stream: str) -> None:
    queue = JobQueue(Storage(), f"file://{tmp_path}/jobs/pools/1", "7", 1)
    take(queue, job_uri.format(jobs=f"file://{tmp_path}/jobs"), log_stream)
    serve.serve(queue, [], idle_timeout=0.0, pins=["--plan", "p"])
    end = queue.end(0)
    assert end is not None
    assert (end.exit_code, end.message.endswith("is no job of this pool.")) == (78, True)
