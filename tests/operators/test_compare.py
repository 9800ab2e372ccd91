"""Models are compared by a task; the template compares presets, and predicts with the best one, calibrated."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_sklearn import SklearnCompareOperator
from airflow_sklearn.airflow_compat import DAG
from airflow_sklearn.contract.model import ModelManifest
from airflow_sklearn.exceptions import UserError
from tests.operators.database import Run

RunDag = Callable[..., Run]
TEMPLATE = Path(__file__).parents[2] / "dags" / "compare_presets.py"


def test_the_template_compares_presets_and_predicts_with_the_best_one(
    tmp_path: Path, airflow_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "csv").mkdir()
    header = "flight_id,distance,origin,tail_number,arrival_delay,late,very_late,cancelled\n"
    for month in ("2013-06", "2013-07"):
        rows = [
            f"{month}-{n},{n % 11},{'EWR' if n % 2 else 'JFK'},N{n},{n},{n % 11 + n % 4 > 6},false,false\n"
            for n in range(120)
        ]
        (tmp_path / "csv" / f"{month}.csv").write_text(header + "".join(rows))
    monkeypatch.setenv("FLIGHTS_ROOT", str(tmp_path))
    path = airflow_home / "dags" / TEMPLATE.name
    shutil.copy(TEMPLATE, path)
    spec = importlib.util.spec_from_file_location("compare_presets", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    presets = ["sparse_logistic", "hist_gradient_boosting_classifier"]
    ended = module.dag.test(run_conf={"presets": presets, "months": "2013-07"}, **_date())
    path.unlink()
    assert str(ended.state) == "success"
    (uri,) = tmp_path.glob("models/late_calibrated/versions/*/manifest.json")
    manifest = ModelManifest.from_json(uri.read_bytes())
    assert manifest.calibration == "sigmoid"
    assert manifest.estimator.kind == "preset"
    assert manifest.estimator.name in presets
    assert sorted(path.name for path in (tmp_path / "models" / "late_by").iterdir()) == sorted(presets)
    (page,) = tmp_path.glob("models/late_by/*/comparisons/*.html")
    assert all(preset in page.read_text() for preset in presets)
    assert list((tmp_path / "predictions" / "late_calibrated").rglob("_manifest.json"))


def _date() -> dict[str, Any]:
    from airflow import __version__

    name = "execution_date" if __version__.startswith("2.") else "logical_date"
    return {name: datetime(2013, 8, 1, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": "s3://b/m"}, "models='s3://b/m': give a list of models"),
        ({"models": ["m"]}, "'m' is a relative path"),
        ({"models": ["s3://b/m"], "metric": 3}, "metric=3: give a text"),
        ({"models": ["s3://b/m"], "target": ["y"]}, "target=.*: give a column's name"),
        ({"models": ["s3://b/m"], "metrics": "f1"}, "no argument 'metrics'. Did you mean 'metric'"),
    ],
)
def test_what_an_argument_may_be_is_said_when_the_dag_is_parsed(changes: dict[str, Any], message: str) -> None:
    with DAG("dag", start_date=datetime(2026, 1, 1), schedule=None), pytest.raises(UserError, match=message):
        SklearnCompareOperator(task_id="compare", **changes)
