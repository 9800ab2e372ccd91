from __future__ import annotations

from pathlib import Path

import pytest

from airflow_sklearn.contract.model import Artifact
from airflow_sklearn.exceptions import BrokenEnvironmentError
from airflow_sklearn.storage import Storage
from airflow_sklearn.worker.artifact import load_estimator


def test_an_artifact_that_is_gone_says_which_task_to_clear(tmp_path: Path) -> None:
    artifact = Artifact(uri=f"file://{tmp_path}/artifact.joblib", sha256="0" * 64, size=1)
    with pytest.raises(
        BrokenEnvironmentError, match=r"artifact is gone: .*joblib\. Fix: clear the train task"
    ) as caught:
        load_estimator(Storage(), artifact, str(tmp_path))
    assert caught.value.__suppress_context__
