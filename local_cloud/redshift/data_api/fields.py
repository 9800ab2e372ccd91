"""Rows as the Redshift Data API writes them: typed fields, and what it says of columns."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

#: PostgreSQL's name and fixed precision and scale by its type's number; None: from the column's modifier.
TYPES: dict[int, tuple[str, int | None, int]] = {
    16: ("bool", 1, 0),
    17: ("varbyte", None, 0),
    19: ("name", 63, 0),
    20: ("int8", 19, 0),
    21: ("int2", 5, 0),
    23: ("int4", 10, 0),
    25: ("varchar", 65535, 0),
    26: ("oid", 10, 0),
    700: ("float4", 8, 8),
    701: ("float8", 17, 17),
    705: ("varchar", 65535, 0),
    1042: ("bpchar", None, 0),
    1043: ("varchar", None, 0),
    1082: ("date", 13, 0),
    1083: ("time", 15, 6),
    1114: ("timestamp", 29, 6),
    1184: ("timestamptz", 35, 6),
    1700: ("numeric", None, 0),
}
_TEXT, _SIGNED = {"varchar", "bpchar"}, {"int2", "int4", "int8", "float4", "float8", "numeric"}


def metadata(column: Mapping[str, Any]) -> dict[str, Any]:
    """What the API says of a column.

    :param column: the driver's description, of the protocol's RowDescription.
    """
    name = column["label"].decode() if isinstance(column["label"], bytes) else column["label"]
    kind, precision, scale = TYPES.get(column["type_oid"], ("varchar", 65535, 0))
    modifier = column["type_modifier"]
    if kind == "numeric":
        precision, scale = ((modifier - 4) >> 16, (modifier - 4) & 0xFFFF) if modifier > 0 else (38, 0)
    elif precision is None:
        precision = modifier - 4 if modifier > 0 else 65535
    return {
        "isCaseSensitive": kind in _TEXT,
        "isCurrency": False,
        "isSigned": kind in _SIGNED,
        "label": name,
        "length": 0,
        "name": name,
        "nullable": 1,
        "precision": precision,
        "scale": scale,
        "schemaName": "",
        "tableName": "",
        "typeName": kind,
    }


def field(value: Any) -> dict[str, Any]:
    """One value. What JSON has no type for is text, as Redshift would print it."""
    if value is None:
        return {"isNull": True}
    if isinstance(value, bool):
        return {"booleanValue": value}
    if isinstance(value, int):
        return {"longValue": value}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, bytes | bytearray):
        return {"blobValue": base64.b64encode(value).decode()}
    return {"stringValue": _text(value)}


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        zone = "" if value.tzinfo is None else _zone(value.utcoffset() or timedelta())
        return _trimmed(value.replace(tzinfo=None).isoformat(" ")) + zone
    if isinstance(value, time):
        return _trimmed(value.isoformat())
    return str(value)


def _trimmed(text: str) -> str:
    """Without the zeros that end a fraction of a second."""
    return text.rstrip("0") if "." in text else text


def _zone(offset: timedelta) -> str:
    """``+00``, ``-03:30``."""
    minutes = int(offset.total_seconds() // 60)
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02d}" + (f":{rest:02d}" if rest else "")
