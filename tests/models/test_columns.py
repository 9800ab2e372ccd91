from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from airflow_sklearn.models.columns import arrow_columns, codes, count_levels, kind_of, microseconds, numbers

LEVELS = ["", "a", "b"]
VALUES = ["b", None, "a", "new", "", "b"]
CODES = [2, 3, 1, 4, 0, 2]


def with_null_in_dictionary() -> pa.Array:
    return pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 2, 3, 4, 0], pa.int8()), pa.array(["b", None, "a", "new", ""])
    )


@pytest.mark.parametrize(
    "column",
    [
        pa.array(VALUES),
        pa.array(VALUES, pa.large_string()),
        pa.array(VALUES).dictionary_encode(),
        pa.chunked_array([pa.array(VALUES[:2]).dictionary_encode(), pa.array(VALUES[2:]).dictionary_encode()]),
        with_null_in_dictionary(),
        pa.array(pd.Series(VALUES)),
        pa.array(pd.Series(VALUES, dtype="category"), from_pandas=True),
    ],
    ids=["string", "large", "dictionary", "dictionaries that differ", "null in dictionary", "pandas", "categorical"],
)
def test_codes_are_the_same_however_strings_are_stored(column: pa.Array) -> None:
    assert codes(column, LEVELS).tolist() == CODES


def test_codes_of_many_levels_with_narrow_indices() -> None:
    levels = [f"{i:03d}" for i in range(128)]
    column = pa.DictionaryArray.from_arrays(pa.array([127, None, 0], pa.int8()), pa.array(levels))
    assert codes(column, levels).tolist() == [127, 128, 0]


def test_codes_of_no_rows_and_of_all_nulls() -> None:
    assert codes(pa.chunked_array([], pa.string()), LEVELS).tolist() == []
    assert codes(pa.nulls(2, pa.string()), LEVELS).tolist() == [3, 3]


def test_numbers_are_float64_with_nan_for_null() -> None:
    for column in [pa.array([1, None], pa.int8()), pa.array([True, None]), pa.chunked_array([[1.0], [None]])]:
        found = numbers(column)
        assert found.dtype == np.float64
        assert found[0] == 1.0
        assert np.isnan(found[1])


def test_integers_past_double_precision_are_rounded() -> None:
    assert numbers(pa.array([2**53 + 1])).tolist() == [float(2**53)]


def test_microseconds_are_utc() -> None:
    zoned = pa.array([0, None], pa.timestamp("s", tz="America/New_York"))
    values, nulls = microseconds(zoned)
    assert values.tolist() == [0, 0]
    assert nulls.tolist() == [False, True]


def test_levels_are_counted_over_chunks_without_nulls() -> None:
    chunks = pa.chunked_array([pa.array(["a", None, "b"]).dictionary_encode(), pa.array(["b"]).dictionary_encode()])
    assert count_levels(chunks) == {"a": 1, "b": 2}


def test_unused_dictionary_values_are_no_levels() -> None:
    assert count_levels(pa.DictionaryArray.from_arrays(pa.array([0]), pa.array(["used", "unused"]))) == {"used": 1}


def test_a_frame_keeps_its_numbers_in_place() -> None:
    frame = pd.DataFrame({"x": np.array([1.0, np.nan])})
    assert np.shares_memory(numbers(arrow_columns(frame)["x"]), frame["x"].to_numpy())


def test_object_columns_are_what_they_hold() -> None:
    frame = pd.DataFrame({"flag": np.array([True, None], object), "word": np.array(["a", None], object)})
    assert [kind_of(column.type) for column in arrow_columns(frame).values()] == ["boolean", "string"]


def test_a_column_of_mixed_types_is_named() -> None:
    with pytest.raises(TypeError, match="'mixed'"):
        arrow_columns(pd.DataFrame({"mixed": np.array([1, "a"], object)}))


def test_columns_of_the_same_name_are_refused() -> None:
    with pytest.raises(ValueError, match="more than once"):
        arrow_columns(pa.table([[1], [2]], names=["x", "x"]))


def test_a_matrix_is_no_table() -> None:
    with pytest.raises(TypeError, match="ndarray"):
        arrow_columns(np.zeros((2, 2)))


def test_numbered_columns_are_refused() -> None:
    with pytest.raises(TypeError, match="strings"):
        arrow_columns(pd.DataFrame({0: [1]}))
