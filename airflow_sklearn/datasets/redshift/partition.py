"""The values of a partition's columns, each in the one spelling of its column."""

from __future__ import annotations

import datetime
import decimal
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_sklearn.datasets.redshift.sql import identifier
from airflow_sklearn.datasets.redshift.types import RedshiftType, parse_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_sklearn.contract.schema import Scalar
    from airflow_sklearn.contract.tables import OutputTable

_WHOLE_NUMBERS = {"smallint": 16, "integer": 32, "bigint": 64}
_SHORT_TEXT = 256
#: More than six digits of a second. Python accepts them, and drops the rest.
_TOO_FINE = re.compile(r"[.,]\d{7}")


@dataclass(frozen=True)
class PartitionValue:
    """A column that has one value in every row of the partition.

    :param text: the value of the parameter, in one spelling; None for NULL.
    :param expression: the SQL expression for the value.
    """

    column: str
    type: str
    text: str | None
    expression: str
    parameter: str

    @property
    def condition(self) -> str:
        """An SQL condition for the rows with this value."""
        name = identifier(self.column)
        return f"{name} IS NULL" if self.text is None else f"{name} = {self.expression}"


def partition_values(output: OutputTable, types: Mapping[str, str]) -> tuple[tuple[PartitionValue, ...], list[str]]:
    """The partition's values, in order of their columns, and reasons why some cannot be used.

    :param output: the table, and how to publish.
    :param types: the types of the table's columns; empty if the table does not exist.
    """
    values, faults = [], []
    for place, (name, value) in enumerate(sorted(output.partition.items())):
        given = types.get(name) or output.column_types.get(name) or _type_for(value)
        kind = parse_type(given) if given else None
        if kind is None:
            why = f"its type {given!r} is not known" if given else "it is None: give its type in column_types"
            faults.append(f"partition gives {name!r} a value, but {why}")
            continue
        parameter = f"publish_value_{place}"
        try:
            text = _as_text(value, kind)
        except ValueError as error:
            faults.append(f"partition gives {name!r} the value {value!r}, but {error}")
            continue
        values.append(PartitionValue(name, str(kind), text, _expression(kind, text, parameter), parameter))
    return tuple(values), faults


def _type_for(value: Scalar) -> str:
    """The type of a partition's column in a table that is created; empty if the value does not tell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "bigint"
    if isinstance(value, float):
        return "double precision"
    return f"varchar({max(_SHORT_TEXT, len(value.encode()))})"


def _expression(kind: RedshiftType, text: str | None, parameter: str) -> str:
    if text is None:
        return f"CAST(NULL AS {kind})"
    if kind.base == "boolean":  # Redshift has no cast from text
        return text.upper()
    return f"CAST(:{parameter} AS {kind})"


def _as_text(value: Scalar, kind: RedshiftType) -> str | None:
    """A partition's value in the one spelling of its column.

    A cast would silently cut long texts, round numbers and drop times of day. The rows of another partition would then
    be replaced.

    :raises ValueError: the column cannot hold the value unchanged; the message says why.
    """
    if value is None:
        return None
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if "\0" in text:
        raise ValueError("it holds a NUL")
    if isinstance(value, bool) and kind.base != "boolean":
        raise ValueError(f"the column is {kind}")
    reader = _READERS.get(kind.base)
    if reader is None:
        raise ValueError(f"the column is {kind}, which no partition goes by")
    return reader(text, kind)


def _read_boolean(text: str, kind: RedshiftType) -> str:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"the column is {kind}: give True or False")
    return text.lower()


def _read_whole(text: str, kind: RedshiftType) -> str:
    try:
        number = int(_without_underscores(text))
    except ValueError:
        raise ValueError(f"the column is {kind}") from None
    bound = 2 ** (_WHOLE_NUMBERS[kind.base] - 1)
    if not -bound <= number < bound:
        raise ValueError(f"the column is {kind}, which does not reach so far")
    return str(number)


def _read_decimal(text: str, kind: RedshiftType) -> str:
    precision, scale = (kind.length, kind.scale or 0) if kind.length else (18, 0)
    try:
        number = decimal.Decimal(_without_underscores(text))
        with decimal.localcontext(prec=precision):
            spelled = number.quantize(decimal.Decimal(1).scaleb(-scale))
    except (decimal.InvalidOperation, ValueError):
        raise ValueError(f"the column is {kind}") from None
    if spelled != number:
        raise ValueError(f"the column is {kind}, which has fewer decimals")
    return f"{spelled:f}"


def _read_float(text: str, kind: RedshiftType) -> str:
    try:
        return repr(float(_without_underscores(text)))
    except ValueError:
        raise ValueError(f"the column is {kind}") from None


def _without_underscores(text: str) -> str:
    """Check that a number has no underscores.

    :raises ValueError: it has. Python reads ``1_0`` as ten, which may not be meant.
    """
    if "_" in text:
        raise ValueError(text)
    return text


def _read_text(text: str, kind: RedshiftType) -> str:
    if text.endswith(" "):  # otherwise a partition "a " would replace the rows of "a"
        raise ValueError("it ends in a blank, which Redshift does not see when it compares texts: leave it out")
    length = kind.length or (_SHORT_TEXT if kind.base == "varchar" else 1)
    if len(text.encode()) > length:
        raise ValueError(f"the column is {kind}: it has {len(text.encode())} bytes")
    if kind.base == "char" and not text.isascii():
        raise ValueError(f"the column is {kind}, which holds ASCII only")
    return text


def _read_date(text: str, kind: RedshiftType) -> str:
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("the column is a date: give it as 2026-01-31") from None


def _read_timestamp(text: str, kind: RedshiftType) -> str:
    aware = kind.base == "timestamptz"
    how = "with an offset, as 2026-01-31T00:00:00+00:00" if aware else "without an offset, as 2026-01-31T00:00:00"
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"the column is {kind}: give it {how}") from None
    if _TOO_FINE.search(text):
        raise ValueError(f"the column is {kind}, which has six digits of a second and no more")
    if (found.tzinfo is not None) != aware:
        raise ValueError(f"the column is {kind}: give it {how}")
    return found.astimezone(datetime.UTC).isoformat(" ") if aware else found.isoformat(" ")


_READERS = {
    "boolean": _read_boolean,
    **dict.fromkeys(_WHOLE_NUMBERS, _read_whole),
    "numeric": _read_decimal,
    "real": _read_float,
    "double precision": _read_float,
    "varchar": _read_text,
    "char": _read_text,
    "date": _read_date,
    "timestamp": _read_timestamp,
    "timestamptz": _read_timestamp,
}
