"""A worker as a process: exit codes, result documents, deadlines, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from airflow_sklearn.contract import exit_codes
from airflow_sklearn.contract.jobs import Job, JobResult
from tests.waiting import PATIENCE, wait_for
from tests.worker.workbench import Workbench

SLOW = "tests.worker.factories:slow"


def start(bench: Workbench, job: Job, **environment: str) -> subprocess.Popen[str]:
    uri = job.result_uri.replace(".json", ".job.json")
    bench.storage.write(uri, job.to_json())
    return subprocess.Popen(
        [sys.executable, "-m", "airflow_sklearn.worker", uri],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    )


def result_of(bench: Workbench, job: Job) -> JobResult:
    return JobResult.from_json(bench.storage.read(job.result_uri))


@pytest.fixture
def slow_chunk(bench: Workbench, table: pa.Table) -> Iterator[Job]:
    """A predict job of which each call takes ten minutes, the parity sample's too."""
    bench.train(bench.write(table, "train.parquet"), SLOW)
    plan, _ = bench.plan(bench.write(table, "x.csv"))
    job = bench.predict_job(plan, plan.chunks[0])
    os.environ["SLOW_SECONDS"] = "600"
    yield job
    del os.environ["SLOW_SECONDS"]


def last_line(output: str) -> str:
    """Without its time."""
    return output.splitlines()[-1].split(" ", 2)[2]


def wait_for_start(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if "Loading" in line:
            return
    raise AssertionError("the worker ended before it began")


def test_a_good_job_ends_with_zero_a_result_and_progress(bench: Workbench, table: pa.Table) -> None:
    job = bench.train_job(bench.write(table, "train.csv"))
    process = start(bench, job)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == exit_codes.SUCCESS, output
    result = result_of(bench, job)
    assert result.output_uri.endswith("manifest.json")
    assert bench.storage.exists(result.output_uri)
    plan, _ = bench.plan(bench.source("train.csv"))
    chunk = bench.predict_job(plan, plan.chunks[0])
    output, _ = start(bench, chunk).communicate(timeout=PATIENCE)
    assert "INFO Done: 5,003 rows, 100%" in output
    assert result_of(bench, chunk).output_sha256 == bench.receipt(plan).digest()
    assert last_line(output) == "INFO Exit code 0."


def test_exit_codes_tell_a_users_error_bad_data_and_a_broken_environment_apart(
    bench: Workbench, table: pa.Table
) -> None:
    source = bench.write(table, "train.parquet")
    manifest = bench.train(source)
    plan, _ = bench.plan(bench.write(table.drop_columns(["float_0"]), "x.csv"))
    bad_data = bench.predict_job(plan, plan.chunks[0])
    users_error = bench.train_job(source, "no_such_preset")
    codes = {}
    for name, job in (("user", users_error), ("data", bad_data)):
        process = start(bench, job)
        output, _ = process.communicate(timeout=PATIENCE)
        codes[name] = process.returncode
        error = result_of(bench, job).error
        assert error is not None
        assert error.kind == name
        assert error.message in output
    bench.storage.write(manifest.artifact.uri, b"damaged")
    process = start(bench, bench.predict_job(plan, plan.chunks[0]))
    process.communicate(timeout=PATIENCE)
    codes["environment"] = process.returncode
    assert codes == {
        "user": exit_codes.USER_ERROR,
        "data": exit_codes.BAD_DATA,
        "environment": exit_codes.BROKEN_ENVIRONMENT,
    }


def test_a_job_that_cannot_be_read_says_why(bench: Workbench) -> None:
    for argument, code, text in (
        (f"{bench.root}/nothing.json", exit_codes.INTERNAL_ERROR, "No file"),
        (f"{bench.root}/newer.json", exit_codes.BROKEN_ENVIRONMENT, "Upgrade airflow-sklearn"),
    ):
        bench.storage.write(f"{bench.root}/newer.json", b'{"format":"airflow-sklearn/train-job/99"}')
        done = subprocess.run(
            [sys.executable, "-m", "airflow_sklearn.worker", argument], capture_output=True, text=True
        )
        assert done.returncode == code
        assert text in done.stdout
        assert last_line(done.stdout) == f"INFO Exit code {code}."


def test_a_job_on_local_files_does_not_load_what_only_s3_needs(bench: Workbench, table: pa.Table) -> None:
    bench.train(bench.write(table, "train.csv"))
    plan, _ = bench.plan(bench.source("train.csv"))
    bench.storage.write(f"{bench.root}/job.json", bench.predict_job(plan, plan.chunks[0]).to_json())
    source = (
        "import sys; from airflow_sklearn.worker.run import run_job; "
        f"print(run_job('{bench.root}/job.json'), [name for name in ('boto3', 'urllib3') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr


def test_a_result_that_cannot_be_written_is_an_internal_error(bench: Workbench, table: pa.Table) -> None:
    job = bench.train_job(bench.write(table, "train.csv"))
    bench.storage.write(f"{bench.root}/a-file", b"")
    uri = f"{bench.root}/a-file/result.json"
    bench.storage.write(f"{bench.root}/job.json", job.model_copy(update={"result_uri": uri}).to_json())
    done = subprocess.run(
        [sys.executable, "-m", "airflow_sklearn.worker", f"{bench.root}/job.json"], capture_output=True, text=True
    )
    assert done.returncode == exit_codes.INTERNAL_ERROR
    assert "Cannot write" in done.stdout
    assert last_line(done.stdout) == "INFO Exit code 70."


def test_sigterm_before_the_job_has_begun_ends_the_worker_at_once(bench: Workbench) -> None:
    """The job's document is a pipe that nobody writes to: the worker waits for it, without a handler of the job's."""
    path = bench.root.removeprefix("file://") + "/job.json"
    os.mkfifo(path)
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow_sklearn.worker", path],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(lambda: catches(process.pid, signal.SIGTERM), "the worker to handle SIGTERM", pause=0.005)
    process.terminate()
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == exit_codes.CANCELLED
    assert last_line(output) == "INFO Exit code 143."


def catches(process: int, number: int) -> bool:
    with open(f"/proc/{process}/status") as file:
        mask = next(int(line.split()[1], 16) for line in file if line.startswith("SigCgt"))
    return bool(mask >> (number - 1) & 1)


def test_the_deadline_ends_a_job_and_its_result_says_so(bench: Workbench, slow_chunk: Job) -> None:
    job = slow_chunk.model_copy(update={"deadline_seconds": 3.0})
    process = start(bench, job)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == exit_codes.DEADLINE
    assert last_line(output) == "INFO Exit code 124."
    error = result_of(bench, job).error
    assert error is not None
    assert error.kind == "deadline"
    assert "deadline of 3 s" in error.message


def test_sigterm_ends_a_job_in_order(bench: Workbench, slow_chunk: Job) -> None:
    process = start(bench, slow_chunk)
    wait_for_start(process)
    process.terminate()
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == exit_codes.CANCELLED
    assert last_line(output) == "INFO Exit code 143."
    error = result_of(bench, slow_chunk).error
    assert error is not None
    assert (error.kind, error.message) == ("cancelled", "stopped by SIGTERM")


def test_a_worker_that_asked_for_it_ends_with_its_parent(bench: Workbench, slow_chunk: Job) -> None:
    uri = slow_chunk.result_uri.replace(".json", ".job.json")
    bench.storage.write(uri, slow_chunk.to_json())
    parent = subprocess.Popen(
        ["sh", "-c", f"'{sys.executable}' -m airflow_sklearn.worker '{uri}' & echo $!; wait"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "AIRFLOW_SKLEARN_EXIT_WITH_PARENT": "1"},
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    wait_for_start(parent)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not is_running(worker), "the worker to end")


def test_no_forked_process_outlives_a_worker(bench: Workbench, table: pa.Table) -> None:
    bench.train(bench.write(table, "train.parquet"), SLOW)
    wide = pa.concat_tables([table] * 400)
    keys = pa.array(range(wide.num_rows))
    plan, _ = bench.plan(bench.write(wide.set_column(0, "key", keys), "x.csv"))
    process = start(bench, bench.predict_job(plan, plan.chunks[0]), AIRFLOW_SKLEARN_PROCESSES="2", SLOW_SECONDS="1")
    assert process.stdout is not None
    for line in process.stdout:
        if "in 2 processes" in line:
            break
    children = wait_for(lambda: two_children(process.pid), "two processes")
    process.terminate()
    process.communicate(timeout=PATIENCE)
    assert not any(os.path.exists(f"/proc/{child}") for child in children)


def test_no_forked_process_outlives_a_worker_that_was_killed(bench: Workbench, table: pa.Table) -> None:
    bench.train(bench.write(table, "train.parquet"), SLOW)
    wide = pa.concat_tables([table] * 400)
    plan, _ = bench.plan(bench.write(wide.set_column(0, "key", pa.array(range(wide.num_rows))), "x.csv"))
    process = start(bench, bench.predict_job(plan, plan.chunks[0]), AIRFLOW_SKLEARN_PROCESSES="2", SLOW_SECONDS="3")
    assert process.stdout is not None
    for line in process.stdout:
        if "in 2 processes" in line:
            break
    children = wait_for(lambda: two_children(process.pid), "two processes")
    process.kill()
    process.wait()
    # They would have work for more than a minute.
    wait_for(lambda: not any(is_running(child) for child in children), "the processes to end", seconds=30)


LEAVES_A_PROCESS = """
import subprocess, sys, time
from airflow_sklearn.system.scratch import scratch_folder
from airflow_sklearn.worker import run

def work(*_):
    with scratch_folder() as path:
        open(path + "/rows", "w").close()
        stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        subprocess.run(["/bin/sh", "-c", f"setsid {sys.executable} -c '{stubborn}' > /dev/null & echo $!"])
        time.sleep(600)

run._do = work
sys.exit(run.run_job(sys.argv[1]))
"""


@pytest.mark.parametrize("end", ["deadline", "SIGTERM"])
def test_all_that_a_job_has_started_ends_with_it_and_no_scratch_stays(
    bench: Workbench, tmp_path: Path, end: str
) -> None:
    job = bench.train_job(bench.write_bytes(b"key,x\n", "train.csv"))
    if end == "deadline":
        job = job.model_copy(update={"deadline_seconds": 3.0})
    bench.storage.write(f"{bench.root}/job.json", job.to_json())
    environment = {**os.environ, "TMPDIR": str(tmp_path / "scratch")}
    (tmp_path / "scratch").mkdir()
    command = [sys.executable, "-c", LEAVES_A_PROCESS, f"{bench.root}/job.json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    started = int(process.stdout.readline())
    assert is_running(started)
    if end == "SIGTERM":
        process.terminate()
    process.wait(PATIENCE)
    assert process.returncode == (exit_codes.DEADLINE if end == "deadline" else exit_codes.CANCELLED)
    assert not is_running(started)
    assert os.listdir(tmp_path / "scratch") == []


def two_children(process: int) -> list[int]:
    """A process's children, when there are two."""
    with open(f"/proc/{process}/task/{process}/children") as file:
        children = [int(child) for child in file.read().split()]
    assert len(children) <= 2
    return children if len(children) == 2 else []


def is_running(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_worker_whose_parent_was_gone_before_it_began_ends_and_says_so(bench: Workbench, slow_chunk: Job) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    process = start(bench, slow_chunk, AIRFLOW_SKLEARN_EXIT_WITH_PARENT=str(gone.pid))
    process.communicate(timeout=PATIENCE)
    assert process.returncode == exit_codes.CANCELLED
    error = result_of(bench, slow_chunk).error
    assert error is not None
    assert error.kind == "cancelled"


def test_a_worker_with_its_parent_alive_goes_on(bench: Workbench, table: pa.Table) -> None:
    job = bench.train_job(bench.write(table, "train.csv"))
    process = start(bench, job, AIRFLOW_SKLEARN_EXIT_WITH_PARENT=str(os.getpid()))
    process.communicate(timeout=PATIENCE)
    assert process.returncode == exit_codes.SUCCESS


SECRET = "Ada Lovelace"


@pytest.mark.parametrize("show_values", [True, False])
def test_no_value_of_a_row_is_in_the_log_nor_in_the_result_where_the_job_hides_them(
    bench: Workbench, show_values: bool, caplog: pytest.LogCaptureFixture
) -> None:
    rows = "".join(f"{SECRET},{number},{number % 2}\n" for number in range(20))
    source = bench.write_bytes(f"key,x,y\n{rows}".encode(), "train.csv")
    with caplog.at_level("INFO"):
        result = bench.run(bench.train_job(source, show_values=show_values))
    assert result.error
    said = result.to_json().decode() + caplog.text
    assert "duplicate_key" in said
    assert (SECRET in said) == show_values
    assert os.environ.get("AIRFLOW_SKLEARN_HIDE_VALUES") is None
