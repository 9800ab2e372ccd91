from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.worker.data.output_types import OutputTypes


def written(values: pa.Array, target: pa.DataType) -> tuple[pa.ChunkedArray, ProblemCollector]:
    problems = ProblemCollector()
    types = OutputTypes({"c": str(target)}, {"c": values.type})
    found = types.convert("c", pa.chunked_array([values[:1], values[1:]]), file="f.parquet", problems=problems)
    assert found.type == types.of("c", values.type) == target
    return found, problems


@pytest.mark.parametrize(
    ("values", "target", "expected"),
    [
        (pa.array([-128, None, 127], pa.int8()), pa.int16(), [-128, None, 127]),
        (pa.array([0, None, 2**32 - 1], pa.uint32()), pa.int64(), [0, None, 2**32 - 1]),
        (pa.array([0, None, 2**64 - 1], pa.uint64()), pa.decimal128(20, 0), [Decimal(0), None, Decimal(2**64 - 1)]),
        (pa.array([-5, None, 99]), pa.decimal128(4, 2), [Decimal("-5.00"), None, Decimal("99.00")]),
        (pa.array([-(2**63), None, 2**53 + 1]), pa.string(), ["-9223372036854775808", None, "9007199254740993"]),
        (pa.array([1, None, 300]), pa.int16(), [1, None, 300]),
        (pa.array([1, None, 2**53]), pa.float64(), [1.0, None, 2.0**53]),
        (pa.array([True, None, False]), pa.int16(), [1, None, 0]),
        (pa.array([True, None, False]), pa.decimal128(3, 1), [Decimal("1.0"), None, Decimal("0.0")]),
        (pa.array(np.array([1.5, 0.25], np.float16)), pa.float32(), [1.5, 0.25]),
        (pa.array([1.5, None, float("inf")]), pa.float32(), [1.5, None, float("inf")]),
        (pa.array(["a", None, ""], pa.large_string()), pa.string(), ["a", None, ""]),
        (pa.array(["a", None, ""]).dictionary_encode(), pa.string(), ["a", None, ""]),
        (pa.array([Decimal("1.50"), None], pa.decimal128(10, 2)), pa.decimal128(5, 1), [Decimal("1.5"), None]),
        (pa.array([Decimal("7"), None], pa.decimal128(20, 0)), pa.int64(), [7, None]),
        (pa.array([dt.date(1969, 12, 31), None], pa.date64()), pa.date32(), [dt.date(1969, 12, 31), None]),
        (pa.array([dt.date(2020, 1, 2), None]), pa.timestamp("us"), [dt.datetime(2020, 1, 2), None]),
        (pa.array([0, None, -1], pa.timestamp("s")), pa.timestamp("us"), [0, None, -1_000_000]),
        (pa.array([1_999, None, -1], pa.timestamp("ns")), pa.timestamp("us"), [1, None, -1]),
        (pa.array([0, None], pa.timestamp("us", "Asia/Tokyo")), pa.timestamp("us"), [0, None]),
        (pa.array([1_500, None], pa.timestamp("ns", "America/New_York")), pa.timestamp("us"), [1, None]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else str(value),
)
def test_values_are_written_as_the_other_type(values: pa.Array, target: pa.DataType, expected: list[Any]) -> None:
    found, problems = written(values, target)
    if pa.types.is_timestamp(values.type):
        found = found.cast(pa.int64())
    assert found.to_pylist() == expected
    assert not problems


@pytest.mark.parametrize(
    ("values", "target", "misfits"),
    [
        (pa.array([1, 32_768, None, -40_000, 32_768]), pa.int16(), ["32768", "-40000"]),
        (pa.array([1, 2**63], pa.uint64()), pa.int64(), [str(2**63)]),
        (pa.array([99, 100]), pa.decimal128(4, 2), ["100"]),
        (pa.array([2**53, 2**53 + 1]), pa.float64(), [str(2**53 + 1)]),
        (pa.array([1.5, 0.1, float("nan")]), pa.float32(), ["0.1"]),
        (pa.array([Decimal("1.50"), Decimal("1.55")], pa.decimal128(10, 2)), pa.decimal128(5, 1), ["1.55"]),
        (pa.array([Decimal("1"), Decimal("1.5")], pa.decimal128(10, 1)), pa.int64(), ["1.5"]),
        (pa.array([0, 2**60], pa.timestamp("s")), pa.timestamp("us"), ["<value out of range: 1152921504606846976>"]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else str(value),
)
def test_values_that_do_not_fit_are_counted_and_named(
    values: pa.Array, target: pa.DataType, misfits: list[str]
) -> None:
    found, problems = written(values, target)
    (problem,) = problems.problems()
    assert (problem.kind, problem.column, problem.file) == ("does_not_fit", "c", "f.parquet")
    assert list(problem.examples) == misfits
    assert problem.count == sum(str(v) in misfits for v in values.cast(pa.string()).to_pylist())
    assert found.null_count == values.null_count + problem.count


def test_columns_that_are_not_named_stay_the_very_arrays_they_are() -> None:
    types = OutputTypes({"c": "int64", "d": "int64"}, {"b": pa.binary(), "c": pa.int64(), "d": pa.int32()})
    for name, kind in (("b", pa.binary()), ("c", pa.int64())):
        values = pa.chunked_array([], kind)
        assert types.convert(name, values, file="", problems=ProblemCollector()) is values
        assert types.of(name, kind) == kind


def test_all_columns_that_cannot_be_written_so_are_named_at_once() -> None:
    found = {"text": pa.string(), "number": pa.float64(), "ok": pa.int8()}
    with pytest.raises(UserError) as caught:
        OutputTypes({"text": "int64", "number": "decimal128(10, 2)", "ok": "int64", "gone": "int64"}, found)
    for fault in ("'text' holds string", "'number' holds double", "no column 'gone'"):
        assert fault in str(caught.value)
    assert "'ok'" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (pa.string(), pa.int64()),
        (pa.float64(), pa.decimal128(10, 2)),
        (pa.float64(), pa.int64()),
        (pa.float64(), pa.string()),
        (pa.timestamp("us"), pa.date32()),
        (pa.int64(), pa.bool_()),
        (pa.int64(), pa.timestamp("us")),
        (pa.binary(), pa.string()),
        (pa.decimal128(10, 2), pa.float64()),
    ],
    ids=str,
)
def test_a_type_that_would_change_what_values_are_is_refused(source: pa.DataType, target: pa.DataType) -> None:
    with pytest.raises(UserError, match=r"holds .*, which is not written as"):
        OutputTypes({"c": str(target)}, {"c": source})
