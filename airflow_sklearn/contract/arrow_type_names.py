"""Portable types: the Arrow types that every database reads from a Parquet file as they were written."""

from __future__ import annotations

import re

_UNCHANGED = frozenset({"bool", "int16", "int32", "int64", "float", "double", "string", "date32[day]"})
_WRITTEN_AS = {
    "int8": "int16",
    "uint8": "int16",
    "uint16": "int32",
    "uint32": "int64",
    "uint64": "decimal128(20, 0)",
    "halffloat": "float",
    "large_string": "string",
    "string_view": "string",
    "date64": "date32[day]",
    "date64[ms]": "date32[day]",
}
_TIMESTAMP = re.compile(r"timestamp\[(s|ms|us|ns)(, tz=[^\]]+)?\]")
_DECIMAL = re.compile(r"decimal128\((\d+), ?(-?\d+)\)")
_DICTIONARY = re.compile(r"dictionary<values=(?P<values>.+), indices=\w+, ordered=[01]>")


def portable_type(arrow_type: str) -> str | None:
    """The portable type that holds every value of an Arrow type.

    Timestamps have no zone and mean UTC. Digits below a microsecond are cut off.

    :param arrow_type: the type's name, as ``str(pyarrow.DataType)`` spells it.
    :return: ``arrow_type`` itself if it is portable; None if no portable type holds its values.
    """
    if arrow_type in _UNCHANGED:
        return arrow_type
    if arrow_type in _WRITTEN_AS:
        return _WRITTEN_AS[arrow_type]
    if _TIMESTAMP.fullmatch(arrow_type):
        return "timestamp[us]"
    if decimal := _DECIMAL.fullmatch(arrow_type):
        precision, scale = int(decimal[1]), int(decimal[2])
        return f"decimal128({precision}, {scale})" if 0 <= scale <= precision <= 38 else None
    if dictionary := _DICTIONARY.fullmatch(arrow_type):
        values = portable_type(dictionary["values"])
        return values if values == "string" else None
    return None
