"""What every test stands on: an Airflow home of its own, and which tests need what.

The local clouds are fixtures of ``local_cloud/fixtures.py``.
"""

from __future__ import annotations

import atexit
import fcntl
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local_cloud import ministack
from tests.cloud.images import build_test_image
from tests.durations import Durations, by_module, recorded

if TYPE_CHECKING:
    from tests.operators.real_airflow import RealAirflow

TESTS = Path(__file__).parent
MadeOnce = Callable[[str], AbstractContextManager[Path]]
#: Folders and modules that need Airflow, or what is only beside it (Chromium, too): they run in Airflow 3. All others
#: run where Airflow is not installed, as in a container.
AIRFLOW_3 = (
    "aws",
    "cli/test_airflow.py",
    "client/test_runtime.py",
    "cloud",
    "dags",
    "datasets/redshift",
    "datasets/test_files.py",
    "demo",
    "golden",
    "images",
    "joblib_backend",
    "operators",
    "pool/driver",
    "report",
    "runtimes",
    "test_airflow_compat.py",
    "test_house_rules.py",
    "test_package.py",
    "triggers",
    "worker/test_tree_reasons.py",
    "worker/training/test_search.py",
    "worker/training/test_skops.py",
)
#: What keeps all cores busy for minutes: a suite of its own, which `make test` runs last.
MANY = ("cloud/test_many_containers.py",)
#: Those that run in Airflow 2.11 too, beside modules and tests that are marked so: what Airflow does may differ there.
BOTH_AIRFLOWS = (
    "aws/test_connection.py",
    "dags",
    "operators/test_arguments.py",
    "operators/test_jobs.py",
    "operators/test_kills.py",
    "operators/test_links.py",
    "operators/test_operators.py",
    "operators/test_replacing.py",
    "operators/test_summary.py",
    "operators/test_task_states.py",
    "test_airflow_compat.py",
    "triggers",
)
#: A folder that needs what is not beside Airflow 2.11: typer.
NOT_IN_AIRFLOW_2 = ("cli",)
#: Fixtures that start servers, containers, pools of processes or a whole Airflow, or migrate its database.
SERVICES = {"real_airflow", "airflow_home", "cloud", "docker", "redshift_cloud", "local_pool", "shared_pool"}
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

# OpenMP threads that wait for each other spin by default: several processes that share few cores get nowhere then.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Else each process that a test starts would compile the package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell starts what runs in its background with SIGINT ignored, and every process below inherits that: those that
# tests end by it would not.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_one_of(path: Path, names: tuple[str, ...]) -> bool:
    return any(path.is_relative_to(TESTS / name) for name in names)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--suite", choices=["airflow3", "airflow2", "worker", "many"], help="its tests only; see `make test`"
    )
    parser.addoption("--quick", action="store_true", help="neither services nor long tests; see `make test-quick`")
    parser.addoption("--record-durations", action="store_true", help="into tests/durations.json")
    parser.addoption("--ran", type=Path, metavar="FILE", help="write down which modules ran a test")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.record_durations:
        config.pluginmanager.register(Durations())
    if hasattr(config, "workerinput"):  # a process of pytest-xdist's, and not the one that controls them
        return
    if config.option.suite in ("airflow2", "airflow3") and getattr(config.option, "numprocesses", None):
        _share_an_airflow(config)
    if config.option.ran:
        config.pluginmanager.register(Ran(config.option.ran))
    if getattr(config.option, "numprocesses", None):
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: all processes end what they have started


def _share_an_airflow(config: pytest.Config) -> None:
    """One for all processes of tests. It starts while they import."""
    from tests.operators.airflow_services import airflow_host

    home = Path(tempfile.mkdtemp(prefix="airflow-sklearn-airflow-"))
    running = ExitStack()
    running.callback(shutil.rmtree, home, ignore_errors=True)
    running.enter_context(airflow_host(home))
    config.add_cleanup(running.close)
    config.pluginmanager.register(_TellsOfAirflow(home))


class _TellsOfAirflow:
    def __init__(self, home: Path) -> None:
        self._home = home

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["airflow"] = str(self._home)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    needs_airflow = _is_one_of(collection_path, AIRFLOW_3)
    is_of_many = _is_one_of(collection_path, MANY) == (config.option.suite == "many")
    if collection_path.match("test_*.py") and config.option.suite and not is_of_many:
        return True
    if needs_airflow and (not HAS_AIRFLOW or config.option.suite == "worker"):
        return True
    if collection_path.match("test_*.py") and not needs_airflow and config.option.suite in ("airflow2", "airflow3"):
        return True
    if config.option.suite == "airflow2" and _is_one_of(collection_path, NOT_IN_AIRFLOW_2):
        return True
    if config.option.quick and _is_one_of(collection_path, FOLDERS_OF_SERVICES):
        return True
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if SERVICES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.services)
        if _is_one_of(item.path, BOTH_AIRFLOWS):
            item.add_marker(pytest.mark.both_airflows)
    seconds = recorded()
    if config.option.quick:
        _leave_out(config, items, [item for item in items if _has_marker(item, "services") or item.nodeid in seconds])
    if config.option.suite == "airflow2":
        _leave_out(config, items, [item for item in items if not _has_marker(item, "both_airflows")])
    modules = by_module(seconds)
    items.sort(key=lambda item: (_order(item), -modules[item.nodeid.partition("::")[0]]))


def _has_marker(item: pytest.Item, name: str) -> bool:
    return item.get_closest_marker(name) is not None


def _leave_out(config: pytest.Config, items: list[pytest.Item], left_out: list[pytest.Item]) -> None:
    config.hook.pytest_deselected(items=left_out)
    gone = set(left_out)
    items[:] = [item for item in items if item not in gone]


def _order(item: pytest.Item) -> int:
    """What waits most comes first: other tests have the cores meanwhile, and none of it is left at the end."""
    fixtures = set(getattr(item, "fixturenames", ()))
    return 0 if "real_airflow" in fixtures else 1 if "docker" in fixtures else 2 if fixtures & SERVICES else 3


class Ran:
    """Writes down the modules of which at least one test ran."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._modules: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and not report.skipped:
            self._modules.add(report.nodeid.partition("::")[0])

    def pytest_sessionfinish(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text("".join(f"{name}\n" for name in sorted(self._modules)))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.option.quick:
        terminalreporter.write_line(
            "Left out: tests with local clouds, databases, containers or a whole Airflow "
            f"(among them tests/{', tests/'.join(FOLDERS_OF_SERVICES)}), tests that take long, mypy, "
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
def airflow_database(request: pytest.FixtureRequest) -> Path:
    """Airflow's empty SQLite database, to be copied: a migration takes half a minute.

    It is made once for a version of Airflow, and kept in pytest's cache.
    """
    folder = Path(request.config.cache.mkdir("airflow-database"))
    template = folder / f"{version('apache-airflow')}.db"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several processes of tests may be at it
        if not template.exists():
            subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)
            unfinished = template.with_suffix(".new")
            shutil.copy(AIRFLOW_HOME / "airflow.db", unfinished)
            unfinished.rename(template)
    return template


@pytest.fixture(scope="session")
def airflow_home(airflow_database: Path) -> Path:
    """Airflow's home with a migrated SQLite database, as ``dag.test()`` needs it."""
    shutil.copy(airflow_database, AIRFLOW_HOME / "airflow.db")
    return AIRFLOW_HOME


@pytest.fixture(scope="session")
def real_airflow(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAirflow]:
    """A whole Airflow, which the processes of ``make test`` share."""
    from tests.operators.airflow_services import airflow_host
    from tests.operators.real_airflow import RealAirflow

    shared = getattr(request.config, "workerinput", {})
    if "airflow" in shared:
        yield RealAirflow(Path(shared["airflow"]), shared["workerid"])
        return
    home = Path(tempfile.mkdtemp(prefix="airflow-sklearn-airflow-"))  # short: a socket lies in it
    try:
        with airflow_host(home):
            yield RealAirflow(home, "alone")
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def made_once(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """``with made_once("image") as path``: a path that all processes of tests share, for one of them at a time.

    The first one makes what the others find.
    """
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if hasattr(request.config, "workerinput") else folder

    @contextmanager
    def alone(name: str) -> Iterator[Path]:
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder / name

    return alone


@pytest.fixture(scope="session")
def task_image(docker: None, made_once: MadeOnce) -> str:
    """Tasks of ``container_cloud`` have the models for tests."""
    with made_once("image") as image:
        if not image.exists():
            image.write_text(build_test_image())
        return image.read_text()


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
