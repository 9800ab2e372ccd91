"""Models in the format of skops: without pickle, and with trusted types from the configuration only."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from airflow_sklearn import client
from airflow_sklearn.contract.data import SourceFiles
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.worker.skops_files import TRUSTED_TYPES, load
from tests.worker.workbench import Workbench, error_of

TREES = ("sklearn.tree._tree.Tree",)


@pytest.fixture
def rows(bench: Workbench, table: pa.Table) -> SourceFiles:
    return bench.write(table.slice(0, 400), "table.parquet")


def test_a_model_is_stored_and_predicts_without_a_pickle(bench: Workbench, rows: SourceFiles) -> None:
    by_joblib = bench.predict(rows, model=_manifest(bench, rows))
    manifest = bench.train(rows, persistence="skops")
    assert manifest.artifact.serializer == "skops"
    assert manifest.artifact.uri.endswith(".skops")
    assert zipfile.is_zipfile(manifest.artifact.uri.removeprefix("file://"))
    assert bench.predict(rows, chunks=3).equals(by_joblib)


def _manifest(bench: Workbench, rows: SourceFiles) -> str:
    manifest = bench.train(rows)
    return f"{bench.root}/model/versions/{manifest.version}/manifest.json"


def test_types_that_nobody_trusts_are_named_with_where_to_trust_them(
    bench: Workbench, rows: SourceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory = "tests.worker.training.test_skops:forest"
    job = bench.train_job(rows, factory, persistence="skops")
    told = error_of(bench.run(job))
    assert "types that nobody has declared trusted: sklearn.tree._tree.Tree" in told
    assert "[airflow_sklearn] skops_trusted_types" in told
    manifest = bench.train(rows, factory, persistence="skops", trusted_types=TREES)
    plan, _ = bench.plan(rows)
    assert TREES[0] in error_of(bench.run_chunk(plan)), "the types of training are not those of prediction"
    trusting, _ = bench.plan(rows, trusted_types=TREES)
    assert trusting.spec.trusted_types == TREES
    assert bench.run_chunk(trusting).status == "succeeded"
    monkeypatch.setenv(TRUSTED_TYPES, f" {TREES[0]} ,")
    assert bench.run_chunk(plan).status == "succeeded"
    assert manifest.versions.packages["scikit-learn"]


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(3, random_state=0)


def test_a_file_cannot_declare_its_own_types_trusted(tmp_path: Path) -> None:
    class Mine(LogisticRegression):
        pass

    path = tmp_path / "model.skops"
    skops.io.dump(Mine(), path)
    with pytest.raises(UserError, match="Mine"):
        load(str(path), (), "the file")


def test_an_artifact_of_joblib_leaves_the_types_out_of_the_plan(bench: Workbench, rows: SourceFiles) -> None:
    bench.train(rows)
    assert bench.plan(rows, trusted_types=TREES)[0].spec.trusted_types == ()


def test_a_fitted_model_in_a_file_of_skops_is_registered_if_its_types_are_trusted(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pd.DataFrame({"key": range(60), "x": [n % 7 / 2 for n in range(60)]})
    fitted = RandomForestClassifier(3, random_state=0).fit(rows[["x"]], rows["x"] > 1)
    skops.io.dump(fitted, tmp_path / "model.skops")
    digest = hashlib.sha256((tmp_path / "model.skops").read_bytes()).hexdigest()
    asked: dict[str, Any] = {"sha256": digest, "target": "y", "primary_key": "key", "model": f"{bench.root}/registered"}
    with pytest.raises(UserError, match=r"sklearn\.tree\._tree\.Tree"):
        client.register(str(tmp_path / "model.skops"), rows, **asked)
    monkeypatch.setenv(TRUSTED_TYPES, TREES[0])
    model = client.register(str(tmp_path / "model.skops"), rows, persistence="skops", **asked)
    assert model.manifest.artifact.serializer == "skops"
    expected = fitted.predict_proba(rows[["x"]])[:, 1]
    assert model.predict(rows, outputs=["proba:true"])["y_proba_true"].tolist() == expected.tolist()
