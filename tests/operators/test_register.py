"""A model from a notebook, registered by a task and scored with."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder

import airflow_sklearn
from airflow_sklearn import LocalRuntime, SklearnRegisterOperator
from airflow_sklearn.airflow_compat import DAG
from airflow_sklearn.exceptions import UserError
from tests.operators.conftest import ROWS, predict, published_rows
from tests.operators.database import Run

RunDag = Callable[..., Run]
TEMPLATE = Path(__file__).parents[2] / "dags" / "register_from_notebook.py"
REGISTER: dict[str, Any] = {
    "task_id": "register",
    "fitted": "s3://b/model.joblib",
    "sha256": "0" * 64,
    "source": "s3://b/sample.csv",
    "target": "y",
    "model": "s3://b/model",
    "runtime": LocalRuntime(),
}


def fitted(folder: Path) -> tuple[Path, str]:
    """A model of ``train.csv``, as a notebook leaves it, and its digest."""
    data = pd.read_csv(folder / "train.csv")
    path = folder / "notebook.joblib"
    joblib.dump(LogisticRegression().fit(data[["x"]], data["y"]), path)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def register(folder: Path, path: Path, digest: str, **changes: str) -> str:
    arguments = {
        "task_id": "'register'",
        "fitted": f"'{path}'",
        "sha256": f"'{digest}'",
        "source": f"'{folder}/train.csv'",
        "target": "'y'",
        "primary_key": "'id'",
        "model": f"'{folder}/model'",
        "runtime": f"LocalRuntime(state_dir='{folder}/state', processes=1)",
        **changes,
    }
    return f"register = SklearnRegisterOperator({', '.join(f'{k}={v}' for k, v in arguments.items())})\n"


@pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferred"])
def test_a_registered_model_scores_like_a_trained_one(run_dag: RunDag, table: Path, deferrable: bool) -> None:
    path, digest = fitted(table)
    body = register(table, path, digest, deferrable=str(deferrable)) + predict(table, model="register.output")
    run = run_dag(body)
    assert run.state == "success"
    model = run.xcom("register")
    assert set(model) == {"model", "version", "manifest_uri", "manifest_sha256", "metrics", "rows", "reused"}
    assert (model["rows"], model["metrics"], model["reused"]) == (ROWS, {}, False)
    assert published_rows(table / "scores" / "date=2026-01-01") == list(range(ROWS))
    if not deferrable:
        assert run_dag(body).xcom("register")["reused"] is True


def test_a_file_with_another_digest_fails_the_task_without_a_retry(run_dag: RunDag, table: Path) -> None:
    path, _ = fitted(table)
    run = run_dag(register(table, path, "0" * 64, retries="2", retry_delay="timedelta(seconds=0)"))
    assert run.state == "failed"
    assert run.attempts("register") == 1


def test_the_template_registers_and_scores(tmp_path: Path, airflow_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "csv").mkdir()
    for month in ("2013-06", "2013-07"):
        late = "".join(f"{month}-{n},{n % 9},{'EWR' if n % 2 else 'JFK'},{n % 9 > 4}\n" for n in range(50))
        (tmp_path / "csv" / f"{month}.csv").write_text("flight_id,distance,origin,late\n" + late)
    data = pd.read_csv(tmp_path / "csv" / "2013-06.csv")
    model = tmp_path / "late.joblib"
    joblib.dump(LogisticRegression().fit(data[["distance"]], data["late"]), model)
    monkeypatch.setenv("FLIGHTS_ROOT", str(tmp_path))
    path = airflow_home / "dags" / TEMPLATE.name
    shutil.copy(TEMPLATE, path)
    spec = importlib.util.spec_from_file_location("register_from_notebook", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    run = module.dag.test(run_conf={"fitted": str(model), "sha256": sha256}, **_date())
    path.unlink()
    assert str(run.state) == "success"
    assert list((tmp_path / "predictions" / "late_from_notebook").rglob("_manifest.json"))


def _date() -> dict[str, Any]:
    from airflow import __version__

    name = "execution_date" if __version__.startswith("2.") else "logical_date"
    return {name: datetime(2013, 8, 1, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "abc"}, "sha256='abc': give the file's SHA-256, 64 digits"),
        ({"fitted": "s3://b/model.onnx"}, "the ending tells no format. Give a file that ends in .joblib"),
        ({"fitted": "model.joblib"}, "is a relative path"),
        ({"targte": "y"}, "no argument 'targte'. Did you mean 'target'"),
        ({"expected": ["a"]}, "expected=.'a'. is a list: give a dict from the name of a prediction"),
        ({"policies": {"unseen_level": "count"}}, "Did you mean 'unseen_levels'"),
        ({"features": 3}, "features=3: give a column's name, or a list of names"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_an_argument_may_be_is_said_when_the_dag_is_parsed(changes: dict[str, Any], message: str) -> None:
    with DAG("dag", start_date=datetime(2026, 1, 1), schedule=None), pytest.raises(UserError, match=message):
        SklearnRegisterOperator(**{**REGISTER, **changes})


def test_the_example_of_the_documentation_is_a_dag() -> None:
    page = (Path(__file__).parents[2] / "docs" / "guides" / "register.md").read_text()
    names: dict[str, Any] = {name: getattr(airflow_sklearn, name) for name in airflow_sklearn.__all__}
    with DAG("dag", start_date=datetime(2026, 1, 1), schedule=None) as dag:
        exec(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0], names)
    assert dag.get_task("score.plan").upstream_task_ids == {"register"}


def test_its_object_is_not_pickled_on_airflow_s_side(table: Path) -> None:
    """An estimator's own class is code; what is registered is a file."""
    with DAG("dag", start_date=datetime(2026, 1, 1), schedule=None), pytest.raises(UserError, match="give a URI"):
        SklearnRegisterOperator(**{**REGISTER, "fitted": OneHotEncoder()})
