"""Arrow types from the names that documents use for them."""

from __future__ import annotations

import re

import pyarrow as pa

from airflow_sklearn.exceptions import UserError

_ZONED = re.compile(r"timestamp\[(s|ms|us|ns), tz=(.+)\]")
_DECIMAL = re.compile(r"decimal(32|64|128|256)\((\d+),\s*(-?\d+)\)")
_FIXED_BINARY = re.compile(r"fixed_size_binary\[(\d+)\]")
_DICTIONARY = re.compile(r"dictionary<values=(.+), indices=(u?int\d+), ordered=([01])>")


def parse_type(text: str) -> pa.DataType:
    """The Arrow type with a name, as ``str(type)`` spells it.

    :param text: such as ``"int64"``, ``"timestamp[us, tz=UTC]"``, ``"decimal128(10, 2)"`` or ``"string"``.
    :raises UserError: no flat Arrow type has this name.
    """
    text = text.strip()
    if match := _ZONED.fullmatch(text):
        return pa.timestamp(match[1], tz=match[2])
    match = _DECIMAL.fullmatch(text)
    if match and (make := getattr(pa, f"decimal{match[1]}", None)):  # pyarrow before 19 has no decimal32 and decimal64
        return make(int(match[2]), int(match[3]))
    if match := _FIXED_BINARY.fullmatch(text):
        return pa.binary(int(match[1]))
    if match := _DICTIONARY.fullmatch(text):
        return pa.dictionary(parse_type(match[2]), parse_type(match[1]), ordered=match[3] == "1")
    try:
        return pa.type_for_alias(text)
    except ValueError:
        raise UserError(
            f"{text!r} is not a column type. Use an Arrow type: int64, double, bool, string, date32, timestamp[us], "
            "timestamp[us, tz=UTC], decimal128(10, 2)."
        ) from None
