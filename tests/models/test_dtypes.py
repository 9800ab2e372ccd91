"""Whatever pandas reads from a file, an estimator is handed; in every batch."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_sklearn.contract.schema import Feature
from airflow_sklearn.models.dtypes import FILE_FORMAT, STORED_TYPE, pandas_index, same_dtypes
from airflow_sklearn.models.frames import to_frame
from airflow_sklearn.models.schema import learn_features

SIZES = pd.CategoricalDtype(["small", "medium", "large", "none has it"], ordered=True)
DAY, MOMENT = dt.date(1969, 12, 31), dt.datetime(1969, 12, 31, 23, 59, 59, 1)

COLUMNS: dict[str, Any] = {
    "whole": [1, 2, 3],
    "whole with nulls": pa.array([1, None, 3]),
    "narrow": pa.array([1, 2, 3], pa.int8()),
    "unsigned": pa.array([1, 2, 2**64 - 1], pa.uint64()),
    "large": pa.array([2**53 + 1, 2, 3]),
    "single": pa.array([0.1, None, 0.3], pa.float32()),
    "half": pa.array(np.array([0.5, 1, 2], np.float16)),
    "flag": [True, False, True],
    "flag with nulls": [True, None, False],
    "text": ["x", None, ""],
    # Old versions of Arrow do not write the type.
    "view": pa.array(["x", "y", "z"], pa.string_view() if int(pa.__version__.split(".")[0]) >= 26 else pa.string()),
    "wide text": pa.array(["x", "y", None], pa.large_string()),
    "encoded": pa.array(["y", "x", None]).dictionary_encode(),
    "day": pa.array([DAY, None, DAY]),
    "millisecond": pa.array([MOMENT, None, MOMENT], pa.timestamp("us")).cast(pa.timestamp("ms"), safe=False),
    "moment": pa.array([MOMENT, None, MOMENT], pa.timestamp("us")),
    "nanosecond": pa.array([-1, None, 1], pa.timestamp("ns")),
    "zoned": pa.array([MOMENT, None, MOMENT], pa.timestamp("us", "Europe/Rome")),
    "zoned nanosecond": pa.array([-1, None, 1], pa.timestamp("ns", "UTC")),
    "price": pa.array([Decimal("1.50"), None, Decimal("-0.05")], pa.decimal128(10, 2)),
    "nothing": pa.nulls(3),
}
FRAME = pd.DataFrame(
    {
        "size": pd.Categorical(["large", "small", None], dtype=SIZES),
        "color": pd.Categorical(["red", "blue", "red"], ["red", "green", "blue"]),
        "plan": pd.Categorical([30, 10, 30]),
        "masked": pd.array([1, None, 3], dtype="Int64"),
        "masked float": pd.array([0.5, None, 3], dtype="Float32"),
        "masked flag": pd.array([True, None, False], dtype="boolean"),
        "string": pd.array(["x", None, "z"], dtype="string"),
        "arrow": pd.array([1, None, 3], dtype="int64[pyarrow]"),
        "arrow flag": pd.array([True, None, False], dtype="bool[pyarrow]"),
        "objects": [True, None, False],
    }
)


def read(path: Path, table: pa.Table) -> tuple[pa.Table, pd.DataFrame]:
    pq.write_table(table, path / "t.parquet", row_group_size=2)
    return pq.read_table(path / "t.parquet"), pd.read_parquet(path / "t.parquet")


@pytest.mark.parametrize("table", [pa.table(COLUMNS), pa.Table.from_pandas(FRAME)], ids=["arrow", "pandas"])
def test_a_frame_is_the_one_that_pandas_reads(tmp_path: Path, table: pa.Table) -> None:
    stored, expected = read(tmp_path, table)
    features = learn_features(stored, as_pandas=True)
    pd.testing.assert_frame_equal(to_frame(stored, features), expected, check_freq=False)
    assert tuple(Feature.model_validate_json(f.model_dump_json()) for f in features) == features


def test_dtypes_do_not_depend_on_the_rows(tmp_path: Path) -> None:
    for table in (pa.table(COLUMNS), pa.Table.from_pandas(FRAME)):
        stored, expected = read(tmp_path, table)
        features = learn_features(stored, as_pandas=True)
        for row in range(3):
            one = to_frame(stored.slice(row, 1), features)
            pd.testing.assert_series_equal(one.dtypes, expected.dtypes)
            pd.testing.assert_frame_equal(one, expected.iloc[[row]].reset_index(drop=True), check_freq=False)
        pd.testing.assert_series_equal(to_frame(stored.slice(0, 0), features).dtypes, expected.dtypes)


def test_csv_is_what_read_csv_makes_of_it_with_its_dates_parsed() -> None:
    fields = [
        pa.field("day", pa.date32()),
        pa.field("zoned", pa.timestamp("us", "UTC")),
        pa.field("flag", pa.bool_()),
        pa.field("empty", pa.null()),
        pa.field("text", pa.dictionary(pa.int32(), pa.string()), metadata={STORED_TYPE: "string"}),
        pa.field("declared", pa.string(), metadata={STORED_TYPE: "dictionary<values=string, indices=int8, ordered=0>"}),
    ]
    columns = [
        pa.array([DAY, None]),
        pa.array([0, 1], fields[1].type),
        [True, None],
        [None, None],
        ["b", "a"],
        ["b", "a"],
    ]
    arrays = [
        pa.array(c).cast(f.type) if f.name != "text" else pa.array(c).dictionary_encode()
        for c, f in zip(columns, fields, strict=True)
    ]
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata={FILE_FORMAT: "csv"}))
    frame = to_frame(table, learn_features(table, as_pandas=True))
    assert [str(dtype) for dtype in frame.dtypes] == [
        "datetime64[us]", "datetime64[us, UTC]", "object", "float64", str(pd.Series(["a"]).dtype), "category",
    ]  # fmt: skip
    assert frame["flag"].tolist()[0] is True
    assert frame["flag"].tolist()[1] is np.nan
    assert frame["declared"].cat.categories.tolist() == ["a", "b"]


def test_a_category_that_training_did_not_have_is_null() -> None:
    table = pa.table({"c": pa.array(["a", "b"]).dictionary_encode()})
    (feature,) = learn_features(table, as_pandas=True)
    for given in (pa.array(["b", "new", None]), pa.array(["new", "b"]).dictionary_encode()):
        frame = to_frame(pa.table({"c": given}), [feature])
        assert frame["c"].cat.categories.tolist() == ["a", "b"]
        assert frame["c"].dropna().tolist() == ["b"]


@pytest.mark.parametrize(
    ("values", "categories"),
    [
        (pa.array([30, 10, 30]), [30, 10]),
        (pa.array([1.5, 1, None]), [1.5, 1.0]),
        (pa.array([True, False]), [True, False]),
        (pa.array([DAY, dt.date(2024, 2, 29)]), [DAY, dt.date(2024, 2, 29)]),
        (pa.array([MOMENT]), [pd.Timestamp(MOMENT)]),
    ],
)
def test_categories_keep_the_type_of_their_values(values: pa.Array, categories: list[Any]) -> None:
    table = pa.table({"c": values.dictionary_encode()})
    (feature,) = learn_features(table, as_pandas=True)
    assert feature.kind == "categorical"
    frame = to_frame(pa.table({"c": values}), [Feature.model_validate_json(feature.model_dump_json())])
    assert frame["c"].cat.categories.tolist() == categories
    pd.testing.assert_frame_equal(frame, table.to_pandas())


def test_rows_that_a_dtype_does_not_hold_go_apart_from_others() -> None:
    table = pa.table({"k": [1, 2, 3], "f": [True, False, True], "s": pa.array([1, 2, 3], pa.float32())})
    features = learn_features(table, as_pandas=True)
    doubles = pa.table({"k": [1.0, None, 2.5, 3.0], "f": [True, None, None, False], "s": [1.0, 2.0, 0.5, 1e300]})
    groups = [group.tolist() for group in same_dtypes(doubles, features)]
    assert sorted(groups) == [[0], [1, 2], [3]]
    assert to_frame(doubles.take([0]), features).dtypes.astype(str).tolist() == ["int64", "bool", "float32"]
    assert to_frame(doubles.take([1, 2]), features).dtypes.astype(str).tolist() == ["float64", "object", "float32"]
    assert to_frame(doubles.take([3]), features).dtypes.astype(str).tolist() == ["int64", "bool", "float64"]


def test_masked_integers_hold_nulls_but_no_fractions() -> None:
    table = pa.Table.from_pandas(FRAME[["masked", "arrow"]])
    features = learn_features(table, as_pandas=True)
    whole = pa.table({"masked": [1.0, None], "arrow": [float("nan"), 2.0]})
    assert [group.tolist() for group in same_dtypes(whole, features)] == [[0, 1]]
    assert to_frame(whole, features).dtypes.astype(str).tolist() == ["Int64", "int64[pyarrow]"]
    broken = pa.table({"masked": [1.5], "arrow": [2.5]})
    assert to_frame(broken, features).iloc[0].tolist() == [1.5, 2.5]


def test_the_index_of_a_frame_is_known() -> None:
    frame = pd.DataFrame({"x": [1, 2]})
    assert pandas_index(pa.Table.from_pandas(frame).schema) == []
    assert pandas_index(pa.Table.from_pandas(frame.set_axis([7, 3])).schema) == ["__index_level_0__"]
    assert pandas_index(pa.Table.from_pandas(frame.set_axis([7, 3]).rename_axis("row")).schema) == ["row"]
    assert pandas_index(pa.table({"x": [1]}).schema) == []
