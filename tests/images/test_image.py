"""The worker image in real containers."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest

from airflow_sklearn.contract import exit_codes
from airflow_sklearn.contract.jobs import Job, JobResult
from airflow_sklearn.contract.model import ModelManifest
from airflow_sklearn.contract.plan import Plan
from airflow_sklearn.contract.receipt import Receipt
from airflow_sklearn.runs.ledger import Ledger
from benchmarks.tables import make_table
from local_cloud import docker_engine
from tests.images.build import REPOSITORY
from tests.images.conftest import Container
from tests.waiting import PATIENCE, wait_for
from tests.worker.workbench import Workbench, folder

HUNGRY = "hungry_models:hungry"
#: So that the image's worker finds the tests' models: modules beside the job, as users add their own.
MODELS = (REPOSITORY / "tests" / "worker" / "factories.py").read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(folder(tmp_path))


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return make_table(5_003).select(["key", "float_0", "float_1", "integer_3", "category_2", "y"])


def write_job(bench: Workbench, job: Job) -> str:
    uri = job.result_uri.replace(".json", ".job.json")
    bench.storage.write(uri, job.to_json())
    return uri


def result_of(bench: Workbench, job: Job) -> JobResult:
    return JobResult.from_json(bench.storage.read(job.result_uri))


def test_it_is_an_ordinary_user_with_a_home_and_room_for_temporary_files(container: Container) -> None:
    said = json.loads(
        container.python(
            "import json, os, pathlib, tempfile; home = pathlib.Path.home(); (home / 'a').touch();"
            "print(json.dumps([os.getuid(), str(home), tempfile.mkdtemp()[:5]]))"
        )
    )
    assert said == [10001, "/home/worker", "/tmp/"]


def test_there_is_no_airflow_inside_nor_its_side_of_the_package(container: Container) -> None:
    names = ["airflow", "airflow_sklearn.operators", "airflow_sklearn.triggers", "airflow_sklearn.worker"]
    source = f"import importlib.util as u; print([name for name in {names} if u.find_spec(name)])"
    assert container.python(source) == "['airflow_sklearn.worker']"


def test_the_command_of_a_container_is_the_workers(container: Container) -> None:
    code, output = container.run("--help")
    assert code == 0
    usage = " ".join(output.split())  # argparse breaks lines
    assert "usage: python -m airflow_sklearn.worker [-h] [--sha256 DIGEST] [--plan PLAN_URI] JOB_URI" in usage


def test_it_holds_the_locked_versions_and_nothing_else(container: Container) -> None:
    source = (
        "import importlib.metadata as m; "
        "found = [d for d in m.distributions() if '/opt/worker/' in str(d.locate_file(''))]; "
        "print('\\n'.join(f'{d.name.lower()}=={d.version}' for d in found))"
    )
    installed = {line.replace("_", "-") for line in container.python(source).splitlines()}
    lock = (REPOSITORY / "images" / "requirements.txt").read_text().splitlines()
    asked = {line for line in lock if line[0] != "#" and not re.search(r"; .*(>= '3.12'|emscripten)", line)}
    locked = {line.partition(" ;")[0] for line in asked}
    assert {line for line in installed if not line.startswith("airflow-sklearn==")} == locked
    assert len(installed) == len(locked) + 1


def test_nothing_is_compiled_at_a_start(container: Container) -> None:
    source = (
        "import sys, pathlib, airflow_sklearn.worker.prediction.predict, airflow_sklearn.worker.training.train, boto3; "
        "print([m.__file__ for m in sys.modules.values() if (getattr(m, '__cached__', None) or '').endswith('.pyc') "
        "and not pathlib.Path(m.__cached__).exists()])"
    )
    assert container.python(source, "--read-only") == "[]"


def test_a_job_in_containers_gives_the_bytes_of_the_local_worker(
    container: Container, bench: Workbench, table: pa.Table
) -> None:
    source = bench.write(table, "train.parquet")
    train = bench.train_job(source, "hist_gradient_boosting_classifier")
    code, output = container.run(write_job(bench, train))
    assert code == 0, output
    assert output.splitlines()[-1].endswith(" INFO Exit code 0.")
    plan, _ = bench.plan(source, policies={"version_mismatch": "warn"})
    there = in_container(container, bench, plan)
    here = bench.plan(source, policies={"version_mismatch": "warn"})[0]
    assert bench.run_chunk(here).status == "succeeded"
    assert [part.sha256 for part in there.parts] == [part.sha256 for part in bench.receipt(here).parts]
    assert there.rows_out == table.num_rows


def in_container(container: Container, bench: Workbench, plan: Plan, *options: str) -> Receipt:
    job = bench.predict_job(plan, plan.chunks[0])
    code, output = container.run(write_job(bench, job), options=options)
    assert code == 0, output
    receipt = Ledger(bench.storage, plan.ledger).read_receipt(plan.chunks[0].id, plan.fingerprint)
    assert receipt is not None
    return receipt


def test_it_runs_on_a_file_system_that_is_read_only_but_for_tmp(
    container: Container, bench: Workbench, table: pa.Table
) -> None:
    job = bench.train_job(bench.write(table, "train.parquet"))
    code, output = container.run(write_job(bench, job), options=("--read-only", "--tmpfs", "/tmp"))
    assert code == 0, output


def test_sigterm_ends_a_container_that_has_just_begun(container: Container, tmp_path: Path) -> None:
    """As its first process, which ends by no signal that it has no handler for. Its job is a pipe: it never begins, and
    never ends of its own accord."""
    subprocess.run(["mkfifo", str(tmp_path / "job.json")], check=True)
    process = container.start(f"file://{tmp_path}/job.json")
    wait_for_handler(container.names[-1])
    docker_engine.docker("kill", "--signal", "TERM", container.names[-1])
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == exit_codes.CANCELLED
    assert output.splitlines()[-1].endswith(" INFO Exit code 143.")


def wait_for_handler(name: str) -> None:
    """Until the worker, as the first process of a container, catches SIGTERM.

    Before the worker that process is runc's, which catches SIGTERM as well, and loses it.
    """

    def catches() -> bool:
        found = subprocess.run(
            ["docker", "inspect", "--format", "{{.State.Pid}}", name], capture_output=True, text=True, check=False
        )
        process = Path(f"/proc/{found.stdout.strip() or 0}")
        try:  # in this order: a process that has become the worker remains it
            if b"airflow_sklearn.worker" not in (process / "cmdline").read_bytes():
                return False
            status = (process / "status").read_text()
        except OSError:  # not there yet
            return False
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught.split()[1], 16) >> 14 & 1)

    wait_for(catches, "the worker to catch SIGTERM", pause=0.01)


def test_stopping_a_container_leaves_a_result_that_says_so(
    container: Container, bench: Workbench, table: pa.Table
) -> None:
    (container.folder / "hungry_models.py").write_text(MODELS)
    options = ("--env", f"PYTHONPATH={container.folder}", "--env", "SLOW_SECONDS=600")
    job = bench.train_job(bench.write(table, "train.parquet"), "hungry_models:slow")
    process = container.start(write_job(bench, job), options=options)
    assert process.stdout is not None
    for line in process.stdout:
        if "Fitted" in line:
            break
    docker_engine.docker("stop", "--time", "60", container.names[-1])
    process.communicate(timeout=PATIENCE)
    assert process.returncode == exit_codes.CANCELLED
    error = result_of(bench, job).error
    assert error is not None
    assert error.kind == "cancelled"


def test_a_process_over_the_containers_memory_is_told_from_other_failures(
    container: Container, bench: Workbench, table: pa.Table
) -> None:
    (container.folder / "hungry_models.py").write_text(MODELS)
    path = ("--env", f"PYTHONPATH={container.folder}")
    train = bench.train_job(bench.write(table, "train.parquet"), HUNGRY, params={"method": "predict"})
    assert container.run(write_job(bench, train), options=path)[0] == 0
    wide = pa.concat_tables([table] * 100).set_column(0, "key", pa.array(range(table.num_rows * 100)))
    plan, _ = bench.plan(bench.write(wide, "x.csv"), policies={"version_mismatch": "warn"})
    job = bench.predict_job(plan, plan.chunks[0])
    limits = ("--memory", "600m", "--memory-swap", "600m", "--env", "HUNGRY=eats")
    two = ("--env", "AIRFLOW_SKLEARN_PROCESSES=2")
    code, output = container.run(write_job(bench, job), options=(*path, *limits, *two))
    assert code == exit_codes.OUT_OF_MEMORY, output
    error = result_of(bench, job).error
    assert error is not None
    assert error.kind == "memory"
    assert "600 MiB" in error.message


@pytest.mark.parametrize(("options", "expected"), [(("--cpus", "1"), 1), (("--cpuset-cpus", "0"), 1)])
def test_the_number_of_processes_is_that_of_the_containers_cores(
    container: Container, options: tuple[str, ...], expected: int
) -> None:
    source = "from airflow_sklearn.system.cgroup import process_limit; print(process_limit())"
    assert container.python(source, *options) == str(expected)


def test_users_add_packages_and_modules_as_the_readme_shows(worker_image: str, tmp_path: Path) -> None:
    shown = re.findall(r"```dockerfile\n(.*?)```", (REPOSITORY / "images" / "README.md").read_text(), re.DOTALL)[0]
    (tmp_path / "Dockerfile").write_text(re.sub("^FROM .*", f"FROM {worker_image}", shown))
    (tmp_path / "churn_models.py").write_text("import holidays\nWORD = 'copied'\n")
    docker_engine.build("airflow-sklearn-worker-acme:local", tmp_path, tmp_path / "Dockerfile")
    try:
        source = "import airflow_sklearn.worker.run, churn_models, os; print(churn_models.WORD, os.getuid())"
        found = docker_engine.docker(
            "run", "--rm", "--entrypoint", "python", "airflow-sklearn-worker-acme:local", "-c", source
        )
    finally:
        docker_engine.docker("rmi", "--force", "airflow-sklearn-worker-acme:local")
    assert found == "copied 10001"


def test_packages_that_would_change_the_locked_ones_are_refused(container: Container) -> None:
    """Else a model would be fitted and used with other versions than those that were tested."""
    code, output = container.run("install", "--dry-run", "numpy<2", entrypoint="pip")
    assert code != 0
    assert "constraint" in output


def test_a_model_trained_in_it_records_the_environment_of_the_image(
    container: Container, bench: Workbench, table: pa.Table
) -> None:
    train = bench.train_job(bench.write(table, "train.parquet"), image="worker:8")
    assert container.run(write_job(bench, train))[0] == 0
    manifest = ModelManifest.from_json(bench.storage.read(result_of(bench, train).output_uri))
    assert manifest.versions.image == "worker:8"
    assert manifest.versions.packages["scikit-learn"] in (REPOSITORY / "images" / "requirements.txt").read_text()
