"""The parity sample is an object of its own: the manifest shows no training row, and pins the rows by their digest."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from airflow_sklearn.contract.model import ModelManifest
from airflow_sklearn.exceptions import BrokenEnvironmentError
from airflow_sklearn.runs.model_store import find_version
from airflow_sklearn.worker.parity import SAMPLE_ROWS, replay, store_sample, with_sample
from tests.worker.workbench import Workbench

ROWS = 100
REGRESSOR = "sklearn.tree:DecisionTreeRegressor"


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(f"file://{tmp_path}")


@pytest.fixture
def model(bench: Workbench) -> ModelManifest:
    """A tree that has learned each row by heart: its predictions are the targets."""
    x = [1000.125 + number for number in range(ROWS)]
    y = [770000.25 + number for number in range(ROWS)]
    table = pa.table({"key": pa.array(range(ROWS)), "x": x, "y": y})
    return bench.train(bench.write(table, "train.csv"), REGRESSOR, preprocessing="none")


def test_no_training_row_is_in_the_manifest(bench: Workbench, model: ModelManifest) -> None:
    text = model.to_json().decode()
    middle = range(1, ROWS - 1)  # ranges of features are the schema's
    assert [number for number in middle if str(1000.125 + number) in text] == []
    assert [number for number in middle if str(770000.25 + number) in text] == []
    sample = with_sample(bench.storage, model).parity
    assert len(sample.columns["x"]) == len(sample.predictions[0]) == SAMPLE_ROWS


def test_the_sample_is_replayed_from_its_object(bench: Workbench, model: ModelManifest) -> None:
    whole = with_sample(bench.storage, model)
    assert replay(bench.estimator(model), whole, model.parity.outputs) == 0.0
    assert with_sample(bench.storage, whole) == whole


def test_a_sample_that_was_changed_is_not_replayed(bench: Workbench, model: ModelManifest) -> None:
    assert model.parity_object
    bench.storage.write(model.parity_object.uri, bench.storage.read(model.parity_object.uri) + b" ")
    with pytest.raises(BrokenEnvironmentError, match="was changed or damaged"):
        with_sample(bench.storage, model)


def test_a_sample_that_is_gone_stops_predictions_and_the_model_is_trained_anew(
    bench: Workbench, model: ModelManifest
) -> None:
    assert model.parity_object
    assert find_version(bench.storage, model.model, model.version)
    bench.storage.delete([model.parity_object.uri])
    plan, _ = bench.plan(bench.source("train.csv"))
    result = bench.run_chunk(plan)
    assert result.error
    assert "clear the train task" in result.error.message
    assert find_version(bench.storage, model.model, model.version) is None


def test_equal_samples_are_one_object(bench: Workbench, model: ModelManifest) -> None:
    sample = with_sample(bench.storage, model).parity
    assert store_sample(bench.storage, sample, f"{bench.root}/a")[1].sha256 == model.parity_object.sha256  # type: ignore[union-attr]
