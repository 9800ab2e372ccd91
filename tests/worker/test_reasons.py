"""Which features moved a row's score most: exact, and the same over any cut."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from airflow_sklearn.contract.explanation import ModelExplanation
from airflow_sklearn.exceptions import UserError
from tests.worker.training.test_explanation import table
from tests.worker.workbench import Workbench, error_of

ALL = 4  # features


@pytest.mark.parametrize("estimator", ["sparse_logistic", "tests.worker.training.test_explanation:users_own"])
def test_effects_add_up_to_the_score_and_are_the_same_over_any_cut(bench: Workbench, estimator: str) -> None:
    source = bench.write(table(), "table.parquet")
    manifest = bench.train(source, estimator)
    assert manifest.explained == {"y": "linear"}
    whole, cut, small = (bench.predict(source, chunks=c, outputs=["decision"], explain=ALL) for c in (1, 7, 40))
    assert whole.equals(cut)
    assert whole.equals(small)
    assert whole.column_names[:4] == ["key", "y_decision", "y_reason_1", "y_effect_1"]
    assert manifest.explanation_object is not None
    found = ModelExplanation.from_json(bench.storage.read(manifest.explanation_object.uri)).targets[0]
    average = found.intercepts[0] + sum(column.mean * column.coefficients[0] for column in found.columns)
    effects = np.column_stack([whole[f"y_effect_{n}"].fill_null(0.0) for n in range(1, ALL + 1)])
    assert average + effects.sum(axis=1) == pytest.approx(whole["y_decision"].to_numpy(), abs=1e-9)
    assert (np.diff(np.abs(effects), axis=1) <= 0).all(), "the strongest comes first"
    assert set(whole["y_reason_1"].to_pylist()) <= {"strong", "weak", "noise", "the city"}


def test_a_number_is_explained_beside_its_prediction(bench: Workbench) -> None:
    source = bench.write(table(), "table.parquet")
    bench.train(source, "sparse_ridge_regressor", target="weak")
    found = bench.predict(source, chunks=3, explain=1)
    assert found.column_names == ["key", "weak_pred", "weak_reason_1", "weak_effect_1"]


def test_of_several_classes_the_highest_is_explained(bench: Workbench) -> None:
    rows = table()
    source = bench.write(rows, "table.parquet")
    manifest = bench.train(source, "sparse_logistic", target="the city", params={"C": 1.0})
    whole, cut = (bench.predict(source, chunks=c, outputs=["pred", "decision"], explain=ALL) for c in (1, 9))
    assert whole.equals(cut)
    assert manifest.explanation_object is not None
    found = ModelExplanation.from_json(bench.storage.read(manifest.explanation_object.uri)).targets[0]
    assert found.outputs == ("Lima", "Oslo", "Rome")
    averages = np.array(found.intercepts) + sum(
        column.mean * np.array(column.coefficients) for column in found.columns if column.coefficients
    )
    classes = [found.outputs.index(label) for label in whole["the city_pred"].to_pylist()]
    effects = np.column_stack([whole[f"the city_effect_{n}"].fill_null(0.0) for n in range(1, ALL + 1)]).sum(axis=1)
    decisions = np.column_stack([whole[f"the city_decision_{label}"] for label in found.outputs])
    assert averages[classes] + effects == pytest.approx(decisions[np.arange(len(classes)), classes], abs=1e-9)


def test_a_changed_explanation_is_not_used(bench: Workbench) -> None:
    source = bench.write(table(), "table.parquet")
    manifest = bench.train(source)
    assert manifest.explanation_object is not None
    plan, _ = bench.plan(source, explain=1)
    bench.storage.write(manifest.explanation_object.uri, b"{}")
    assert "explanation is gone, or was changed after training" in error_of(bench.run_chunk(plan))


@pytest.mark.parametrize("estimator", ["pairs", "mixed"])
def test_what_cannot_be_explained_exactly_is_refused_when_it_is_planned(bench: Workbench, estimator: str) -> None:
    source = bench.write(table().slice(0, 100), "table.parquet")
    bench.train(source, f"tests.worker.training.test_explanation:{estimator}", cross_validation=0)
    with pytest.raises(UserError, match="is not explained row by row"):
        bench.plan(source, explain=2)


def test_a_table_without_rows_has_the_columns_all_the_same(bench: Workbench) -> None:
    bench.train(bench.write(table(), "table.parquet"))
    empty = bench.predict(bench.write(table().slice(0, 0), "empty.parquet"), explain=1)
    assert empty.column_names[-2:] == ["y_reason_1", "y_effect_1"]
    assert empty.schema.field("y_effect_1").type == pa.float64()
