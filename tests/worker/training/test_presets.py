"""Presets and preprocessing through real jobs: what is trained predicts the same bits however the source is cut."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_sklearn.contract.model import FactoryEstimator
from airflow_sklearn.contract.schema import Policies
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.presets import PRESETS
from tests.models.test_presets import short
from tests.worker.workbench import Workbench, error_of

ROWS = 400


@pytest.fixture(scope="module")
def hard() -> pa.Table:
    """Strings, nulls, dates, many levels, text; names with spaces, quotes, unicode and words of SQL."""
    random = np.random.default_rng(0)
    city = random.choice(["Köln", "O'Hara", "", "New York"], ROWS)
    number = random.normal(size=ROWS)
    label = np.where(number + (city == "Köln") + random.normal(0, 0.3, ROWS) > 0.4, "good", "bad")
    label = np.where(random.random(ROWS) < 0.1, 'so "so"', label)
    words = random.choice(["red", "blue", "old", "new"], (ROWS, 2))
    moments = [dt.datetime(2020, 1, 1) + dt.timedelta(hours=int(hour)) for hour in random.integers(0, 9999, ROWS)]
    return pa.table(
        {
            "key": np.arange(ROWS),
            "a number": pa.array(number, mask=random.random(ROWS) < 0.1),
            'the "city"': pa.array(city, mask=random.random(ROWS) < 0.1),
            "select": random.choice([f"level {i}" for i in range(120)], ROWS),
            "größe": pa.array(moments),
            "note": [f"{one} {other} {row} x" for row, (one, other) in enumerate(words)],
            "y": label,
            "amount": number * 3 + (city == "Köln"),
        }
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_predicts_the_same_bits_over_any_cut(name: str, bench: Workbench, hard: pa.Table) -> None:
    source = bench.write(hard, "train.parquet")
    target, other = ("amount", "y") if name.endswith("regressor") else ("y", "amount")
    bench.train(
        source,
        name,
        params=short(name),
        target=target,
        excluded_columns=(other,),
        preprocessing_params={"max_levels": 100},
    )
    whole = bench.predict(source, chunks=1)
    assert whole.num_rows == ROWS
    for chunks in (7, 100) if name == "sparse_logistic" else (7,):
        assert bench.predict(source, chunks=chunks).sort_by("key").equals(whole.sort_by("key"))


def test_a_factory_replaces_a_presets_preprocessing(bench: Workbench, hard: pa.Table) -> None:
    source = bench.write(hard.select(["key", "a number", "y"]), "train.parquet")
    manifest = bench.train(
        source,
        "hist_gradient_boosting_classifier",
        params={"max_iter": 3},
        preprocessing="default",
        transformer=FactoryEstimator(path="sklearn.preprocessing:StandardScaler", params={"with_mean": False}),
    )
    pipeline = bench.estimator(manifest)
    assert type(pipeline[0]).__name__ == "StandardScaler"
    assert bench.predict(source, chunks=7).num_rows == ROWS


def levels(bench: Workbench, values: list[Any], name: str) -> Any:
    table = pa.table({"key": range(len(values)), "city": values, "n": [0.0, 1.0] * (len(values) // 2)})
    return bench.write(table.append_column("y", pa.array([value == "rich" for value in values])), name)


CITIES = ["rich", "poor"] * 30 + [f"once {i}" for i in range(20)]


def test_the_policy_for_unseen_levels_counts_them_or_gives_them_a_level_or_refuses(bench: Workbench) -> None:
    source = levels(bench, CITIES, "train.parquet")
    manifest = bench.train(source, params={"C": 1.0}, policies=Policies(unseen_levels="level"))
    assert bench.estimator(manifest)[0].other_levels_ == ["city"]
    unseen = levels(bench, ["brand new", "rich"], "unseen.parquet")
    plan, _ = bench.plan(unseen)
    assert bench.run_chunk(plan).status == "succeeded"
    assert bench.receipt(plan).sketches["city"].unseen_levels == 1
    refused, _ = bench.plan(unseen, policies={"unseen_levels": "error"})
    assert "values that training did not have" in error_of(bench.run_chunk(refused))


def test_a_level_for_unseen_values_must_have_been_trained(bench: Workbench) -> None:
    source = levels(bench, CITIES, "train.parquet")
    bench.train(source)
    with pytest.raises(UserError, match="trained without a level"):
        bench.plan(source, policies={"unseen_levels": "level"})
