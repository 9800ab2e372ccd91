from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.arrow_types import parse_type
from airflow_sklearn.worker.data.types import is_text

FLAT_TYPES = [
    pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.bool_(), pa.string(), pa.large_string(),
    pa.binary(), pa.binary(16), pa.date32(), pa.date64(), pa.time32("s"), pa.time64("us"), pa.duration("us"),
    pa.timestamp("ns"), pa.timestamp("us", tz="Europe/Berlin"), pa.decimal128(10, 2), pa.decimal256(50, -3), pa.null(),
    pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.timestamp("us", tz="UTC"), ordered=True),
]  # fmt: skip


@pytest.mark.parametrize("data_type", FLAT_TYPES, ids=str)
def test_a_type_comes_back_from_its_name(data_type: pa.DataType) -> None:
    assert parse_type(str(data_type)) == data_type


@pytest.mark.parametrize("text", ["", "integer number", "list<item: int64>", "timestamp[us, tz=UTC"])
def test_other_names_are_refused_with_examples(text: str) -> None:
    with pytest.raises(UserError, match="int64, double"):
        parse_type(text)


def test_strings_of_any_layout_are_text() -> None:
    assert is_text(pa.string())
    assert is_text(pa.dictionary(pa.int32(), pa.large_string()))
    assert not is_text(pa.binary())
