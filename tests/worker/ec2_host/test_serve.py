"""An instance's jobs in their order. The workers are stand-ins, real processes; the roster is real."""

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

from airflow_sklearn.contract.job_queue import JobEnd, RosterEntry
from airflow_sklearn.exceptions import StorageError
from airflow_sklearn.runtimes.ec2.job_queue import CLOSED, Roster, beats
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
def roster_of(tmp_path: Path) -> Callable[..., Roster]:
    """``roster_of("print(1)", "print(2)", places=3)``: with jobs as Python source."""

    def make(*sources: str, places: int | None = None) -> Roster:
        roster = Roster(Storage(), f"file://{tmp_path}/pool", "7", places or len(sources))
        for place, source in enumerate(sources):
            roster.take(place, RosterEntry(job_uri=f"file:///{source}"))
        return roster

    return make


@pytest.fixture
def served() -> Iterator[Callable[[Roster], threading.Thread]]:
    """Serves a roster while the test goes on."""
    threads: list[threading.Thread] = []

    def begin(roster: Roster) -> threading.Thread:
        threads.append(threading.Thread(target=serve.serve, args=(roster, []), kwargs={"idle_timeout": 0.2}))
        threads[-1].start()
        return threads[-1]

    yield begin
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def exit_codes(roster: Roster) -> list[int | None]:
    ends = [roster.end(place) for place in range(roster.places)]
    return [end.exit_code if end else None for end in ends]


def wait_until_it_waits(capfd: pytest.CaptureFixture[str]) -> None:
    said = ""

    def waits() -> bool:
        nonlocal said
        said += capfd.readouterr().out
        return "waits" in said

    wait_for(waits)


def test_jobs_are_done_one_after_another(roster_of: Callable[..., Roster], capfd: pytest.CaptureFixture[str]) -> None:
    roster = roster_of("print('first')", "print('second'); sys.exit(65)", "print('third')")
    serve.serve(roster, [], idle_timeout=0)
    assert exit_codes(roster) == [0, 65, 0]
    said = [line for line in capfd.readouterr().out.splitlines() if line in ("first", "second", "third")]
    assert said == ["first", "second", "third"]


def test_a_worker_that_is_killed_has_the_code_that_a_shell_gives_it(roster_of: Callable[..., Roster]) -> None:
    roster = roster_of("os.kill(os.getpid(), 9)")
    serve.serve(roster, [], idle_timeout=0)
    assert exit_codes(roster) == [137]
    end = roster.end(0)
    assert end is not None
    assert not end.out_of_memory
    assert end.memory > 0


def test_a_worker_that_the_kernel_killed_for_its_memory_is_told_apart(
    roster_of: Callable[..., Roster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's count goes up while it runs. (Real kills: tests/cloud.)"""
    counts = iter([3, 4])
    monkeypatch.setattr(job_process, "oom_kills", lambda: next(counts))
    roster = roster_of("os.kill(os.getpid(), 9)")
    serve.serve(roster, [], idle_timeout=0)
    end = roster.end(0)
    assert end is not None
    assert end.out_of_memory


def test_a_worker_that_says_itself_that_memory_ran_out_is_believed(roster_of: Callable[..., Roster]) -> None:
    roster = roster_of("sys.exit(71)")
    serve.serve(roster, [], idle_timeout=0)
    end = roster.end(0)
    assert end is not None
    assert end.out_of_memory


def test_a_job_that_comes_in_time_is_done_and_then_the_roster_closes(
    roster_of: Callable[..., Roster], served: Callable[[Roster], threading.Thread]
) -> None:
    roster = roster_of("print(1)", places=3)
    thread = served(roster)
    wait_for(lambda: roster.end(0))
    taken = roster.take(1, RosterEntry(job_uri="file:///print(2)"))  # or it was closed just before
    thread.join(PATIENCE)
    assert roster.entry(2) == CLOSED
    assert (roster.entry(1) != CLOSED) is taken
    assert exit_codes(roster)[:2] == [0, 0 if taken else None]


def test_a_job_that_got_a_place_behind_a_closed_one_is_done(roster_of: Callable[..., Roster]) -> None:
    roster = roster_of("print(1)", places=4)
    roster.take(1, CLOSED)
    roster.take(2, RosterEntry(job_uri="file:///print(3)"))
    serve.serve(roster, [], idle_timeout=600)
    assert exit_codes(roster) == [0, None, 0, None]
    assert roster.entry(3) == CLOSED


def test_a_job_that_is_cancelled_before_its_turn_is_left_out(roster_of: Callable[..., Roster]) -> None:
    roster = roster_of("print(1)", "raise SystemExit(1)")
    roster.cancel(1)
    serve.serve(roster, [], idle_timeout=0)
    assert exit_codes(roster) == [0, 143]


def test_a_job_that_is_cancelled_while_it_runs_ends_and_the_next_begins(
    roster_of: Callable[..., Roster], served: Callable[[Roster], threading.Thread], capfd: pytest.CaptureFixture[str]
) -> None:
    roster = roster_of(WAIT, "print('next')")
    served(roster)
    wait_until_it_waits(capfd)
    roster.cancel(0)
    wait_for(lambda: roster.end(1))
    assert exit_codes(roster) == [143, 0]


def test_a_worker_that_does_not_listen_is_killed(
    roster_of: Callable[..., Roster],
    served: Callable[[Roster], threading.Thread],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(serve, "_TO_END", 0.2)
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('waits', flush=True); time.sleep(600)"
    roster = roster_of(deaf, "print('next')")
    served(roster)
    wait_until_it_waits(capfd)
    roster.cancel(0)
    wait_for(lambda: roster.end(1))
    assert exit_codes(roster) == [137, 0]


def test_an_instance_that_is_stopped_says_so_of_all_its_jobs(roster_of: Callable[..., Roster]) -> None:
    """SIGTERM, as when a Spot instance is taken away; here it comes from the job itself."""
    stop = f"signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); os.kill({os.getpid()}, {int(signal.SIGTERM)}); time.sleep(600)"  # noqa: E501
    roster = roster_of(stop, "print('never')", places=3)
    before = signal.getsignal(signal.SIGTERM)
    with serve.signals() as came:
        serve.serve(roster, came, idle_timeout=600)
    assert exit_codes(roster) == [143, None, None]
    assert roster.end(1) == JobEnd(message="The instance was stopped before the job's turn came.")
    assert roster.entry(2) == CLOSED
    assert signal.getsignal(signal.SIGTERM) == before


def test_storage_that_is_out_of_reach_for_a_while_costs_no_job(
    roster_of: Callable[..., Roster], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_PAUSES", (0.0, 0.0))
    roster = roster_of("time.sleep(1)", "print(2)")
    trouble = dict.fromkeys(("entry", "set_end", "is_cancelled"), 2)
    for name in trouble:
        works = getattr(roster, name)

        def flaky(*arguments: object, name: str = name, works: Callable[..., object] = works) -> object:
            if trouble[name]:
                trouble[name] -= 1
                raise StorageError("503")
            return works(*arguments)

        monkeypatch.setattr(roster, name, flaky)
    serve.serve(roster, [], idle_timeout=0)
    assert exit_codes(roster) == [0, 0]
    assert set(trouble.values()) == {0}


def test_nothing_is_written_where_the_roster_has_been_removed(roster_of: Callable[..., Roster], tmp_path: Path) -> None:
    """As when a pool of joblib's is closed: its folder goes, and the instance is ended."""
    remove = f"import shutil; shutil.rmtree({str(tmp_path / 'pool')!r}); os.kill({os.getpid()}, {int(signal.SIGTERM)})"
    roster = roster_of(remove)
    with serve.signals() as came:
        serve.serve(roster, came, idle_timeout=0)
    assert not [path for path in (tmp_path / "pool").rglob("*") if path.is_file()]


def test_a_host_beats_while_it_works_or_waits_and_no_longer(
    roster_of: Callable[..., Roster], served: Callable[[Roster], threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_BEAT", 0.02)

    def heard() -> str | None:
        return beats(Storage(), roster.pool).get(roster.number)

    roster = roster_of("time.sleep(0.5)", places=2)
    thread = served(roster)
    first = wait_for(heard)
    wait_for(lambda: heard() != first)
    wait_for(lambda: roster.end(0))
    later = heard()
    wait_for(lambda: heard() != later or roster.entry(1) == CLOSED)
    thread.join(PATIENCE)
    last = heard()
    time.sleep(0.1)
    assert heard() == last


def test_a_host_that_does_not_get_on_does_not_say_that_it_works(
    roster_of: Callable[..., Roster], served: Callable[[Roster], threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_BEAT", 0.02)
    monkeypatch.setattr(serve, "_LONGEST_STEP", 1.0)
    hangs = threading.Event()
    monkeypatch.setattr(job_process.JobProcess, "runs", lambda _: hangs.wait(PATIENCE) and False)
    roster = roster_of("print(1)")
    thread = served(roster)
    try:
        wait_for(lambda: beats(Storage(), roster.pool))
        time.sleep(1.2)
        last = beats(Storage(), roster.pool)
        time.sleep(0.2)
        assert beats(Storage(), roster.pool) == last
    finally:
        hangs.set()
        thread.join(PATIENCE)
    assert exit_codes(roster) == [0]


def test_a_beat_that_cannot_be_written_costs_no_job(
    roster_of: Callable[..., Roster], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise StorageError("503")

    roster = roster_of("print(1)")
    monkeypatch.setattr(roster, "beat", fails)
    serve.serve(roster, [], idle_timeout=0)
    assert exit_codes(roster) == [0]


def test_a_beat_that_never_comes_back_keeps_no_instance_from_its_end(
    roster_of: Callable[..., Roster], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_LAST_BEAT", 0.05)
    forever = threading.Event()
    roster = roster_of("print(1)")
    monkeypatch.setattr(roster, "beat", lambda: forever.wait(PATIENCE))
    began = time.monotonic()
    serve.serve(roster, [], idle_timeout=0)
    forever.set()
    assert time.monotonic() - began < PATIENCE / 2
    assert exit_codes(roster) == [0]


def test_the_command_serves_a_roster(roster_of: Callable[..., Roster], tmp_path: Path) -> None:
    roster = roster_of("print(1)", places=2)
    assert main([f"file://{tmp_path}/pool", "7", "--places", "2", "--idle-timeout", "0"]) == 0
    assert exit_codes(roster) == [0, None]


# --- What pins the jobs ---


def take(roster: Roster, job_uri: str, log_stream: str = "") -> None:
    roster.take(0, RosterEntry(job_uri=job_uri, log_stream=log_stream))


def test_each_worker_is_told_what_pins_its_job(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "worker"
    program.write_text(f"#!{sys.executable}\nimport sys\nprint('told', *sys.argv[1:])\n")
    roster = Roster(Storage(), f"file://{tmp_path}/jobs/pools/1", "7", 1)
    take(roster, f"file://{tmp_path}/jobs/a.json")
    arguments = [roster.pool, "7", "--plan", "s3://b/plans/0.json", "--idle-timeout", "0"]
    assert main(arguments) == 0
    assert f"--plan s3://b/plans/0.json file://{tmp_path}/jobs/a.json" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("job_uri", "log_stream"),
    [("file:///elsewhere/a.json", ""), ("{jobs}/deeper/a.json", ""), ("{jobs}/a.json", "worker/another/job")],
)
def test_a_job_from_elsewhere_is_not_begun(tmp_path: Path, job_uri: str, log_stream: str) -> None:
    roster = Roster(Storage(), f"file://{tmp_path}/jobs/pools/1", "7", 1)
    take(roster, job_uri.format(jobs=f"file://{tmp_path}/jobs"), log_stream)
    serve.serve(roster, [], idle_timeout=0.0, pins=["--plan", "p"])
    end = roster.end(0)
    assert end is not None
    assert (end.exit_code, end.message.endswith("is no job of this pool.")) == (78, True)
