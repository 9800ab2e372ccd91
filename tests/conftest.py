"""What every test stands on: an Airflow home of its own, and which tests need what.

The local clouds are fixtures of ``local_cloud/fixtures.py``.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from local_cloud import ministack
from tests.cloud.images import build_test_image

TESTS = Path(__file__).parent
#: Folders and modules that import Airflow: left out where it is not installed, run in Airflow 2.11 and 3.
AIRFLOW_SIDE = (
    "aws/test_connection.py",
    "dags",
    "datasets/redshift",
    "datasets/test_files.py",
    "operators",
    "runtimes",
    "test_airflow_compat.py",
    "test_house_rules.py",
    "triggers",
)
#: Whole Airflows whose jobs are containers.
OF_THE_CLOUD = TESTS / "cloud"
#: Pools of processes of this machine, which a worker's environment does not have: it is what runs in them.
OF_POOLS = TESTS / "joblib_backend", TESTS / "pool" / "driver"
#: Those that run in Airflow 2.11 too, because it kills, defers and logs in other ways.
CLOUD_WITH_AIRFLOW_2 = (
    "test_ec2_kills.py",
    "test_ecs_kills.py",
    "test_ecs_logs.py",
)
#: Seconds of modules with slow tests, roughly: ``--part`` makes parts that take about as long as each other.
SECONDS = {
    "cloud/test_ec2_failures.py": 130,
    "cloud/test_ec2_instances.py": 130,
    "cloud/test_ec2_kills.py": 130,
    "cloud/test_ecs_failures.py": 450,
    "cloud/test_ecs_kills.py": 400,
    "cloud/test_ecs_logs.py": 90,
    "cloud/test_flights_in_containers.py": 150,
    "cloud/test_reaper.py": 60,
    "cloud/test_table_to_table.py": 150,
    "images/test_image.py": 60,
    "operators/test_end_to_end.py": 90,
    "operators/test_kills.py": 250,
    "operators/test_redshift.py": 100,
    "datasets/redshift/test_publish.py": 60,
    "datasets/redshift/test_publish_failures.py": 100,
    "datasets/redshift/test_sql_database.py": 40,
    "aws/iam/test_iam.py": 60,
    "worker/test_bad_input.py": 90,
    "worker/test_cuts.py": 50,
    "worker/test_run.py": 80,
}
#: Fixtures that start servers, containers, pools of processes or a whole Airflow, or migrate its database.
SERVICES = {"airflow", "airflow_home", "cloud", "container_cloud", "redshift_cloud", "local_pool", "shared_pool"}
#: Folders whose tests need nothing less, most of them.
FOLDERS_OF_SERVICES = ("cloud", "images")
HAS_AIRFLOW = importlib.util.find_spec("airflow") is not None


def _use_an_airflow_home_of_our_own() -> Path:
    """Before anything imports Airflow: a test never touches the Airflow of whoever runs it."""
    home = Path(tempfile.mkdtemp(prefix="airflow-sklearn-tests-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    (home / "dags").mkdir()
    for name in [name for name in os.environ if name.startswith("AIRFLOW__")]:
        del os.environ[name]
    os.environ.update(
        AIRFLOW_HOME=str(home),
        AIRFLOW__CORE__DAGS_FOLDER=str(home / "dags"),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__UNIT_TEST_MODE="False",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{home}/airflow.db",
        AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
        AWS_EC2_METADATA_DISABLED="true",
    )
    return home


AIRFLOW_HOME = _use_an_airflow_home_of_our_own()

# Threads of scikit-learn's that wait for each other do so without keeping a core busy: several processes share few cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Else each process that a test starts would compile the package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell starts what runs in its background with SIGINT ignored, and every process below inherits that: those that
# tests end by it would not.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_airflow_side(path: Path) -> bool:
    if path.parent == OF_THE_CLOUD and path.name in CLOUD_WITH_AIRFLOW_2:
        return True
    return any(path.is_relative_to(TESTS / name) for name in AIRFLOW_SIDE)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--part", metavar="N/M", help="only the modules of part N of M: each module is in one of them")
    parser.addoption("--quick", action="store_true", help="neither services nor slow tests: see `make test-quick`")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    needs_airflow = _is_airflow_side(collection_path) or collection_path in (OF_THE_CLOUD, *OF_POOLS)
    if not HAS_AIRFLOW and needs_airflow:
        return True
    if collection_path.match("test_*.py"):
        if config.option.markexpr == "airflow" and not needs_airflow:  # nothing in it is marked so
            return True
        if config.option.part and collection_path not in _modules_of(config.option.part, config.option.markexpr):
            return True
    if config.option.quick and collection_path in {TESTS / name for name in FOLDERS_OF_SERVICES}:
        return True
    return None


@cache
def _modules_of(part: str, markexpr: str) -> set[Path]:
    """The slowest modules first, each to the part that has the least to do so far."""
    number, count = map(int, part.split("/"))
    modules = [path for path in TESTS.rglob("test_*.py") if markexpr != "airflow" or _is_airflow_side(path)]
    seconds = {path: SECONDS.get(path.relative_to(TESTS).as_posix(), 5) for path in modules}
    parts: list[list[Path]] = [[] for _ in range(count)]
    for path in sorted(modules, key=lambda path: (-seconds[path], path)):
        min(parts, key=lambda part: sum(seconds[path] for path in part)).append(path)
    return set(parts[number - 1])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if SERVICES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.services)
        if _is_airflow_side(item.path):
            item.add_marker(pytest.mark.airflow)
    if config.option.quick:
        left_out = [item for item in items if _is_left_out_of_quick(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _is_left_out_of_quick(item: pytest.Item) -> bool:
    return item.get_closest_marker("services") is not None or item.get_closest_marker("slow") is not None


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.option.quick:
        terminalreporter.write_line(
            "Left out: tests with local clouds, databases, containers or a whole Airflow "
            f"(among them tests/{', tests/'.join(FOLDERS_OF_SERVICES)}), tests that are marked slow, mypy, "
            "and all in Airflow 2.11 and without Airflow. `make test` runs them."
        )


def pytest_report_header() -> str:
    airflow = f"Airflow {version('apache-airflow')}" if HAS_AIRFLOW else "no Airflow here: the container side only"
    return f"airflow-sklearn: {airflow}"


@pytest.fixture(autouse=True)
def no_handler_of_sigterm_stays_behind() -> Iterator[None]:
    """Airflow 3 runs a task of ``dag.test()`` with one of its own, and leaves it: a child that is forked from here by a
    later test would not end by SIGTERM."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def airflow_home(request: pytest.FixtureRequest) -> Path:
    """Airflow's home with a migrated SQLite database, as ``dag.test()`` needs it.

    The empty database is made once for a version of Airflow and copied from pytest's cache after that.
    """
    template = Path(request.config.cache.mkdir("airflow-database")) / f"{version('apache-airflow')}.db"
    if not template.exists():
        subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)
        unfinished = template.with_name(f"{uuid.uuid4().hex}.db")  # several processes of tests may be at it
        shutil.copy(AIRFLOW_HOME / "airflow.db", unfinished)
        unfinished.rename(template)
    shutil.copy(template, AIRFLOW_HOME / "airflow.db")
    return AIRFLOW_HOME


@pytest.fixture(scope="session")
def task_image(docker: None) -> str:
    """Tasks of ``container_cloud`` have the models for tests."""
    return build_test_image()


@pytest.fixture
def bucket(cloud: ministack.Cloud) -> str:
    """An empty bucket of the test's own; its name."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    cloud.client().create_bucket(Bucket=name)
    return name


@pytest.fixture
def aws_environment(cloud: ministack.Cloud, monkeypatch: pytest.MonkeyPatch) -> ministack.Cloud:
    """boto3, child processes and Airflow's ``aws_default`` connection all mean the local cloud."""
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(cloud.connection))
    return cloud
