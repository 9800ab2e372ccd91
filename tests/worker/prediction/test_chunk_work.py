"""Nothing of the user's but unpickling runs before a fork, and what unpickling has started is not left behind."""

from __future__ import annotations

import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sklearn

from airflow_sklearn.contract.progress_lines import SECONDS_VARIABLE
from airflow_sklearn.system import threads
from airflow_sklearn.system.forks import WorkerProcessDiedError, run_in_processes
from airflow_sklearn.system.sklearn_config import changed_config, configured
from airflow_sklearn.worker.prediction import progress
from airflow_sklearn.worker.prediction.progress import Progress
from tests.waiting import wait_for
from tests.worker.workbench import Workbench

MODULE = """
import os
import threading
from concurrent.futures import ThreadPoolExecutor
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

POOL = ThreadPoolExecutor(1)
OWNER = os.getpid()
if {starts_a_thread}:
    POOL.submit(int).result()

def numbers(frame):
    return POOL.submit(lambda: frame[["float_0", "float_1"]].fillna(0)).result(timeout=60)

def make():
    return make_pipeline(FunctionTransformer(numbers), LogisticRegression())
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    name = f"threaded_{request.param}"
    text = textwrap.dedent(MODULE).replace("{starts_a_thread}", str(request.param == "at_import"))
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    return name


@pytest.mark.parametrize("module", ["at_import", "in_transform"], indirect=True)
def test_an_estimator_with_threads_predicts_in_several_processes(
    bench: Workbench, table: pa.Table, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_sklearn.worker.prediction.predict._SLICE_BYTES", 1_000)
    monkeypatch.setenv("AIRFLOW_SKLEARN_PROCESSES", "2")
    source = bench.write(table, "t.csv")
    bench.train(source, f"{module}:make", preprocessing="none")
    sys.modules.pop(module).POOL.shutdown()
    plan, _ = bench.plan(source)
    assert bench.run_chunk(plan).status == "succeeded"
    assert bench.receipt(plan).processes == 2


def test_threads_that_stay_are_counted_and_those_that_end_are_not() -> None:
    release, before = threading.Event(), threads.left_by_users_code()
    with threads.users_code():
        staying = threading.Thread(target=release.wait)
        staying.start()
        ended = threading.Thread(target=int)
        ended.start()
        ended.join()
    # The kernel shows a thread for a moment after it has been joined.
    wait_for(lambda: threads.left_by_users_code() == before + 1, "the ended thread is there")
    release.set()
    staying.join()
    wait_for(lambda: threads.left_by_users_code() == before, "the other thread is there")


def _wait_for_ever(number: int) -> int:
    if number:
        threading.Event().wait(60)
    return number


def test_processes_that_wait_for_ever_are_shown_in_the_log_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from airflow_sklearn.system.stacks import offer_stack

    monkeypatch.setattr(progress, "STALLED", 0.3)
    monkeypatch.setattr(progress, "STALLED_END", 0.5)
    monkeypatch.setenv(SECONDS_VARIABLE, "0.2")

    def work(number: int) -> int:
        offer_stack(str(tmp_path))
        return _wait_for_ever(number)

    with Progress(100, 2, str(tmp_path)) as watched, pytest.raises(WorkerProcessDiedError):
        run_in_processes(work, 2, started=watched.watch)
    assert "_wait_for_ever" in str(watched.stalled)
    assert "No row has been done" in caplog.text


def test_a_process_that_works_without_a_row_is_shown_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "STALLED", 0.2)
    monkeypatch.setattr(progress, "STALLED_END", 0.2)
    monkeypatch.setenv(SECONDS_VARIABLE, "0.2")
    with Progress(100, 1, str(tmp_path)) as watched:
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            sum(range(1000))
    assert watched.stalled is None
    assert "test_a_process_that_works_without_a_row" in caplog.text


def test_settings_of_scikit_learn_are_recorded_and_set_within_only() -> None:
    before = sklearn.get_config()
    with configured({}):
        sklearn.set_config(transform_output="pandas", assume_finite=True)
        changed: dict[str, Any] = changed_config()
        assert changed == {"transform_output": "pandas", "assume_finite": True}
    assert sklearn.get_config() == before
    with configured({**changed, "of_another_version": 1}):
        assert sklearn.get_config()["transform_output"] == "pandas"
    assert sklearn.get_config() == before
