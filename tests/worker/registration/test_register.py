"""Models that were fitted elsewhere, as a notebook leaves them, become versions that predict."""

from __future__ import annotations

import hashlib
import json
import pickle
import uuid
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pyarrow as pa
import pytest
import sklearn
from sklearn.compose import make_column_transformer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from airflow_sklearn.contract.jobs import JobIdentity, JobResult
from airflow_sklearn.contract.model import ModelManifest
from airflow_sklearn.contract.register_settings import RegisterSettings
from airflow_sklearn.runs.register_job import make_register_job
from airflow_sklearn.worker.run import run_job
from tests.worker.workbench import Workbench, error_of

ROWS = 400


def frame() -> pd.DataFrame:
    n = pd.Series(range(ROWS))
    data = pd.DataFrame({"key": n, "x": (n * 37 % 101) / 10, "the kind": [f"k{i % 3}" for i in n], "n": n % 7})
    data["y"] = ["yes" if value > 5 else "no" for value in data["x"]]
    return data


FEATURES = ["the kind", "n", "x"]  # in another order than the table's


def in_a_notebook(frozen: bool = False) -> Any:
    columns = make_column_transformer((OneHotEncoder(), ["the kind"]), (StandardScaler(), ["n", "x"]))
    model = make_pipeline(columns, LogisticRegression()).fit(frame()[FEATURES], frame()["y"])
    return FrozenEstimator(model) if frozen else model


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Notebook:
    """A folder with a fitted model and a sample, and the registration of it."""

    def __init__(self, bench: Workbench, folder: Path) -> None:
        self.bench, self.folder = bench, folder

    def dump(self, model: Any, name: str = "model.joblib") -> Path:
        path = self.folder / name
        joblib.dump(model, path)
        return path

    def register(self, path: Path, data: pd.DataFrame, *, digest: str = "", **settings: Any) -> JobResult:
        sample = self.bench.write(pa.Table.from_pandas(data, preserve_index=False), "sample.parquet")
        asked = {name: field.default for name, field in RegisterSettings.model_fields.items()} | {"policies": None}
        job, uri = make_register_job(
            self.bench.storage,
            settings=RegisterSettings.asked({**asked, "target": "y", "primary_key": "key", **settings}),
            identity=JobIdentity(),
            attempt=uuid.uuid4().hex,
            fitted=f"file://{path}",
            sha256=digest or sha256(path),
            source=sample,
            model=f"{self.bench.root}/model",
            software="",
            image="",
            deadline_seconds=None,
        )
        self.bench.storage.write(uri, job.to_json())
        run_job(uri, self.bench.storage, digest=job.digest())
        return JobResult.from_json(self.bench.storage.read(job.result_uri))

    def manifest(self, result: JobResult) -> ModelManifest:
        assert result.status == "succeeded", result.error
        return ModelManifest.from_json(self.bench.storage.read(result.output_uri))


@pytest.fixture
def notebook(bench: Workbench, tmp_path: Path) -> Notebook:
    return Notebook(bench, tmp_path)


@pytest.mark.parametrize("frozen", [False, True], ids=["plain", "frozen"])
def test_a_registered_model_predicts_as_in_the_notebook_however_the_source_is_cut(
    notebook: Notebook, frozen: bool
) -> None:
    model = in_a_notebook(frozen)
    manifest = notebook.manifest(notebook.register(notebook.dump(model), frame()))
    assert manifest.estimator.kind == "registered"
    assert manifest.feature_schema.feature_names == tuple(FEATURES)
    assert manifest.explanation_object is not None
    assert manifest.not_made == {}
    table = pa.Table.from_pandas(frame().drop(columns="y"), preserve_index=False)
    source = notebook.bench.write(table, "new.csv")
    whole, cut = (notebook.bench.predict(source, chunks=chunks) for chunks in (1, 7))
    assert whole.equals(cut)
    assert whole.column_names == ["key", "y_proba_no", "y_proba_yes"]
    there = model.predict_proba(frame()[FEATURES])[:, 1]
    assert whole["y_proba_yes"].to_pylist() == pytest.approx(there.tolist(), rel=1e-12)


def test_nothing_is_loaded_before_the_digest_matches(notebook: Notebook, tmp_path: Path) -> None:
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(_Touches(tmp_path / "touched")))
    result = notebook.register(path, frame(), digest="0" * 64)
    assert f"has the SHA-256 {sha256(path)}, and {'0' * 64} was given: it is not loaded" in error_of(result)
    assert not (tmp_path / "touched").exists()
    notebook.register(path, frame())  # shows that loading it would have been noticed
    assert (tmp_path / "touched").exists()


class _Touches:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_predictions_of_the_notebook_are_compared_with_those_of_the_container(notebook: Notebook) -> None:
    model, data = in_a_notebook(), frame()
    data["score"] = model.predict_proba(data[FEATURES])[:, 1]
    data["label"] = model.predict(data[FEATURES])
    expected = {"y_proba_yes": "score", "y_pred": "label"}
    notebook.manifest(notebook.register(notebook.dump(model), data, expected=expected))
    data.loc[7, "score"] += 1e-6
    refused = error_of(notebook.register(notebook.dump(model), data, expected=expected))
    assert "does not predict here what it predicted where it was fitted" in refused
    assert "predictions that are not those in the column 'score'" in refused
    assert "'label'" not in refused


def test_a_model_that_was_fitted_on_arrays_takes_the_named_features_in_their_order(notebook: Notebook) -> None:
    data = frame()
    model = Ridge().fit(data[["x", "n"]].to_numpy(float), data["x"] * 3)
    path = notebook.dump(model)
    message = error_of(notebook.register(path, data, target="z"))
    assert "fitted on 2 columns, and there are 4: x, the kind, n, y" in message
    manifest = notebook.manifest(notebook.register(path, data, target="z", features=["x", "n"]))
    assert manifest.feature_schema.targets[0].task == "regression"
    found = notebook.bench.predict(notebook.bench.source("sample.parquet"))
    assert found["z_pred"].to_pylist() == pytest.approx((data["x"] * 3).tolist(), abs=0.1)


def test_all_that_the_sample_lacks_is_told_at_once_with_the_nearest_name(notebook: Notebook) -> None:
    data = frame().rename(columns={"the kind": "The kind", "x": "X"})
    message = error_of(notebook.register(notebook.dump(in_a_notebook()), data))
    assert "Did you mean 'The kind'?" in message
    assert "Did you mean 'X'?" in message


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: LogisticRegression(), "LogisticRegression, which is not fitted"),
        (lambda: {"model": 1}, "dict, which can neither predict nor transform"),
    ],
    ids=["unfitted", "no estimator"],
)
def test_what_is_no_fitted_estimator_is_refused(notebook: Notebook, made: Any, told: str) -> None:
    assert told in error_of(notebook.register(notebook.dump(made()), frame()))


def test_a_model_of_another_scikit_learn_is_refused_unless_the_policy_lets_it_pass(notebook: Notebook) -> None:
    path = notebook.dump(in_a_notebook())
    here = sklearn.__version__.encode()
    path.write_bytes(path.read_bytes().replace(here, b"0.1.2".ljust(len(here), b"0")))
    message = error_of(notebook.register(path, frame()))
    assert "was fitted with scikit-learn 0.1.2" in message
    manifest = notebook.manifest(notebook.register(path, frame(), policies={"version_mismatch": "warn"}))
    assert any("0.1.2" in warning for warning in manifest.warnings)


def test_an_mlflow_model_is_registered_by_its_folder(notebook: Notebook, tmp_path: Path) -> None:
    folder = tmp_path / "mlflow_model"
    folder.mkdir()
    (folder / "model.pkl").write_bytes(pickle.dumps(in_a_notebook()))
    (folder / "MLmodel").write_text(
        "artifact_path: model\nflavors:\n  python_function:\n    loader_module: mlflow.sklearn\n"
        "    model_path: model.pkl\n  sklearn:\n    code: null\n    pickled_model: model.pkl\n"
        "    serialization_format: cloudpickle\n    sklearn_version: 1.9.1\nmlflow_version: 3.0.0\n"
    )
    digest = sha256(folder / "model.pkl")
    assert notebook.manifest(notebook.register(folder, frame(), digest=digest)).estimator_class.endswith("Regression")
    (folder / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: mlflow.xgboost\n")
    assert "no flavor 'sklearn'" in error_of(notebook.register(folder, frame(), digest=digest, target="other"))
    (folder / "MLmodel").write_text("flavors:\n  sklearn:\n    pickled_model: ../../elsewhere.pkl\n")
    assert "names the file '../../elsewhere.pkl'" in error_of(
        notebook.register(folder, frame(), digest=digest, target="third")
    )


def test_the_signature_of_an_mlflow_model_names_its_features_and_their_types(
    notebook: Notebook, tmp_path: Path
) -> None:
    data, folder = frame().rename(columns={"n": "how many, of 'all'"}), tmp_path / "mlflow_model"
    names = ["how many, of 'all'", "x"]
    folder.mkdir()
    (folder / "model.pkl").write_bytes(pickle.dumps(Ridge().fit(data[names].to_numpy(float), data["x"] * 3)))
    inputs = json.dumps([{"type": "double", "name": name, "required": True} for name in names]).replace("'", "''")
    inputs = inputs.replace('{"type": "double", "name": "x"', '{"type":\n    "double", "name": "x"')  # as YAML folds it
    text = f"flavors:\n  sklearn:\n    pickled_model: model.pkl\nsignature:\n  inputs: '{inputs}'\n  outputs: null\n"
    (folder / "MLmodel").write_text(text)
    digest = sha256(folder / "model.pkl")
    manifest = notebook.manifest(notebook.register(folder, data, digest=digest, target="z"))
    assert list(manifest.feature_schema.feature_names) == names
    found = notebook.bench.predict(notebook.bench.source("sample.parquet"))
    assert found["z_pred"].to_pylist() == pytest.approx((data["x"] * 3).tolist(), abs=0.1)
    data["x"] = data["x"].astype(str)
    assert "the signature of the model says double" in error_of(
        notebook.register(folder, data, digest=digest, target="other")
    )
