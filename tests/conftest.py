"""What every test stands on: an Airflow home of its own, the local cloud, and which tests need Airflow."""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.cloud import ministack

TESTS = Path(__file__).parent
#: Folders and modules that import Airflow: left out where it is not installed, run in Airflow 2.11 and 3.
AIRFLOW_SIDE = (
    "dags",
    "operators",
    "runtimes",
    "test_datasets.py",
    "test_house_rules.py",
    "test_links.py",
    "test_package.py",
    "test_task_groups.py",
    "test_triggers.py",
)
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


def _is_airflow_side(path: Path) -> bool:
    return path.is_relative_to(TESTS) and path.relative_to(TESTS).parts[:1] in {(name,) for name in AIRFLOW_SIDE}


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    return True if not HAS_AIRFLOW and _is_airflow_side(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _is_airflow_side(item.path):
            item.add_marker(pytest.mark.airflow)


def pytest_report_header() -> str:
    airflow = f"Airflow {version('apache-airflow')}" if HAS_AIRFLOW else "no Airflow here: the container side only"
    return f"airflow-sklearn: {airflow}"


@pytest.fixture(scope="session")
def airflow_home(request: pytest.FixtureRequest) -> Path:
    """Airflow's home with a migrated SQLite database, as ``dag.test()`` needs it.

    The empty database is made once for a version of Airflow and copied from pytest's cache after that.
    """
    template = Path(request.config.cache.mkdir("airflow-database")) / f"{version('apache-airflow')}.db"
    if not template.exists():
        subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)
        shutil.copy(AIRFLOW_HOME / "airflow.db", template)
    shutil.copy(template, AIRFLOW_HOME / "airflow.db")
    return AIRFLOW_HOME


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ministack.Cloud]:
    """A local AWS with S3; one for the session."""
    if not ministack.interpreter().exists():
        reason = f"no ministack: {ministack.interpreter()} does not exist. `make test` sets it up."
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with ministack.running(tmp_path_factory.mktemp("ministack") / "ministack.log") as running:
        yield running


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
