"""``train`` and ``predict`` as a person uses them: files here, jobs in processes of this machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from airflow_sklearn import client
from tests.cli.conftest import Call, called


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows, and a model that was trained on them by the command with a file of settings."""
    folder = tmp_path_factory.mktemp("command")
    n = np.arange(400)
    frame = pd.DataFrame({"id": n, "age": 18 + n * 37 % 60, "city": np.take(["Oslo", "Rome"], n % 2)})
    frame["churned"] = (frame["age"] + n % 23 > 58).map({True: "yes", False: "no"})
    frame.to_csv(folder / "rows.csv", index=False)
    (folder / "train.yaml").write_text(
        f"estimator: random_forest_classifier\nsource: {folder}/rows.csv\ntarget: churned\nprimary_key: id\n"
        "estimator_params: {n_estimators: 50}\ncross_validation: 2\n"
    )
    asked = ["--settings", folder / "train.yaml", "--estimator-params", "n_estimators=2", "--model", folder / "model"]
    trained = called("train", *asked)
    assert trained["model"] == f"file://{folder}/model"
    assert set(trained["metrics"]) >= {"roc_auc", "accuracy"}
    assert Path(trained["page"].removeprefix("file://")).exists()
    return folder


def test_options_of_the_command_line_reach_the_model(folder: Path) -> None:
    model = client.load(f"{folder}/model")
    assert model.manifest.estimator.params == {"n_estimators": 2}
    assert [column.name for column in model.manifest.feature_schema.primary_key] == ["id"]


def test_predictions_are_those_of_the_client_and_are_not_computed_again(
    folder: Path, here: Path, called: Call, printed: Call
) -> None:
    asked = ["predict", "--model", folder / "model", "--source", folder / "rows.csv", "--destination", "out"]
    asked += ["--passthrough", "city", "--chunk-size", "4kB"]
    found = called(*asked)
    assert (found["rows"], found["chunks"], found["chunks_done_before"]) == (400, 2, 0)
    stored = pd.concat(map(pd.read_parquet, sorted(here.glob("out/all/*.parquet"))), ignore_index=True)
    expected = client.load(f"{folder}/model").predict(f"{folder}/rows.csv", passthrough=["city"])
    pd.testing.assert_frame_equal(stored, expected, check_exact=True)
    assert called(*asked)["chunks_done_before"] == 2
    assert "in 2 chunks, 2 of them computed before" in printed(*asked)
    assert called("verify", "out/all")["rows_out"] == 400
    page = Path(found["page"].removeprefix("file://"))
    made = page.read_text()
    page.unlink()
    assert called("report", "out/all")["file"] == str(page)
    assert "400" in made
    assert "400" in page.read_text()


def test_bad_rows_end_with_65_and_all_problems(folder: Path, here: Path, called: Call) -> None:
    (here / "bad.csv").write_text("id,age,city\n1,old,Oslo\n,20,Rome\n")
    asked = ["predict", "--model", folder / "model", "--source", "bad.csv", "--destination", "bad"]
    error = called(*asked, code=65)["error"]
    assert {(problem["kind"], problem["column"]) for problem in error["problems"]} >= {("wrong_type", "age")}
    assert error["message"].count("wrong_type: column 'age'") == 1
    assert list(here.glob("bad/_airflow_sklearn/*/*.html")), "a failed run has a page too"
    assert "failed" in called("runs", "show", next(here.glob("bad/_airflow_sklearn/*")))["chunks"][0]["state"]


def test_a_fitted_estimator_is_registered(folder: Path, here: Path, called: Call) -> None:
    from sklearn.linear_model import LogisticRegression

    rows = pd.read_csv(folder / "rows.csv")
    joblib.dump(LogisticRegression().fit(rows[["age"]], rows["churned"]), "fitted.joblib")
    digest = hashlib.sha256(Path("fitted.joblib").read_bytes()).hexdigest()
    asked = ["register", "--fitted", "fitted.joblib", "--source", folder / "rows.csv", "--model", "registered"]
    asked += ["--target", "churned", "--primary-key", "id", "--features", "age"]
    wrong = called(*asked, "--sha256", "0", code=64)["error"]["message"]
    assert wrong.startswith("sha256='0': give the file's SHA-256")
    found = called(*asked, "--sha256", digest)
    assert found["estimator_class"].endswith("LogisticRegression")
    assert called("models", "show", "registered")["features"][0]["name"] == "age"


def test_mistakes_are_named_before_anything_runs(folder: Path, here: Path, called: Call) -> None:
    asked = ["train", "--source", folder / "rows.csv", "--target", "churned", "--model", "m"]
    message = called(*asked, "--estimator", "sparse_logistics", code=64)["error"]["message"]
    assert "sparse_logistic" in message
    assert "estimator: not given" in called(*asked, code=64)["error"]["message"]
    assert not (here / "m").exists()


def test_the_page_of_a_model_is_written_and_copied(folder: Path, here: Path, called: Call) -> None:
    found = called("report", folder / "model", "--output", "pages/model.html")
    page = Path(found["page"].removeprefix("file://"))
    assert page.is_relative_to(folder / "model")
    assert found["file"] == "pages/model.html"
    assert page.read_text() == (here / "pages/model.html").read_text()
    assert "random_forest_classifier" in page.read_text()
    both = called("report", folder / "model", client.load(f"{folder}/model").uri, "--target", "churned")
    assert Path(both["file"]).exists()
    assert "/comparisons/" in both["page"]
    assert "is no model" in called("report", "nothing", code=64)["error"]["message"]
