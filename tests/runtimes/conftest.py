from __future__ import annotations

import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_sklearn.contract.jobs import JobIdentity, PredictJob
from airflow_sklearn.contract.plan import Chunk, PredictionSpec
from airflow_sklearn.contract.schema import Policies
from airflow_sklearn.runtimes.local.runtime import LocalRuntime


def make_job(folder: Path, *, chunk: str = "chunk", try_number: int = 1, map_index: int = 0) -> PredictJob:
    """A job that no worker reads: the workers here are stand-ins."""
    spec = PredictionSpec(
        model_manifest_uri=f"file://{folder}/manifest.json",
        model_manifest_sha256="0" * 64,
        method="predict",
        outputs=(),
        primary_key=(),
        source={"uris": [f"file://{folder}/table.csv"], "file_format": "csv"},
        batch_rows=1,
        policies=Policies(),
    )
    return PredictJob(
        identity=JobIdentity(dag_id="dag", task_id="task", run_id="run", map_index=map_index, try_number=try_number),
        result_uri=f"file://{folder}/result.json",
        spec=spec,
        fingerprint="f" * 64,
        ledger=f"file://{folder}/ledger",
        chunk=Chunk(id=chunk, label=chunk, pieces=()),
    )


@pytest.fixture
def job(tmp_path: Path) -> PredictJob:
    return make_job(tmp_path)


@pytest.fixture
def runtime_of(tmp_path: Path) -> Callable[..., LocalRuntime]:
    """A LocalRuntime whose worker is a stand-in, given as Python source; ``sys.argv[-1]`` is the job's URI."""

    def make(source: str, **options: object) -> LocalRuntime:
        interpreter = tmp_path / "stand-in"
        interpreter.write_text(f"#!{sys.executable}\nimport os, signal, sys, time\n{source}\n")
        interpreter.chmod(interpreter.stat().st_mode | stat.S_IXUSR)
        return LocalRuntime(python=str(interpreter), state_dir=str(tmp_path / "state"), **options)

    return make
