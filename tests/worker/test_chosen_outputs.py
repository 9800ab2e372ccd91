"""Which columns of predictions a run writes, and what ranks and decisions are, whatever the chunks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_sklearn.contract.model import ModelManifest
from airflow_sklearn.exceptions import UserError
from tests.worker.workbench import Workbench, folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, rows: pa.Table) -> ModelManifest:
    bench = Workbench(folder(tmp_path_factory.mktemp("model")))
    return bench.train(bench.write(rows, "table.parquet"), cross_validation=3)


@pytest.fixture(scope="module")
def rows(table: pa.Table) -> pa.Table:
    """What is learned, and predicted."""
    rows = table.slice(0, 900)
    yes = pa.array(["yes" if value else "no" for value in rows["y"].to_pylist()])
    return rows.set_column(rows.column_names.index("y"), "y", yes)


@pytest.fixture
def trained(tmp_path: Path, rows: pa.Table, model: ModelManifest) -> Workbench:
    bench = Workbench(folder(tmp_path), model=model.model)
    bench.write(rows, "table.parquet")
    return bench


def test_one_column_of_two_classes_is_enough(trained: Workbench) -> None:
    source = trained.source("table.parquet")
    whole, one = trained.predict(source), trained.predict(source, chunks=5, outputs=["proba:yes"])
    assert one.column_names == ["key", "y_proba_yes"]
    assert one["y_proba_yes"].equals(whole["y_proba_yes"])


def test_ranks_are_relative_to_training_and_do_not_depend_on_the_chunk(
    trained: Workbench, model: ModelManifest
) -> None:
    outputs = ["percentile", "decile", "decile:no", "y_proba_yes", "pred"]
    source = trained.source("table.parquet")
    whole, cut = (trained.predict(source, chunks=chunks, outputs=outputs) for chunks in (1, 9))
    assert whole.equals(cut)
    assert whole.column_names[1:] == ["y_percentile", "y_decile", "y_decile_no", "y_proba_yes", "y_pred"]
    assert model.out_of_sample is not None
    scores = pq.read_table(model.out_of_sample.parts[0].uri.removeprefix("file://"))["y_proba_yes"].to_numpy()
    found = whole["y_proba_yes"].to_numpy()
    deciles = 1 + np.searchsorted(np.quantile(scores, np.arange(0.1, 1, 0.1)), found, side="right")
    assert whole["y_decile"].to_pylist() == deciles.tolist()
    percentiles = whole["y_percentile"].to_numpy()
    assert percentiles.min() >= 1
    assert percentiles.max() <= 100
    assert (np.diff(percentiles[np.argsort(found)]) >= 0).all(), "a higher score has no lower rank"


def test_the_decision_at_the_tuned_threshold_is_a_class(trained: Workbench, model: ModelManifest) -> None:
    uri = f"{trained.root}/model/versions/{model.version}/tuned.json"
    trained.storage.write(uri, model.model_copy(update={"thresholds": {"y": 0.3}}).to_json())
    source = trained.source("table.parquet")
    found = trained.predict(source, chunks=3, model=uri, outputs=["label", "proba:yes"])
    expected = ["yes" if value >= 0.3 else "no" for value in found["y_proba_yes"].to_pylist()]
    assert found["y_label"].to_pylist() == expected
    assert set(expected) == {"yes", "no"}


def test_a_number_is_ranked_by_its_prediction(bench: Workbench, table: pa.Table) -> None:
    source = bench.write(table.slice(0, 600), "table.parquet")
    bench.train(source, "sparse_ridge_regressor", target="float_0", cross_validation=3)
    found = bench.predict(source, outputs=["decile", "pred"])
    assert found.column_names[1:] == ["float_0_decile", "float_0_pred"]
    assert set(found["float_0_decile"].to_pylist()) <= set(range(1, 11))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"outputs": ["prob:yes", "decil"]}, "There is no 'prob:yes'. Did you mean 'proba:yes'?"),
        ({"outputs": ["decil"]}, "Did you mean 'decile'?"),
        ({"outputs": ["label"]}, "'label' needs a decision threshold"),
        ({"outputs": ["pred"], "method": "predict"}, "both choose columns: leave method out"),
    ],
    ids=["word", "rank", "no threshold", "method"],
)
def test_what_the_model_does_not_have_is_told_with_what_it_has(
    trained: Workbench, asked: dict[str, object], told: str
) -> None:
    with pytest.raises(UserError) as caught:
        trained.plan(trained.source("table.parquet"), **asked)
    assert told in str(caught.value)


def test_without_out_of_sample_scores_there_are_no_ranks(trained: Workbench) -> None:
    trained.train(trained.source("table.parquet"), cross_validation=0)
    with pytest.raises(UserError, match="Percentiles need out-of-sample scores"):
        trained.plan(trained.source("table.parquet"), outputs=["percentile"])


@pytest.mark.parametrize("key", [("integer_0", "key"), (), ("integer_0",)], ids=["two", "none", "a feature"])
def test_the_key_of_a_prediction_may_differ_from_that_of_training(trained: Workbench, key: tuple[str, ...]) -> None:
    policies = {"duplicate_keys": "count"}
    source = trained.source("table.parquet")
    whole, cut = (
        trained.predict(source, chunks=chunks, primary_key=key, policies=policies, outputs=["proba:yes"])
        for chunks in (1, 4)
    )
    assert whole.column_names == [*key, "y_proba_yes"]
    assert whole.equals(cut)
    usual = trained.predict(source, outputs=["proba:yes"])
    assert whole["y_proba_yes"].equals(usual["y_proba_yes"])


def test_a_key_that_training_did_not_have_is_read_as_the_source_says(trained: Workbench) -> None:
    table = pq.read_table(f"{trained.root}/table.parquet".removeprefix("file://")).drop_columns(["key", "y"])
    table = table.append_column("household", pa.array(range(900, 1800), pa.int32()))
    for name, kind in (("new.parquet", pa.int32()), ("new.csv", pa.string())):
        found = trained.predict(trained.write(table, name), chunks=3, primary_key=["household"])
        assert found["household"].to_pylist() == pa.array(range(900, 1800)).cast(kind).to_pylist()
    twice = trained.write(pa.concat_tables([table, table.slice(0, 1)]), "twice.parquet")
    plan, _ = trained.plan(twice, primary_key=["household"])
    result = trained.run_chunk(plan)
    assert result.error is not None
    assert [problem.kind for problem in result.error.problems] == ["duplicate_key"]
