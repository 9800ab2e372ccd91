"""Faults in a user's request for a table: options that contradict each other, or columns that do not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.datasets.redshift.sql import identifier
from airflow_sklearn.datasets.redshift.types import COMPARABLE_KEYS, holds, parse_type
from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from airflow_sklearn.datasets.redshift.target_table import TargetTable


def request_faults(table: TargetTable) -> list[str]:
    """All faults of the request. Rows are not looked at."""
    return [
        *_schema_faults(table),
        *_name_faults(table),
        *_key_faults(table),
        *_type_faults(table),
        *_where_faults(table),
        *table.value_faults,
    ]


def _schema_faults(table: TargetTable) -> list[str]:
    target = table.target
    if not target.schema:
        return [
            f"{target.table!r} is given without a schema, and no schema of the user's search path exists: write "
            "schema.table"
        ]
    if not target.has_schema:
        return [f"there is no schema {target.schema!r}: create it, or check the spelling (capitals count in quotes)"]
    faults = []
    if not target.may_create:
        faults.append(
            f"the database's user may not create tables in the schema {target.schema!r}, where rows are staged: "
            f"GRANT CREATE ON SCHEMA {identifier(target.schema)} TO that user"
        )
    if target.no_table:
        faults.append(f"{table.name} is {target.no_table}: rows are published into tables only")
    return faults


def _name_faults(table: TargetTable) -> list[str]:
    output, names = table.output, [column.name for column in table.columns]
    faults = [f"several columns are named {name!r}" for name in sorted({n for n in names if names.count(n) > 1})]
    for name in (*names, *output.partition, table.target.table):
        try:
            identifier(name)
        except UserError as error:
            faults.append(str(error))
    known = {*names, *output.partition}
    arguments = {
        "distkey": [output.distkey] if output.distkey else [],
        "sortkey": output.sortkey,
        "column_types": output.column_types,
    }
    faults += [
        f"{argument} names {name!r}, which is no column of the rows: they have {', '.join(names)}"
        for argument, given in arguments.items()
        for name in given
        if name not in known
    ]
    faults += [
        f"partition gives {name!r} a value, and the rows have such a column: leave it out of either, or say which "
        "rows are replaced with where"
        for name in output.partition
        if name in names
    ]
    if output.diststyle == "key" and not output.distkey:
        faults.append("diststyle='key' needs distkey, the column")
    if output.distkey and output.diststyle not in (None, "key"):
        faults.append(f"distkey={output.distkey!r} goes with diststyle='key', not {output.diststyle!r}")
    return faults


def _key_faults(table: TargetTable) -> list[str]:
    there = {column.name: column for column in table.columns}
    if table.output.if_exists == "upsert" and not table.key:
        return ["if_exists='upsert' needs the rows' key: give primary_key"]
    faults = [f"the key {name!r} is no column of the rows" for name in table.key if name not in there]
    return faults + [
        f"the key {name!r} is {there[name].arrow_type}, which Redshift cannot count again: nobody could check that "
        "every row arrived. Use a key of text, whole numbers, dates or timestamps"
        for name in table.key
        if name in there and not _is_comparable(there[name].arrow_type)
    ]


def _type_faults(table: TargetTable) -> list[str]:
    written = {column.name: column.arrow_type for column in table.columns}
    faults = []
    for name, given in table.output.column_types.items():
        if parse_type(given) is None:
            faults.append(f"column_types gives {name!r} the type {given!r}, which is none of Redshift's")
        elif name in written and not holds(given, written[name]):
            faults.append(f"column_types gives {name!r} the type {given!r}, which does not hold {written[name]}")
    return faults


def _where_faults(table: TargetTable) -> list[str]:
    try:
        _ = table.replaced if table.output.where else ""
    except UserError as error:
        return [str(error)]
    return []


def _is_comparable(arrow_type: str) -> bool:
    return arrow_type in COMPARABLE_KEYS or arrow_type.startswith("decimal128(")
