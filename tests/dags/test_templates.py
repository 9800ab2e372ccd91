"""The templates load as a user's Airflow loads them: without AWS, without the container side's libraries."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
TEMPLATES = sorted(path.stem for path in (REPOSITORY / "dags").glob("*.py"))
HEAVY = ("sklearn", "pandas", "pyarrow", "numpy", "scipy", "joblib")
#: Prints a line for each file: the heavy modules that there are once it is parsed.
PARSE_AND_LIST_HEAVY_MODULES = f"""
import runpy, sys
for file in sys.argv[1:]:
    runpy.run_path(file)
    print("HEAVY", *[name for name in {HEAVY} if name in sys.modules])
"""


@pytest.fixture(scope="module")
def dag_bag(airflow_home: Path) -> Any:
    bag = _dag_bag_class()(dag_folder=str(REPOSITORY / "dags"))
    assert bag.import_errors == {}
    return bag


def test_there_is_one_dag_a_file_named_after_it(dag_bag: Any) -> None:
    assert sorted(dag_bag.dags) == TEMPLATES


@pytest.mark.parametrize("name", TEMPLATES)
def test_its_parameters_show_as_a_form_with_valid_defaults(dag_bag: Any, name: str) -> None:
    dag = dag_bag.dags[name]
    assert dag.params
    dag.params.validate()
    for key in dag.params:
        schema = dag.params.get_param(key).schema
        assert schema.get("title"), f"the field {key} of {name} has no title"
        assert schema.get("type"), f"the field {key} of {name} has no type"
        assert dag.params.get_param(key).description, f"the field {key} of {name} has no description"


@pytest.mark.parametrize("name", TEMPLATES)
def test_it_explains_itself(dag_bag: Any, name: str) -> None:
    dag = dag_bag.dags[name]
    assert dag.description
    assert "To make it yours" in dag.doc_md


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_field_renders_from_the_defaults(dag_bag: Any, name: str) -> None:
    """Jinja's undefined names stay silent until a run; here they raise."""
    import jinja2

    dag = dag_bag.dags[name]
    from datetime import UTC, datetime

    context = {"params": dag.params.dump(), "data_interval_start": datetime(2013, 7, 1, tzinfo=UTC)}
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    texts = [text for task in dag.tasks for text in _texts(task) if "{{" in text and "task." not in text]
    for text in texts:
        assert environment.from_string(text).render(context)
    assert texts


def test_parsing_one_imports_no_heavy_library(airflow_home: Path) -> None:
    """Compared with the imports of Airflow alone, some versions of which import a few of them."""
    files = [_airflow_alone(airflow_home), *(f"dags/{name}.py" for name in TEMPLATES)]
    alone, *after = _heavy_modules(files)
    assert dict(zip(TEMPLATES, after, strict=True)) == dict.fromkeys(TEMPLATES, alone)


@pytest.mark.parametrize("name", TEMPLATES)
def test_its_serialized_form_is_the_same_at_every_parse(name: str, airflow_home: Path) -> None:
    """Else every parse makes a new version of the DAG."""

    def serialized() -> str:
        bag = _dag_bag_class()(dag_folder=str(REPOSITORY / "dags" / f"{name}.py"))
        return repr(_serialize()(bag.dags[name]))

    assert serialized() == serialized()


def _dag_bag_class() -> Any:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 2
        from airflow.models import DagBag
    return DagBag


def _serialize() -> Callable[[Any], Any]:
    try:
        from airflow.serialization.serialized_objects import DagSerialization

        return DagSerialization.to_dict
    except ImportError:  # Airflow 2
        from airflow.serialization.serialized_objects import SerializedDAG

        return SerializedDAG.to_dict


def _texts(task: Any) -> list[str]:
    values = [getattr(task, field, None) for field in task.template_fields]
    values += list(getattr(task, "partial_kwargs", {}).values())
    found = []
    for value in values:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += [item for item in value if isinstance(item, str)]
        elif hasattr(value, "uri"):
            found.append(value.uri)
    return found


def _heavy_modules(files: list[str]) -> list[str]:
    """In one process, after each of the files."""
    done = subprocess.run(
        [sys.executable, "-c", PARSE_AND_LIST_HEAVY_MODULES, *files],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in done.stdout.splitlines() if line.startswith("HEAVY")]


def _airflow_alone(folder: Path) -> str:
    path = folder / "airflow_alone.py"
    path.write_text("from airflow_sklearn.airflow_compat import DAG, Asset, BaseOperator, Param\nDAG('alone')\n")
    return str(path)
