"""The client, as notebooks use it: without Airflow, in this process and in one of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import FunctionTransformer

from airflow_sklearn import HeldOut, WillScore, client
from airflow_sklearn.contract.receipt import Receipt
from airflow_sklearn.exceptions import BrokenEnvironmentError, DataError, UserError
from airflow_sklearn.storage import Storage

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "notebooks.md").read_text()


@pytest.fixture
def customers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pd.DataFrame:
    """Rows with an index of their own, in a working folder that is empty."""
    monkeypatch.chdir(tmp_path)
    n = np.arange(240)
    frame = pd.DataFrame(
        {"id": n, "age": 18.0 + n * 37 % 60, "city": np.take(["Oslo", "Rome"], n % 2), "visits": n % 9}
    )
    frame.loc[3, "age"] = np.nan
    frame["churned"] = frame["age"].fillna(30) + frame["visits"] > 50
    return frame.set_index(pd.Index([f"row {i}" for i in n]))


def trained(customers: pd.DataFrame, **changes: Any) -> client.Model:
    asked = {"target": "churned", "primary_key": "id", "model": "models/churn", "cross_validation": 2, **changes}
    return client.train("sparse_logistic", customers, **asked)


def test_the_examples_of_the_documentation_run(customers: pd.DataFrame) -> None:
    customers.to_parquet("customers.parquet", index=False)
    names: dict[str, Any] = {"customers": customers, "HistGradientBoostingClassifier": HistGradientBoostingClassifier}
    first, second, third = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(first + second, names)
    names["receipt"] = str(next(Path("scores").rglob("receipts/*.json")))
    exec(third, names)
    assert names["done"]["rows"] == 240
    assert names["found"].error is None
    assert names["found"].same


def test_rows_that_will_be_scored_are_compared_with_the_training_rows_first(customers: pd.DataFrame) -> None:
    later = customers.drop(columns=["churned", "city"])
    with pytest.raises(DataError, match="'city': the table that will be scored lacks it"):
        trained(customers, will_score=later)
    model = trained(customers, will_score=WillScore(later, unfit_columns="exclude"))
    assert model.manifest.feature_schema.feature_names == ("age", "visits")
    assert model.manifest.unfit_columns == {"city": "the table that will be scored lacks it"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"estimator_params": {"C": [0.1, 1]}}, r"values to choose from belong in search=\{'name': \[...\]\}"),
        ({"estimator_params": {"max_levels": 5}}, "It belongs in preprocessing_params={'max_levels': ...}"),
        ({"unseen_levels": "count"}, "It belongs in policies={'unseen_levels': ...}"),
        ({"cros_validation": 2}, "Did you mean 'cross_validation'"),
        ({"threshold": 50}, "compared with probabilities. Fix: give a number from 0 to 1"),
        (
            {"target": ["churned", "city"], "estimator": {"churned": "sparse_logistic"}},
            r"the targets \['city'\] have none",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_mistake_is_named_with_what_to_give(customers: pd.DataFrame, changes: dict[str, Any], message: str) -> None:
    estimator = changes.pop("estimator", "sparse_logistic")
    asked = {"target": "churned", "primary_key": "id", "model": "models/churn", "cross_validation": 0, **changes}
    with pytest.raises(UserError, match=message):
        client.train(estimator, customers, **asked)


def test_a_model_is_validated_on_a_frame_and_searched_by_a_dict_of_lists(customers: pd.DataFrame) -> None:
    held_out = HeldOut(customers.tail(80))
    model = trained(customers, validation=held_out, cross_validation=4, search={"C": [0.01, 1.0]})
    assert len(model.out_of_sample) == 80
    assert len(model.manifest.search_results[0].candidates) == 2


def test_a_frame_is_predicted_as_a_container_would_with_its_own_index(customers: pd.DataFrame) -> None:
    model = trained(customers)
    found = model.predict(customers.drop(columns="churned"))
    assert list(found.columns) == ["id", "churned_proba_false", "churned_proba_true"]
    assert list(found.index) == list(customers.index)
    client.predict("models/churn", customers, "scores")
    stored = pd.concat(map(pd.read_parquet, Path("scores/all").glob("*.parquet")))
    assert stored["churned_proba_true"].tolist() == found["churned_proba_true"].tolist()
    without_key = model.predict(customers[["visits", "city", "age"]])
    assert without_key["churned_proba_true"].tolist() == found["churned_proba_true"].tolist()


def test_the_arrays_are_those_that_the_last_step_predicts_from(customers: pd.DataFrame) -> None:
    model = trained(customers)
    direct = model.estimator[-1].predict_proba(model.transform(customers))[:, 1]
    assert direct.tolist() == pytest.approx(model.predict(customers)["churned_proba_true"].tolist(), rel=1e-12)
    assert model.transform(customers).shape[0] == len(customers)


def test_a_model_tells_what_it_knows(customers: pd.DataFrame) -> None:
    model = trained(customers)
    assert [feature.name for feature in model.features] == ["age", "city", "visits"]
    assert 0.5 < model.metrics["roc_auc"] <= 1
    assert model.explanation[0].importances[0].feature in ("age", "visits")
    assert len(model.out_of_sample) == 240
    assert set(model.out_of_sample["fold"]) == {1, 2}
    again = client.load("models/churn")
    assert again.manifest == model.manifest
    assert repr(again).startswith("Model(sklearn.")
    with pytest.raises(UserError, match="trained without a validation"):
        _ = trained(customers, cross_validation=0).out_of_sample


def test_several_targets_are_one_model_of_which_some_can_be_asked(customers: pd.DataFrame) -> None:
    model = trained(customers, target=["churned", "city"])
    assert list(model.predict(customers, targets="city", outputs=["pred"]).columns) == ["id", "city_pred"]
    assert set(model.metrics) == {"churned", "city"}
    arrays = model.transform(customers, target="churned")
    direct = model.estimator.estimators_by_target_["churned"][-1].predict_proba(arrays)[:, 1]
    assert direct.tolist() == pytest.approx(model.predict(customers)["churned_proba_true"].tolist(), rel=1e-12)
    with pytest.raises(UserError, match="name one of the model's targets, 'churned' or 'city'"):
        model.transform(customers)
    assert [one.target for one in model.explanation] == ["churned", "city"]


def test_the_same_training_again_is_the_same_version(customers: pd.DataFrame) -> None:
    assert trained(customers).uri == trained(customers).uri
    assert trained(customers.iloc[1:]).uri != trained(customers).uri
    assert client.load("models/churn").uri == trained(customers).uri, "what was trained last is the latest"


def test_a_changed_artifact_is_not_loaded(customers: pd.DataFrame) -> None:
    model = trained(customers)
    Path(model.manifest.artifact.uri.removeprefix("file://")).write_bytes(b"changed")
    with pytest.raises(BrokenEnvironmentError, match="It is not unpickled"):
        _ = model.estimator


def test_errors_of_the_worker_are_raised_here_with_their_problems(customers: pd.DataFrame) -> None:
    with pytest.raises(UserError, match=r"no argument 'primry_key'\. Did you mean 'primary_key'"):
        trained(customers, primry_key="id")
    with pytest.raises(DataError, match="Did you mean 'churned'") as caught:
        trained(customers, target="churnd")
    assert [problem.kind for problem in caught.value.problems] == ["missing_column"]


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda model, rows: model.predict(rows, outputs=3), "outputs=3: give a column's name"),
        (lambda model, rows: model.predict(rows, explain="2"), "explain='2': give a whole number"),
        (lambda model, rows: model.predict(rows["age"]), "The rows are a Series: give a DataFrame"),
        (lambda model, rows: client.load(None), "None is no place: give a URI or a path"),
        (lambda model, rows: client.register("x.joblib", rows, model="r"), "sha256='': give the file's SHA-256"),
        (lambda model, rows: client.register(HistGradientBoostingClassifier, rows, model="r"), "is the class Hist"),
        (lambda model, rows: client.register(len, rows, model="r"), "which is no estimator: it has no fit"),
        (lambda model, rows: client.train("sparse_logistic", rows, model="r"), "LogisticRegression predicts a target"),
    ],
    ids=["outputs", "explain", "series", "place", "digest", "class", "function", "target"],
)
def test_what_a_user_gives_is_checked_in_our_own_words(customers: pd.DataFrame, ask: Any, told: str) -> None:
    model = trained(customers, cross_validation=0)
    with pytest.raises(UserError, match=re.escape(told)):
        ask(model, customers)


def test_a_chunk_that_failed_in_production_is_looked_into_here(customers: pd.DataFrame) -> None:
    trained(customers)
    customers.assign(visits=["many"] + ["3"] * 239).to_csv("bad.csv", index=False)
    with pytest.raises(DataError, match="many"):
        client.predict("models/churn", "bad.csv", "scores")
    job = next(path for path in Path("scores").rglob("jobs/*.json") if "result" not in path.name)
    before = sorted(Path("scores").rglob("*"))
    found = client.replay(str(job))
    assert [problem.column for problem in found.problems] == ["visits"]
    assert isinstance(found.error, DataError)
    assert (found.production, found.receipt, found.same, len(found.predictions)) == (None, None, False, 0)
    assert sorted(Path("scores").rglob("*")) == before, "nothing is written in production"


def test_a_chunk_of_production_is_replayed_by_its_receipt_or_its_place_in_the_plan(customers: pd.DataFrame) -> None:
    trained(customers)
    customers.to_csv("customers.csv", index=False)
    client.predict("models/churn", "customers.csv", "scores", chunk_size=3_000)
    receipts = sorted(Path("scores").rglob("receipts/*.json"))
    assert len(receipts) > 1
    found = client.replay(str(receipts[0]))
    assert found.same
    assert found.receipt is not None
    assert len(found.features) == len(found.predictions) == found.receipt.rows_out < 240
    plan = next(path for path in Path("scores").rglob("plans/*.json") if b"plan-index" in path.read_bytes())
    chunk = Receipt.from_json(receipts[1].read_bytes()).chunk_id
    assert client.replay({"plan": f"file://{plan.absolute()}", "id": chunk}).same
    with pytest.raises(UserError, match="is neither a receipt"):
        client.replay(str(plan))
    assert Storage().exists(f"file://{plan.absolute()}")


def test_parameters_are_searched_and_the_preprocessing_is_replaced(customers: pd.DataFrame) -> None:
    search = {"method": "grid", "params": {"C": [0.1, 1.0]}, "cv": 2}
    model = trained(customers, search=search, preprocessing_params={"scale": False})
    assert [candidate.params for candidate in model.manifest.search_results[0].candidates] == [
        {"estimator__C": 0.1},
        {"estimator__C": 1.0},
    ]
    assert model.estimator[0].scale is False
    numbers = customers.drop(columns="city").fillna(0)
    own = trained(numbers, preprocessing=FunctionTransformer())
    assert isinstance(own.estimator[0], FunctionTransformer)
