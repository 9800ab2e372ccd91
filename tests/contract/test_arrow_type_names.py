from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_sklearn.contract.arrow_type_names import portable_type


@pytest.mark.parametrize(
    "kind",
    [
        pa.bool_(),
        pa.int16(),
        pa.int32(),
        pa.int64(),
        pa.float32(),
        pa.float64(),
        pa.string(),
        pa.date32(),
        pa.timestamp("us"),
        pa.decimal128(38, 0),
        pa.decimal128(38, 38),
        pa.decimal128(10, 2),
    ],
    ids=str,
)
def test_portable_types_are_written_as_they_are(kind: pa.DataType) -> None:
    assert portable_type(str(kind)) == str(kind)


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        (pa.int8(), pa.int16()),
        (pa.uint8(), pa.int16()),
        (pa.uint16(), pa.int32()),
        (pa.uint32(), pa.int64()),
        (pa.uint64(), pa.decimal128(20, 0)),
        (pa.float16(), pa.float32()),
        (pa.large_string(), pa.string()),
        (pa.string_view(), pa.string()),
        (pa.dictionary(pa.int32(), pa.string()), pa.string()),
        (pa.dictionary(pa.int8(), pa.large_string(), ordered=True), pa.string()),
        (pa.date64(), pa.date32()),
        (pa.timestamp("s"), pa.timestamp("us")),
        (pa.timestamp("ms"), pa.timestamp("us")),
        (pa.timestamp("ns"), pa.timestamp("us")),
        (pa.timestamp("us", "UTC"), pa.timestamp("us")),
        (pa.timestamp("ns", "Europe/Berlin"), pa.timestamp("us")),
        (pa.timestamp("s", "+02:00"), pa.timestamp("us")),
    ],
    ids=str,
)
def test_a_type_that_is_not_portable_is_written_as_one_that_holds_its_values(
    kind: pa.DataType, written: pa.DataType
) -> None:
    assert portable_type(str(kind)) == str(written)


@pytest.mark.parametrize(
    "kind",
    [
        pa.null(),
        pa.binary(),
        pa.binary(16),
        pa.time32("s"),
        pa.time64("us"),
        pa.duration("s"),
        pa.decimal256(60, 2),
        pa.decimal128(10, -2),
        pa.list_(pa.int64()),
        pa.struct([("a", pa.int64())]),
        pa.dictionary(pa.int32(), pa.int64()),
        pa.dictionary(pa.int32(), pa.binary()),
    ],
    ids=str,
)
def test_a_type_without_a_portable_one_for_its_values_has_none(kind: pa.DataType) -> None:
    assert portable_type(str(kind)) is None


@pytest.mark.parametrize("text", ["", "int", "int64 ", "timestamp[us", "decimal128(39, 0)", "decimal128(4, 5)"])
def test_what_is_no_type_has_no_portable_one(text: str) -> None:
    assert portable_type(text) is None
