from __future__ import annotations

from inspect import signature

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.frames import estimator_input, to_frame
from airflow_sklearn.models.preprocessing import TablePreprocessor
from airflow_sklearn.models.schema import learn_features

TEXT = "str" if "na_value" in signature(pd.StringDtype).parameters else "string"  # as pandas before 2.3 writes it
DTYPES = {
    "distance": "float64",
    "seats": "float64",
    "insured": "float64",
    "city": TEXT,
    "carrier": TEXT,
    "leaves": "datetime64[us]",
    "built": "datetime64[us]",
}


@pytest.mark.parametrize("rows", ["all", "none", "nulls"])
def test_dtypes_do_not_depend_on_the_rows(table: pa.Table, rows: str) -> None:
    features = learn_features(table)
    if rows == "none":
        table = table.slice(0, 0)
    if rows == "nulls":
        table = pa.table({field.name: pa.nulls(3, field.type) for field in table.schema})
    assert {name: str(dtype) for name, dtype in to_frame(table, features).dtypes.items()} == DTYPES


def test_a_null_string_is_nan_and_an_empty_one_is_not(table: pa.Table) -> None:
    frame = to_frame(table, learn_features(table))
    assert not any(value is pd.NA for value in frame["city"])
    assert frame["city"].isna().sum() == table["city"].null_count
    assert (frame["city"] == "").sum() == table["city"].to_pylist().count("")


def test_columns_are_put_into_training_order(table: pa.Table) -> None:
    features = learn_features(table)
    shuffled = table.select(list(reversed(table.schema.names))).append_column("extra", pa.nulls(len(table)))
    pd.testing.assert_frame_equal(to_frame(shuffled, features), to_frame(table, features))


def test_a_zoned_time_becomes_utc() -> None:
    table = pa.table({"t": pa.array([3_600], pa.timestamp("s", tz="Asia/Tokyo"))})
    assert to_frame(table, learn_features(table))["t"].tolist() == [pd.Timestamp("1970-01-01 01:00")]


def test_all_missing_columns_are_named(table: pa.Table) -> None:
    with pytest.raises(UserError, match=r"\['seats', 'city'\]"):
        to_frame(table.drop_columns(["city", "seats"]), learn_features(table))


def test_all_columns_that_do_not_convert_are_named(table: pa.Table) -> None:
    words = pa.array(["word"] * len(table))
    broken = table.set_column(0, "distance", words).set_column(1, "seats", words)
    with pytest.raises(UserError, match=r"'distance'.*'seats'"):
        to_frame(broken, learn_features(table))


def test_arrow_is_handed_only_to_those_that_take_it(table: pa.Table) -> None:
    features = learn_features(table)
    assert isinstance(estimator_input(LogisticRegression(), table, features), pd.DataFrame)
    taken = estimator_input(make_pipeline(TablePreprocessor(), LogisticRegression()), table, features)
    assert isinstance(taken, pa.Table)


def test_integers_become_doubles(table: pa.Table) -> None:
    assert np.array_equal(to_frame(table, learn_features(table))["seats"], table["seats"].to_numpy().astype(float))
