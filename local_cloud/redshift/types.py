"""Redshift's types in PostgreSQL, in Parquet and in manifests."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from local_cloud.redshift.protocol import Column

BOOLEAN, SMALLINT, INTEGER, BIGINT, REAL, DOUBLE = 16, 21, 23, 20, 700, 701
NUMERIC, DATE, TIMESTAMP, TIMESTAMPTZ, TEXT, VARCHAR, CHAR = 1700, 1082, 1114, 1184, 25, 1043, 1042
STRINGS = (TEXT, VARCHAR, CHAR)
_UNKNOWN = 705

_NAMES = {
    BOOLEAN: "boolean",
    SMALLINT: "smallint",
    INTEGER: "integer",
    BIGINT: "bigint",
    REAL: "real",
    DOUBLE: "double precision",
    NUMERIC: "numeric",
    DATE: "date",
    TIMESTAMP: "timestamp without time zone",
    TIMESTAMPTZ: "timestamp with time zone",
    TEXT: "character varying",
    VARCHAR: "character varying",
    CHAR: "character",
    _UNKNOWN: "character varying",
}
_ARROW = {
    BOOLEAN: pa.bool_(),
    SMALLINT: pa.int16(),
    INTEGER: pa.int32(),
    BIGINT: pa.int64(),
    REAL: pa.float32(),
    DOUBLE: pa.float64(),
    DATE: pa.date32(),
    TIMESTAMP: pa.timestamp("us"),
    TIMESTAMPTZ: pa.timestamp("us", "UTC"),
    TEXT: pa.string(),
    VARCHAR: pa.string(),
    CHAR: pa.string(),
    _UNKNOWN: pa.string(),
}
#: As Parquet files call what COPY finds in them.
_PARQUET = {
    "bool": "boolean",
    "int8": "int32",
    "int16": "int32",
    "int32": "int32",
    "int64": "int64",
    "float": "float",
    "double": "double",
    "string": "byte_array",
    "large_string": "byte_array",
    "date32[day]": "int32",
}


def name(column: Column) -> str:
    """Redshift's name of the type, without its size."""
    return _NAMES.get(column.oid, f"type {column.oid}")


def precision(column: Column) -> tuple[int, int]:
    """Of a numeric column. Without one, as the result of a sum has none in PostgreSQL, Redshift's widest."""
    if column.modifier < 0:
        return 38, 10
    return (column.modifier - 4) >> 16, (column.modifier - 4) & 0xFFFF


def length(column: Column) -> int | None:
    """Of a character column, in bytes."""
    return column.modifier - 4 if column.oid in (VARCHAR, CHAR) and column.modifier >= 0 else None


def arrow_type(column: Column) -> pa.DataType | None:
    """What UNLOAD writes to Parquet; None where it cannot."""
    if column.oid == NUMERIC:
        return pa.decimal128(*precision(column))
    return _ARROW.get(column.oid)


def manifest_element(column: Column) -> dict[str, Any]:
    """A column in the manifest of ``MANIFEST VERBOSE``."""
    kind: dict[str, Any] = {"base": name(column)}
    if column.oid == NUMERIC:
        kind["precision"], kind["scale"] = precision(column)
    elif column.oid in STRINGS:
        kind["max_length"] = length(column) or 65535
    return {"name": column.name, "type": kind}


def loads(column: Column, found: pa.DataType) -> bool:
    """Whether COPY takes a column of a Parquet file for a column of the table. It converts nothing."""
    if column.oid == NUMERIC:
        digits, scale = precision(column)
        return pa.types.is_decimal(found) and found.scale == scale and found.precision <= digits
    if column.oid in (TIMESTAMP, TIMESTAMPTZ):
        return bool(pa.types.is_timestamp(found))
    if column.oid in STRINGS:
        return bool(pa.types.is_string(found) or pa.types.is_large_string(found))
    if column.oid == SMALLINT:
        return found in (pa.int8(), pa.int16())
    return column.oid in _ARROW and found == _ARROW[column.oid]


def in_parquet(found: pa.Field) -> str:
    """A column of a file, as an error describes it."""
    kind = str(found.type)
    physical = _PARQUET.get(kind) or ("int64" if kind.startswith("timestamp") else "fixed_len_byte_array")
    return f"{'optional' if found.nullable else 'required'} {physical} {found.name} [i:0 d:1 r:0]"
