"""Columns that alone tell the target are found, whatever their shape and type; good predictors and keys are not."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from airflow_sklearn.models.leakage import SUSPICIOUS, tell_alone

N = 2_000
RANDOM = np.random.default_rng(0)
NOISE = RANDOM.normal(size=N)


def suspicious(columns: dict[str, object], y: np.ndarray, has_classes: bool) -> set[str]:
    scores = tell_alone(pa.table(columns), y, has_classes)
    return {name for name, score in scores.items() if score > SUSPICIOUS}


def test_columns_that_tell_a_class_are_found_in_any_shape() -> None:
    y = np.where(NOISE > 0.5, "yes", "no").astype(object)
    days = np.datetime64("2026-01-01") + np.arange(N)
    columns = {
        "opposite": -NOISE,
        "in the middle": np.where(y == "yes", NOISE % 1 + 5, NOISE * 10 + np.sign(NOISE) * 20),
        "only then there": pa.array(days, mask=y == "no"),
        "flag": y == "yes",
        "reason": pa.array(np.where(y == "yes", np.take(["a", "b"], np.arange(N) % 2), "c")).dictionary_encode(),
        "key": [f"row {i}" for i in range(N)],
        "number": np.arange(N),
        "noise": RANDOM.normal(size=N),
        "good": NOISE + RANDOM.normal(size=N) * 0.3,
        "nothing": pa.nulls(N),
        "name": pa.array(np.take(["x", "y", None], np.arange(N) % 3)),
    }
    assert suspicious(columns, y, True) == {"opposite", "in the middle", "only then there", "flag", "reason"}


def test_a_column_that_tells_every_one_of_several_classes_is_found() -> None:
    y = np.arange(N) % 4
    columns = {"code": [f"c{label}" for label in y], "one of them": y == 2}
    assert suspicious(columns, y, True) == {"code"}


def test_numbers_in_another_unit_are_found_though_a_few_are_huge() -> None:
    y = np.exp(3 * NOISE)
    columns = {
        "miles": y / 1.609,
        "logarithm": NOISE,
        "few": pa.array(y, mask=np.arange(N) > 30),
        "noise": RANDOM.normal(size=N),
        "group": [f"g{i % 7}" for i in range(N)],
    }
    assert "miles" in suspicious(columns, y, False)
    assert suspicious(columns, NOISE, False) == {"miles", "logarithm"}
    assert not suspicious({name: columns[name] for name in ("few", "noise", "group")}, y, False)


def test_a_rare_class_is_looked_at_with_all_its_rows() -> None:
    y = np.zeros(30_000, bool)
    y[:40] = True
    columns = {"tells": y + RANDOM.normal(size=len(y)) * 0.01, "noise": RANDOM.normal(size=len(y))}
    assert suspicious(columns, y, True) == {"tells"}


def test_good_columns_of_real_tables_are_not_suspected() -> None:
    for load, has_classes in ((load_iris, True), (load_breast_cancer, True), (load_diabetes, False)):
        frame = load(as_frame=True)
        table = pa.Table.from_pandas(frame.data, preserve_index=False)
        assert not suspicious(
            dict(zip(table.column_names, table.columns, strict=True)), frame.target.to_numpy(), has_classes
        )


def test_too_few_rows_say_nothing() -> None:
    assert tell_alone(pa.table({"x": [0, 1] * 5}), np.array([0, 1] * 5), True) == {}
    assert tell_alone(pa.table({"x": [0] * 50}), np.array(["a"] * 50, object), True) == {}
