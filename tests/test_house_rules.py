"""Who may import what."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_sklearn

PACKAGE = Path(airflow_sklearn.__file__).parent
CONTAINER_SIDE = (
    "contract",
    "storage",
    "runs",
    "system",
    "models",
    "pool",
    "joblib_backend",
    "worker",
    "exceptions.py",
)
AIRFLOW_SIDE = ("contract", "storage", "runs", "aws", "datasets", "runtimes", "operators", "triggers", "task_groups.py",
                "airflow_compat.py", "__init__.py", "provider_info.py")  # fmt: skip
HEAVY = ("sklearn", "pandas", "pyarrow", "numpy", "scipy", "joblib", "cloudpickle")


def modules(*names: str) -> list[Path]:
    found = [path for name in names for path in [PACKAGE / name, *(PACKAGE / name).rglob("*.py")] if path.is_file()]
    assert all((PACKAGE / name).exists() for name in names), "one is gone: mend the lists"
    return found


def imported_names(path: Path, *, top_level: bool = False, for_type_checkers: bool = False) -> set[str]:
    """Dotted names of the modules that a module imports."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not for_type_checkers:
            node.body = [ast.Pass()]
    found: set[str] = set()
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def imports(path: Path, *, top_level: bool = False) -> set[str]:
    """First parts of what a module imports; ``airflow_sklearn`` in full. Blocks for type checkers are left out."""
    found = imported_names(path, top_level=top_level)
    return {name if name.startswith("airflow_sklearn") else name.partition(".")[0] for name in found}


@pytest.mark.parametrize("path", modules(*CONTAINER_SIDE), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_container_side_never_imports_airflow(path: Path) -> None:
    assert "airflow" not in imports(path)


@pytest.mark.parametrize("path", modules(*AIRFLOW_SIDE), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_airflow_side_imports_no_heavy_library_on_top(path: Path) -> None:
    assert not imports(path, top_level=True) & set(HEAVY)


@pytest.mark.parametrize("path", [p for p in modules("pool") if "driver" not in p.parts], ids=lambda path: path.name)
def test_what_a_workers_first_process_imports_is_small(path: Path) -> None:
    assert not imports(path, top_level=True) & (set(HEAVY) - {"cloudpickle"})


@pytest.mark.parametrize("path", modules("datasets/redshift"), ids=lambda path: path.name)
def test_what_talks_to_the_database_never_needs_a_heavy_library(path: Path) -> None:
    assert not imports(path) & set(HEAVY)


@pytest.mark.parametrize("path", modules("contract"), ids=lambda path: path.name)
def test_the_contract_imports_only_the_standard_library_and_pydantic(path: Path) -> None:
    foreign = {name for name in imports(path) if name not in sys.stdlib_module_names and name != "__future__"}
    assert foreign <= {
        "pydantic",
        "airflow_sklearn",  # from airflow_sklearn import exceptions
        "airflow_sklearn.exceptions",
        *(n for n in foreign if "airflow_sklearn.contract" in n),
    }


@pytest.mark.parametrize("path", modules("runtimes"), ids=lambda path: path.name)
def test_a_runtime_knows_nothing_of_models_nor_of_airflow(path: Path) -> None:
    assert not {
        name for name in imports(path) if name.startswith(("airflow_sklearn.models", "airflow_sklearn.worker."))
    }
    assert "airflow" not in imports(path)


#: What every supported version of Airflow and of its Amazon provider has in the same place.
SAME_IN_EVERY_AIRFLOW = (
    "airflow.plugins_manager",
    "airflow.providers.amazon.",
    "airflow.timetables.",
    "airflow.triggers.base",
)
REPOSITORY = PACKAGE.parent
USERS_OF_AIRFLOW = [
    path
    for folder in ("airflow_sklearn", "dags", "demo")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
    if path != PACKAGE / "airflow_compat.py"
]


@pytest.mark.parametrize("path", USERS_OF_AIRFLOW, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_what_differs_between_airflows_is_imported_from_one_module(path: Path) -> None:
    found = {name for name in imported_names(path, for_type_checkers=True) if name.partition(".")[0] == "airflow"}
    assert not {name for name in found if not name.startswith(SAME_IN_EVERY_AIRFLOW)}


@pytest.mark.parametrize("path", modules("models"), ids=lambda path: path.name)
def test_a_model_knows_nothing_of_runtimes(path: Path) -> None:
    assert not {name for name in imports(path) if name.startswith("airflow_sklearn.runtimes")}


def test_the_provider_info_imports_nothing() -> None:
    assert imports(PACKAGE / "provider_info.py") <= {"__future__", "typing", "airflow_sklearn.settings"}


def run_python(source: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run(
        [sys.executable, "-c", source], env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_importing_the_package_imports_none_of_its_modules() -> None:
    loaded = run_python("import sys, airflow_sklearn; print([m for m in sys.modules if m.startswith('airflow')])")
    assert loaded == "['airflow_sklearn']"


def test_every_public_name_is_there_and_costs_no_heavy_library() -> None:
    source = (
        "import sys, airflow_sklearn as a; [getattr(a, n) for n in a.__all__]; "
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    assert run_python(source).splitlines()[-1] == "[]"


def test_the_public_names_import_nothing_that_airflow_has_not_imported_but_modules_of_our_own() -> None:
    source = (
        "import sys\n"
        "from airflow_sklearn.airflow_compat import DAG, Asset, BaseOperator, Param, TaskGroup, XCom, conf, task\n"
        "import pydantic.main, pydantic.functional_serializers, airflow.models.xcom\n"
        "before = set(sys.modules)\n"
        "import airflow_sklearn as a; [getattr(a, n) for n in a.__all__]\n"
        "new = set(sys.modules) - before\n"
        "ours = {'airflow', 'airflow_sklearn', *sys.stdlib_module_names}\n"
        "print('new:', *(n for n in new if n.partition('.')[0] not in ours or n.startswith('airflow.providers')))\n"
    )
    (said,) = [line for line in run_python(source).splitlines() if line.startswith("new:")]
    assert said == "new:"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'SklearnTrian'"):
        _ = airflow_sklearn.SklearnTrian
