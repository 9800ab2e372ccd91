"""The client's jobs in processes of their own. It needs psutil, as Airflow's side has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from airflow_sklearn import client
from airflow_sklearn.exceptions import DataError
from airflow_sklearn.runtimes.local import LocalRuntime


def test_jobs_may_run_in_processes_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"id": range(240), "x": [i * 37 % 101 for i in range(240)]})
    frame["y"] = frame["x"] > 50
    runtime = LocalRuntime(state_dir=str(tmp_path / "state"), processes=1)
    asked: dict[str, Any] = {"primary_key": "id", "model": "model", "cross_validation": 0, "runtime": runtime}
    model = client.train("sparse_logistic", frame, target="y", **asked)
    done = client.predict(model.uri, frame, "scores", runtime=runtime)
    assert done["rows"] == 240
    with pytest.raises(DataError, match="Did you mean 'y'"):
        client.train("sparse_logistic", frame, target="Y", **asked)
