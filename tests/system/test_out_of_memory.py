"""A lack of memory is told from other failures, and says what there was."""

from __future__ import annotations

import os
import pickle
import signal

import pyarrow as pa
import pytest

from airflow_sklearn.contract import exit_codes
from airflow_sklearn.contract.jobs import JobError, JobResult
from airflow_sklearn.contract.plan import Plan
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.system import out_of_memory
from airflow_sklearn.system.forks import WorkerProcessDiedError, run_in_processes
from airflow_sklearn.system.out_of_memory import OutOfMemoryError, explained
from airflow_sklearn.worker import run
from tests.worker.workbench import Workbench

HUNGRY = "tests.worker.factories:hungry"


def error_of(result: JobResult) -> JobError:
    assert result.error is not None
    return result.error


@pytest.fixture
def plan(bench: Workbench, table: pa.Table, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """One chunk that is large enough for two processes, and a model that does as the variable HUNGRY says."""
    bench.train(bench.write(table, "train.parquet"), HUNGRY, params={"method": "predict"})
    wide = pa.concat_tables([table] * 40)
    monkeypatch.setattr("airflow_sklearn.worker.prediction.predict._SLICE_BYTES", 100_000)
    monkeypatch.setenv("AIRFLOW_SKLEARN_PROCESSES", "2")
    return bench.plan(bench.write(wide.set_column(0, "key", pa.array(range(wide.num_rows))), "x.csv"))[0]


def test_a_fit_that_is_refused_memory_is_no_users_error(bench: Workbench, table: pa.Table) -> None:
    error = error_of(bench.run(bench.train_job(bench.write(table, "train.parquet"), HUNGRY)))
    assert error.kind == "memory"
    assert "Unable to allocate" in error.message
    assert "MiB: give it more" in error.message


def test_a_forked_process_that_is_refused_memory_says_so(
    bench: Workbench, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUNGRY", "error")
    assert error_of(bench.run_chunk(plan)).kind == "memory"


def test_a_process_killed_while_the_kernel_counted_a_kill_died_for_want_of_memory(
    bench: Workbench, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUNGRY", "killed")
    monkeypatch.setattr(run, "oom_kills", lambda: 4)
    monkeypatch.setattr(out_of_memory, "oom_kills", lambda: 5)
    error = error_of(bench.run_chunk(plan))
    assert (error.kind, error.type) == ("memory", "OutOfMemoryError")
    assert "killed by SIGKILL" in error.message
    assert "AIRFLOW_SKLEARN_PROCESSES" in error.message


def test_a_process_killed_by_someone_else_did_not(
    bench: Workbench, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUNGRY", "killed")
    monkeypatch.setattr(run, "oom_kills", lambda: 4)
    monkeypatch.setattr(out_of_memory, "oom_kills", lambda: 4)
    assert error_of(bench.run_chunk(plan)).kind == "internal"


def test_an_estimators_own_process_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a forest with n_jobs raises when the kernel kills one of joblib's processes, as ``fit`` passes it on."""
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    monkeypatch.setattr(out_of_memory, "oom_kills", lambda: 1)
    error = UserError("RandomForestClassifier.fit raised TerminatedWorkerError")
    error.__cause__ = TerminatedWorkerError("a worker process was killed")
    assert exit_codes.kind_of(explained(error, 0)) == "memory"
    assert explained(error, 1) is error


def test_an_error_that_has_nothing_to_do_with_memory_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(out_of_memory, "oom_kills", lambda: 1)
    error = UserError("no such preset")
    assert explained(error, 0) is error


def test_each_kind_has_an_exit_code_of_its_own() -> None:
    codes = list(exit_codes.BY_KIND.values())
    assert len(set(codes)) == len(codes)
    assert exit_codes.BY_KIND["memory"] == 71


def test_the_error_crosses_processes() -> None:
    assert isinstance(pickle.loads(pickle.dumps(OutOfMemoryError("memory ran out"))), MemoryError)


def test_no_dead_process_is_left_behind() -> None:
    """A container's first process has nobody who clears up after it."""
    before = _children()
    with pytest.raises(WorkerProcessDiedError):
        run_in_processes(_end, 3)
    assert _children() == before


def _end(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def _children() -> list[str]:
    with open("/proc/thread-self/children") as file:
        return file.read().split()
