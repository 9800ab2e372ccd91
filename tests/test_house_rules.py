"""Rules that neither import-linter nor ruff can state; both have theirs in ``pyproject.toml``."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import airflow_sklearn

PACKAGE = Path(airflow_sklearn.__file__).parent
REPOSITORY = PACKAGE.parent
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = ("sklearn", "pandas", "pyarrow", "numpy", "scipy", "joblib", "cloudpickle")
LONGEST_MODULE = 400  # lines
#: What every supported version of Airflow and of its Amazon provider has in the same place.
SAME_IN_EVERY_AIRFLOW = (
    "airflow.plugins_manager",
    "airflow.providers.amazon.",
    "airflow.timetables.",
    "airflow.triggers.base",
)
#: Of ``airflow_sklearn/``: a module that belongs to none of its folders.
TOP_LEVEL = {"__init__", "__main__", "airflow_compat", "exceptions", "provider_info", "settings", "task_groups"}


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def imported_names(path: Path) -> set[str]:
    """Dotted names of all that a module imports, wherever in it, with the names that it takes from modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def foreign(paths: Iterable[Path], is_foreign: Callable[[str], bool]) -> dict[str, list[str]]:
    """By module, the names that it imports and should not."""
    found = {name_of(path): sorted(filter(is_foreign, imported_names(path))) for path in paths}
    return {module: names for module, names in found.items() if names}


def test_the_top_level_holds_few_modules() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == TOP_LEVEL


def test_modules_are_short() -> None:
    lines = {name_of(path): len(path.read_text().splitlines()) for path in MODULES}
    assert not {name: count for name, count in lines.items() if count > LONGEST_MODULE}


def test_the_contract_needs_the_standard_library_pydantic_and_our_exceptions() -> None:
    known = (*sys.stdlib_module_names, "__future__", "pydantic", "pydantic_core")
    ours = ("airflow_sklearn.contract", "airflow_sklearn.exceptions", "airflow_sklearn.__version__")
    assert not foreign(
        (PACKAGE / "contract").rglob("*.py"),
        lambda name: name.partition(".")[0] not in known and not name.startswith(ours),
    )


def test_what_differs_between_airflows_is_imported_from_one_module() -> None:
    users = [
        path
        for folder in ("airflow_sklearn", "dags", "demo")
        for path in (REPOSITORY / folder).rglob("*.py")
        if path != PACKAGE / "airflow_compat.py"
    ]
    assert not foreign(
        users,
        lambda name: name.partition(".")[0] == "airflow" and not f"{name}.".startswith(SAME_IN_EVERY_AIRFLOW),
    )


def test_a_pools_worker_imports_no_heavy_library_when_it_starts() -> None:
    """The first process of a container waits for tasks, and does none."""
    code = f"import sys, airflow_sklearn.pool.worker.worker; print([m for m in {HEAVY} if m in sys.modules])"
    assert run_python(code) == "[]"


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
