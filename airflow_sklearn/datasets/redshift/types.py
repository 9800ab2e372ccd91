"""Redshift types and Arrow types: how columns are read, created and compared.

Arrow types are text here, as in documents, because Airflow's side has no pyarrow.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, NamedTuple

from airflow_sklearn.contract.arrow_type_names import portable_type
from airflow_sklearn.contract.tables import OutputColumnSpec
from airflow_sklearn.datasets.redshift.sql import identifier

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from airflow_sklearn.contract.schema import Feature, FeatureSchema, Policies
    from airflow_sklearn.contract.tables import TableColumn

LONGEST_VARCHAR = 65535

#: The spelling in CREATE TABLE for each spelling in catalogs, the driver, the Data API and UNLOAD's manifest.
_SPELLINGS = {
    "boolean": ("bool",),
    "smallint": ("int2",),
    "integer": ("int", "int4"),
    "bigint": ("int8", "oid"),
    "real": ("float4",),
    "double precision": ("float8", "float", "double"),
    "numeric": ("decimal",),
    "varchar": ("character varying", "nvarchar", "text", "name", "unknown"),
    "char": ("character", "nchar", "bpchar", '"char"'),
    "date": (),
    "timestamp": ("timestamp without time zone",),
    "timestamptz": ("timestamp with time zone",),
    "time": ("time without time zone",),
    "timetz": ("time with time zone",),
    "interval year to month": ("intervaly2m",),
    "interval day to second": ("interval", "intervald2s"),
    "varbyte": ("binary varying", "varbinary"),
    "super": (),
    "geometry": (),
    "geography": (),
    "hllsketch": (),
}
_CANONICAL = {spelling: name for name, others in _SPELLINGS.items() for spelling in (name, *others)}
_TYPE = re.compile(
    r'(?P<base>[a-z0-9_" ]+?)\s*(\(\s*(?P<first>\d+|max)\s*(,\s*(?P<second>\d+)\s*)?\))?'
    r"(?P<zone> with(out)? time zone)?"
)
_DECIMAL = re.compile(r"decimal128\((\d+), ?(\d+)\)")

_ARROW = {
    "boolean": "bool",
    "smallint": "int16",
    "integer": "int32",
    "bigint": "int64",
    "real": "float",
    "double precision": "double",
    "varchar": "string",
    "char": "string",
    "date": "date32[day]",
    "timestamp": "timestamp[us]",
    "timestamptz": "timestamp[us]",
}
_STAGING = {
    "bool": "boolean",
    "int16": "smallint",
    "int32": "integer",
    "int64": "bigint",
    "float": "real",
    "double": "double precision",
    "string": f"varchar({LONGEST_VARCHAR})",
    "date32[day]": "date",
    "timestamp[us]": "timestamp",
}
#: The table's types that hold all values of an Arrow type unchanged. Decimals are handled separately.
_HOLDS = {
    "bool": ("boolean",),
    "int16": ("smallint", "integer", "bigint", "real", "double precision"),
    "int32": ("integer", "bigint", "double precision"),
    "int64": ("bigint",),
    "float": ("real", "double precision"),
    "double": ("double precision",),
    "string": ("varchar",),  # char drops trailing blanks, and holds ASCII only
    "date32[day]": ("date", "timestamp"),
    "timestamp[us]": ("timestamp", "timestamptz"),
}
_DIGITS = {"int16": 5, "int32": 10, "int64": 19}
_WHOLE = {"smallint": 4, "integer": 9, "bigint": 18}
#: Redshift's defaults for types without length or precision.
_DEFAULT_PRECISION = (18, 0)


class RedshiftType(NamedTuple):
    """The parts of a type in CREATE TABLE."""

    base: str
    length: int | None = None
    """Of text in bytes, of numbers in digits; None where it is not said."""
    scale: int | None = None

    def __str__(self) -> str:
        if self.length is None:
            return self.base
        return f"{self.base}({self.length})" if self.scale is None else f"{self.base}({self.length},{self.scale})"


def parse_type(text: str) -> RedshiftType | None:
    """Parse a type in any of its spellings; None if it is unknown."""
    match = _TYPE.fullmatch(" ".join(text.lower().split()))
    base = _CANONICAL.get(match["base"] + (match["zone"] or "")) if match else None
    if match is None or base is None:
        return None
    length = LONGEST_VARCHAR if match["first"] == "max" else int(match["first"]) if match["first"] else None
    if base == "numeric":
        return RedshiftType(base, length, int(match["second"] or 0) if length is not None else None)
    if base not in ("varchar", "char", "varbyte"):
        return RedshiftType(base)  # a precision of seconds, which Redshift accepts and ignores: it stores microseconds
    return RedshiftType(base, length) if match["second"] is None else None


def arrow_type(redshift_type: str) -> str | None:
    """The Arrow type that UNLOAD writes into Parquet for a Redshift type; None if the column cannot be used.

    A number of unknown precision is ``decimal128``, without digits. Timestamps are unloaded as UTC without a zone.
    """
    found = parse_type(redshift_type)
    if found is None or found.base != "numeric":
        return _ARROW.get(found.base) if found else None
    return "decimal128" if found.length is None else f"decimal128({found.length}, {found.scale})"


def is_zone_aware(redshift_type: str) -> bool:
    """Whether a type has a time zone."""
    found = parse_type(redshift_type)
    return found is not None and found.base == "timestamptz"


def unload_faults(what: str, columns: Iterable[TableColumn]) -> list[str]:
    """Faults of columns whose types cannot be used, each with what to do.

    :param what: the table or query, for messages.
    """
    return [
        f"{what}: the column {column.name!r} is {column.type}, which {_why_not(column.type)}: leave it out, or give a "
        f"RedshiftQuery that selects {_way_out(column)}"
        for column in columns
        if arrow_type(column.type) is None
    ]


def feature_faults(
    what: str,
    columns: Sequence[TableColumn],
    schema: FeatureSchema,
    passthrough: Sequence[str] = (),
    policies: Policies | None = None,
    types: Mapping[str, str] | None = None,
) -> list[str]:
    """Everything that a model's predictions need and a table or query lacks. The worker would find the same faults.

    :param what: the table or query, for messages.
    :param columns: its columns.
    :param schema: the model's feature schema.
    :param passthrough: columns that are copied into the output, beside the primary key.
    :param policies: the run's policies; None: the model's.
    :param types: Arrow types of ``passthrough`` in training, by name, as far as they are known.
    """
    policies, there = policies or schema.policies, {column.name: column for column in columns}
    required = policies.missing_columns == "error"
    wanted: list[tuple[str, str | None, bool]] = [(f.name, _read_as(f), required) for f in schema.used_features]
    wanted += [(column.name, column.arrow_type or None, True) for column in schema.primary_key]
    wanted += [(name, (types or {}).get(name), True) for name in passthrough]
    faults: list[str] = []
    for name, kind, needed in wanted:
        if name not in there:
            faults += [_missing(what, name, list(there)) + _way_to(name, list(there))] if needed else []
        elif unusable := unload_faults(what, [there[name]]):
            faults += unusable
        elif kind is not None and policies.wrong_types == "error" and not _is_readable(there[name].type, kind):
            faults.append(
                f"{what}: the column {name!r} is {there[name].type}, and the model was trained with {kind}: neither "
                f"becomes the other by itself. Give a RedshiftQuery that converts it, with CAST({identifier(name)} AS "
                f"{_STAGING.get(portable_type(kind) or '', '...').partition('(')[0]})"
            )
    return list(dict.fromkeys(faults))


def output_column(name: str, arrow_type: str, *, type: str = "") -> OutputColumnSpec | None:
    """A column of a table that is loaded.

    :param name: the column's name.
    :param arrow_type: the worker's type of the column, any Arrow type.
    :param type: the column's Redshift type elsewhere. A created table gets it if it holds every value. Empty: unknown.
    :return: None if no Redshift type holds the values.
    """
    written = portable_type(arrow_type)
    if written is None:
        return None
    staging = _STAGING.get(written) or str(RedshiftType("numeric", *_decimal(written)))
    created = "timestamptz" if "tz=" in arrow_type else staging
    elsewhere = parse_type(type)
    if elsewhere is not None and elsewhere.base == "char":
        elsewhere = RedshiftType("varchar", elsewhere.length or 1)
    if elsewhere is not None and holds(str(elsewhere), written):
        created = str(elsewhere)
    return OutputColumnSpec(name=name, arrow_type=written, staging_type=staging, type=created)


def target_faults(
    what: str,
    columns: Sequence[OutputColumnSpec],
    existing: Sequence[TableColumn],
    *,
    partition: Collection[str] = (),
    required: Collection[str] = (),
) -> list[str]:
    """All reasons why rows cannot be loaded into a table unchanged.

    :param what: the table, for messages.
    :param columns: the loaded columns.
    :param existing: the table's columns.
    :param partition: columns that get the partition's values.
    :param required: the table's columns that are NOT NULL and have no default, as far as they are known.
    """
    there = {column.name: column for column in existing}
    given = [*(column.name for column in columns), *partition]
    faults = [
        f"{_missing(what, name, list(there))} Add it (ALTER TABLE ... ADD COLUMN), or publish into another table"
        for name in given
        if name not in there
    ]
    faults += [
        f"{what}: the column {column.name!r} is {there[column.name].type}, which does not hold every "
        f"{column.arrow_type} as it is{_what_it_loses(there[column.name].type, column)}: make it {column.type}, or "
        "publish into another table"
        for column in columns
        if column.name in there and not holds(there[column.name].type, column.arrow_type)
    ]
    faults += [
        f"{what}: the column {name!r} is NOT NULL and has no default, and the rows have no such column: give it a "
        "default, drop NOT NULL, or carry the column along (passthrough)"
        for name in sorted(set(required) - set(given))
    ]
    return faults


def _what_it_loses(table_type: str, column: OutputColumnSpec) -> str:
    found = parse_type(table_type)
    is_char = found is not None and found.base == "char" and column.arrow_type == "string"
    return " (char drops blanks at the end, and takes ASCII only)" if is_char else ""


def holds(table_type: str, written: str) -> bool:
    """Whether a column of a table holds every value of an Arrow type unchanged."""
    found = parse_type(table_type)
    if found is None:
        return False
    if written in _HOLDS and found.base != "numeric":
        return found.base in _HOLDS[written]
    if written in _DIGITS:
        whole, scale = _DIGITS[written], 0
    elif _DECIMAL.fullmatch(written):
        precision, scale = _decimal(written)
        whole = precision - scale
    else:
        return False
    if found.base != "numeric":
        return scale == 0 and whole <= _WHOLE.get(found.base, 0)
    if found.length is None:
        return True  # the catalog does not tell: loading will show it
    return (found.scale or 0) >= scale and found.length - (found.scale or 0) >= whole


#: The Arrow types that both the worker and Redshift can hash; ``decimal128(p, s)`` can be hashed too.
COMPARABLE_KEYS = frozenset(_STAGING)


def key_hash_sql(columns: Sequence[OutputColumnSpec], *, prefix: str = "") -> str:
    """An SQL expression for a row's key hash: FNV-1a over the key's columns, one after another. The worker computes
    the same.

    :param columns: the key's columns in order, as in the staging table.
    :param prefix: put before each name, such as ``"staging."``.
    """
    sql = ""
    for column in columns:
        value = _hashed_value(prefix + identifier(column.name), column.arrow_type)
        sql = f"FNV_HASH({value}, {sql})" if sql else f"FNV_HASH({value})"
    return sql


def _hashed_value(name: str, written: str) -> str:
    """An SQL expression for the bytes of a column that are hashed: the same bytes as in the worker."""
    if written == "string":
        return name
    if written == "bool":
        return f"CASE WHEN {name} THEN CAST(1 AS BIGINT) WHEN NOT {name} THEN CAST(0 AS BIGINT) END"
    if written.startswith("int"):
        return f"CAST({name} AS BIGINT)"
    if written in ("float", "double"):
        return f"CAST({name} AS DOUBLE PRECISION) + 0.0"  # -0.0 becomes 0.0
    if written == "date32[day]":
        return f"CAST(DATEDIFF(day, DATE '1970-01-01', {name}) AS BIGINT)"
    if written == "timestamp[us]":
        return f"CAST(DATEDIFF(microsecond, TIMESTAMP '1970-01-01 00:00:00', {name}) AS BIGINT)"
    return f"CAST({name} AS VARCHAR(64))"


def _decimal(written: str) -> tuple[int, int]:
    match = _DECIMAL.fullmatch(written)
    if match is None:
        raise ValueError(f"{written!r} is no decimal128")
    return int(match[1]), int(match[2])


def _read_as(feature: Feature) -> str:
    """The Arrow type as which the worker reads a feature: a double, or an integer that a double cannot hold."""
    if feature.kind == "numeric":
        return "double"
    return feature.arrow_type


def _is_readable(redshift_type: str, wanted: str) -> bool:
    """Whether the worker can convert a column's values, all or some; see ``worker.data.convert``."""
    source, target = _family(arrow_type(redshift_type) or ""), _family(wanted)
    if source in (target, "text"):
        return True
    if target == "text":
        return source == "integer"
    numbers = ("integer", "float", "decimal")
    if target == "boolean" or target in numbers:
        return source in numbers or source == "boolean"
    return False


def _family(arrow: str) -> str:
    if arrow.startswith("dictionary<values="):
        arrow = arrow.removeprefix("dictionary<values=")
    for family, begin in (
        ("integer", r"u?int\d"),
        ("float", r"float|double|halffloat"),
        ("decimal", "decimal"),
        ("text", "string|large_string|str|utf8"),
        ("boolean", "bool"),
        ("temporal", "date|timestamp"),
    ):
        if re.match(begin, arrow):
            return family
    return arrow


def _missing(what: str, name: str, there: Sequence[str]) -> str:
    alike = _alike(name, there)
    near = f"It has {alike!r}: names are matched exactly." if alike else f"It has {', '.join(there)}."
    return f"{what} has no column {name!r}. {near}"


def _way_to(name: str, there: Sequence[str]) -> str:
    if alike := _alike(name, there):
        return f" Give a RedshiftQuery that selects {identifier(alike)} AS {identifier(name)}"
    return " Add it, or give a RedshiftQuery that has it; missing_columns='null' reads a missing feature as nulls"


def _alike(name: str, there: Sequence[str]) -> str:
    same = [other for other in there if other.lower() == name.lower()]
    return next(iter(same or difflib.get_close_matches(name, there, 1, 0.8)), "")


def _why_not(redshift_type: str) -> str:
    found = parse_type(redshift_type)
    if found is None:
        return "this package does not know"
    if found.base in ("time", "timetz"):
        return "no estimator takes"
    return "UNLOAD cannot write to Parquet, or nothing here can read"


def _way_out(column: TableColumn) -> str:
    name = identifier(column.name)
    found = parse_type(column.type)
    base = found.base if found else ""
    if base in ("time", "timetz"):
        return f"its parts, such as EXTRACT(hour FROM {name}) AS {name}"
    if base == "super":
        return f"what it holds, such as CAST({name}.field AS varchar) AS {name}, or JSON_SERIALIZE({name})"
    if base.startswith("interval"):
        return f"EXTRACT(epoch FROM {name}) AS {name}"
    return f"CAST({name} AS varchar) AS {name}"
