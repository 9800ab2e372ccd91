"""The template that compares presets, run with few of them."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.operators.database import AIRFLOW_2, Database, Run

TEMPLATE = Path(__file__).parents[2] / "dags" / "leaderboard.py"


def flights(month: str, rows: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    distance = rng.normal(900, 300, rows)
    return pd.DataFrame(
        {
            "flight_id": [f"{month}-{n}" for n in range(rows)],
            "distance": distance,
            "origin": rng.choice(["EWR", "JFK"], rows),
            "late": distance + rng.normal(0, 200, rows) > 900,
            **dict.fromkeys(["arrival_delay", "very_late", "cancelled", "tail_number"], 0),
        }
    )


@pytest.mark.slow
def test_the_template_compares_presets_and_scores_with_the_calibrated_winner(
    tmp_path: Path, airflow_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "csv").mkdir()
    for month in ("2013-06", "2013-07"):
        flights(month).to_csv(tmp_path / "csv" / f"{month}.csv", index=False)
    monkeypatch.setenv("FLIGHTS_ROOT", str(tmp_path))
    text = TEMPLATE.read_text()
    presets = text[text.index("PRESETS = [") : text.index("]\n", text.index("PRESETS = [")) + 2]
    path = airflow_home / "dags" / TEMPLATE.name
    path.write_text(text.replace(presets, 'PRESETS = ["sparse_logistic", "hist_gradient_boosting_classifier"]\n'))
    spec = importlib.util.spec_from_file_location("leaderboard", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    done = module.dag.test(**{"execution_date" if AIRFLOW_2 else "logical_date": datetime(2013, 8, 1, tzinfo=UTC)})
    path.unlink()
    run = Run(Database(f"sqlite:///{airflow_home}/airflow.db"), "leaderboard", done.run_id, str(done.state))
    assert run.state == "success"
    assert run.xcom("leaderboard") == "sparse_logistic"  # the boundary is a line
    for model in run.xcoms("train"):
        value, low, high = model["intervals"]["roc_auc"]
        assert low < value < high
    assert run.xcom("winner")["model"].endswith("/models/late")
    (part,) = tmp_path.glob("predictions/leaderboard/2013-07/*.parquet")
    assert list(pd.read_parquet(part).columns) == ["flight_id", "late_proba_false", "late_proba_true"]
