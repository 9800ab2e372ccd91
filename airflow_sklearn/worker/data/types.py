"""Groups of Arrow types: those with the same values, those of text, and those that a flat table cannot have."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.arrow_types import parse_type


def in_words(data_type: pa.DataType) -> str:
    """A type's values in words for people: ``a whole number``, ``text``, ``a date``."""
    data_type = canonical(data_type)
    kinds = {
        "true or false": pa.types.is_boolean,
        "a whole number": pa.types.is_integer,
        "a number": lambda kind: pa.types.is_floating(kind) or pa.types.is_decimal(kind),
        "a date": pa.types.is_date,
        "a date with a time": pa.types.is_timestamp,
        "a time of day": pa.types.is_time,
        "text": is_text,
    }
    return next((words for words, is_kind in kinds.items() if is_kind(data_type)), str(data_type))


def null_count(column: pa.Array | pa.ChunkedArray) -> int:
    """The number of rows without a value. NaN counts as none, as in pandas."""
    nulls: int = column.null_count
    # A sum is faster than a test of each value, and is NaN if one of them is.
    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())  # Arrow cannot compute with half floats
    if pa.types.is_floating(column.type) and math.isnan(pc.sum(column).as_py() or 0.0):
        nulls += pc.sum(pc.is_nan(column)).as_py() or 0
    return nulls


def is_nested(data_type: pa.DataType) -> bool:
    """Whether a type is not flat: lists, structs, and others that ``parse_type`` does not know."""
    try:
        return parse_type(str(data_type)) != data_type
    except UserError:
        return True


def canonical(data_type: pa.DataType) -> pa.DataType:
    """The common type for all types of the same kind of values, since the files of one table may differ in widths."""
    data_type = plain_type(data_type)
    if pa.types.is_dictionary(data_type):
        return canonical(data_type.value_type)
    if pa.types.is_null(data_type) or is_text(data_type):
        return pa.string()
    if pa.types.is_integer(data_type):
        return data_type if pa.types.is_uint64(data_type) else pa.int64()
    if pa.types.is_floating(data_type):
        return pa.float64()
    return pa.timestamp("us", data_type.tz) if pa.types.is_timestamp(data_type) else data_type


def with_room(data_type: pa.DataType) -> pa.DataType:
    """The widest type whose values are spelled like this type's, so that narrower and wider files are read alike."""
    if pa.types.is_integer(data_type):
        return data_type if pa.types.is_uint64(data_type) else pa.int64()
    if pa.types.is_timestamp(data_type) and data_type.unit in ("s", "ms"):
        return pa.timestamp("us", data_type.tz)
    return data_type


def plain_type(data_type: pa.DataType) -> pa.DataType:
    """The flat type in place of one of Arrow's extension types. Other types are returned as they are."""
    if not isinstance(data_type, pa.BaseExtensionType):
        return data_type
    if data_type.extension_name in ("arrow.uuid", "arrow.json"):
        return pa.string()
    return pa.bool_() if data_type.extension_name == "arrow.bool8" else data_type


def plain_values(values: pa.Array) -> pa.Array:
    """Values of an extension type as values of its ``plain_type``: a UUID becomes text."""
    if not isinstance(values.type, pa.BaseExtensionType) or plain_type(values.type) == values.type:
        return values
    if values.type.extension_name == "arrow.uuid":
        return _uuid_text(values.storage)
    return values.storage.cast(plain_type(values.type))


def _uuid_text(values: pa.Array) -> pa.Array:
    """UUIDs of 16 bytes as text: ``c9bf9e57-1685-4c89-bafb-ff5af830be8a``."""
    bytes_ = np.frombuffer(values.fill_null(bytes(16)).buffers()[1], np.uint8)[values.offset * 16 :][: len(values) * 16]
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    text = np.stack([digits[bytes_ >> 4], digits[bytes_ & 15]], axis=1).reshape(len(values), 32)
    text = np.insert(text, (8, 12, 16, 20), ord("-"), axis=1)
    offsets = pa.py_buffer(np.arange(0, 36 * len(values) + 1, 36, dtype=np.int32))
    spelled = pa.StringArray.from_buffers(len(values), offsets, pa.py_buffer(np.ascontiguousarray(text)))
    return pc.if_else(values.is_valid(), spelled, None)


def is_undecodable(error: BaseException) -> bool:
    """Whether Arrow raised an error because bytes do not decode. Such an ``OSError`` has no ``errno``; the system's
    have one.
    """
    return isinstance(error, pa.ArrowException) or (type(error) is OSError and error.errno is None)


def is_text(data_type: pa.DataType) -> bool:
    """Whether an Arrow type is a string type, in any layout, dictionary-encoded or not."""
    if pa.types.is_dictionary(data_type):
        data_type = data_type.value_type
    return bool(
        pa.types.is_string(data_type) or pa.types.is_large_string(data_type) or pa.types.is_string_view(data_type)
    )
