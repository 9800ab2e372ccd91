"""The examples of the page on training, run as a DAG."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from airflow_sklearn.contract.metrics import ModelMetrics
from airflow_sklearn.contract.model import ModelManifest
from tests.operators.database import Run

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "training.md"


def customers(rows: int = 240) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    age = rng.normal(40, 10, rows)
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "customer": np.arange(rows) // 3,
            "date": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(rows), "D"),
            "region": rng.choice(["north", "south"], rows),
            "age": age,
            "weight": rng.random(rows) + 0.5,
            "churned": np.where(age + rng.normal(0, 8, rows) > 45, "yes", "no"),
            "spend": 3 * age + rng.normal(0, 5, rows),
        }
    )


def manifest(run: Run, task: str) -> ModelManifest:
    return ModelManifest.from_json(Path(run.xcom(task)["manifest_uri"].removeprefix("file://")).read_bytes())


def test_the_examples_of_the_documentation_run(run_dag: Callable[..., Run], tmp_path: Path) -> None:
    new = customers().drop(columns=["churned"])
    frames = {
        "customers": customers(),
        "held_out": customers().tail(60),
        "to_score": new,
        "new_region": new.drop(columns=["spend"]).assign(region="east"),
    }
    for folder, frame in frames.items():
        (tmp_path / folder).mkdir()
        frame.to_parquet(tmp_path / folder / "2026-01-01.parquet", index=False)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    body = "\n".join(blocks).replace("s3://acme", str(tmp_path))
    body = body.replace("LocalRuntime()", f"LocalRuntime(state_dir='{tmp_path}/state', processes=1)")
    run = run_dag(body)
    assert run.state == "success"
    found: dict[str, Any] = {
        name: manifest(run, name)
        for name in ("by_customer", "by_time", "held_out", "by_region", "two_targets", "careful", "checked", "without")
    }
    assert not found["checked"].unfit_columns
    assert found["without"].unfit_columns == {"spend": "the table that will be scored lacks it"}
    rows = {name: one.out_of_sample.rows for name, one in found.items()}
    assert rows == {
        "by_customer": 240, "by_time": 180, "held_out": 60, "by_region": 240, "two_targets": 240, "careful": 240,
        "checked": 240, "without": 240,
    }  # fmt: skip
    stored = found["by_region"].metrics_object
    metrics = ModelMetrics.from_json(Path(stored.uri.removeprefix("file://")).read_bytes())
    assert [one.value for one in metrics.targets[0].segments] == ["north", "south"]
    assert {"churned.roc_auc", "spend.r2"} <= set(run.xcom("two_targets")["metrics"])
    assert found["careful"].sample_weight == "weight"
    assert set(found["careful"].thresholds) == {"churned"}
    ranked = run.xcom("compare")
    assert len(ranked["leaderboard"]) == 2
    assert ranked["estimator"] == ranked["leaderboard"][0]["estimator"]
    (part,) = tmp_path.glob("scores/run=*/*.parquet")
    assert list(pd.read_parquet(part).columns) == ["id", "spend_pred"]
