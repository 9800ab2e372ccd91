"""Converting values to types, by one rule for all readers. A value that does not convert becomes null and is marked.

pyarrow's CSV reader and the cast of a whole column are fast paths. They accept a subset of the values that are accepted
here, with equal results: a value means the same whichever path has read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_sklearn.models.columns import doubles_of_decimals
from airflow_sklearn.worker.data.types import is_text

if TYPE_CHECKING:
    from collections.abc import Callable

TRUE_VALUES = (*(s for w in ("true", "t", "yes", "y") for s in (w, w.capitalize(), w.upper())), "1", "1.0")
FALSE_VALUES = (*(s for w in ("false", "f", "no", "n") for s in (w, w.capitalize(), w.upper())), "0", "0.0")

#: Codes such as "00501" and "0x1F": as numbers they would lose their spelling.
_CODE = r"^[+-]?0[\dxX]"
#: A whole number in the spelling in which it would be written again.
_WHOLE = r"^(0|-?[1-9]\d*)$"
#: Numbers with so many digits are exact as int64 at best, and never as doubles.
_LONG_CODE = r"^[+-]?\d{19,}$"
_LONG = 19
#: Whole numbers with so many digits may be exact as int64, but not as doubles.
_ROUNDED = r"^-?\d{16,18}$"

_TEXT = pa.string()
#: The characters that a convertible text has. Other texts need not be tried one by one.
_SHAPES = {
    "integer": r"^[+-]?(0[xX][0-9a-fA-F]+|\d+(\.0*)?)$",
    "float": r"^[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|(?i:inf|infinity|nan))$",
    "date": r"^\d{4}-\d\d-\d\d",
    "time": r"^\d\d:\d\d",
}
#: Spellings that Arrow does not know, and their equivalents that it does.
_SPELLINGS = {
    "integer": ((r"^\+", ""), (r"^(-?\d+)\.0*$", r"\1")),
    "zoned": ((r"\s*(?i:utc|gmt|z)$", "Z"), (r"\s+([+-]\d\d(:?\d\d)?)$", r"\1")),
}


_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
#: Digits of a second that are finer than a time unit.
_FINER = {"s": r"(:\d\d)\.\d+", "ms": r"(\.\d{3})\d+", "us": r"(\.\d{6})\d+"}


@dataclass(frozen=True)
class Converted:
    """A converted column.

    :param values: of the requested type; null where a value did not convert.
    :param bad: bool of shape (rows,): the values that did not convert. None: all did.
    :param at_once: whether one cast has converted the whole column, as in the fast paths.
    """

    values: pa.Array
    bad: np.ndarray | None = None
    at_once: bool = True


def convert(values: pa.Array, target: pa.DataType, *, keep_spelling: bool = False, exact: bool = True) -> Converted:
    """Convert a column.

    :param values: text or typed values. Nulls stay null.
    :param target: the requested type; a dictionary type for dictionary-encoded strings.
    :param keep_spelling: text that a number would not preserve does not convert to a number, such as ``0123``, and
        ``+5``, `` 5`` and ``5.0`` to whole numbers. Fractions need only keep their value: ``2.50`` is 2.5. Whole
        numbers that a float would round do not convert to it.
    :param exact: typed values that the type would round do not convert. If False, floats are rounded and times cut to
        the type's precision.
    """
    converted = _convert(values, target, exact)
    return _without_codes(values, converted) if keep_spelling and is_text(values.type) else converted


def is_code(values: pa.Array) -> pa.Array:
    """Which texts begin with a zero that is not the only digit before the decimal point: a boolean array."""
    # Prefixes recognise "0.5" and "-0.5" ten times as fast as the regular expression.
    zero = pc.or_(pc.starts_with(values, "0"), pc.starts_with(values, "-0"))
    suspect = pc.or_(
        pc.and_not(zero, pc.or_(pc.starts_with(values, "0."), pc.starts_with(values, "-0."))),
        pc.starts_with(values, "+0"),
    )
    return _matching(values, suspect, _CODE)


def is_long_code(values: pa.Array) -> pa.Array:
    """Which texts are whole numbers with more digits than a double holds: a boolean array."""
    return _matching(values, pc.greater_equal(pc.binary_length(values), _LONG), _LONG_CODE)


def _matching(values: pa.Array, suspect: pa.Array, pattern: str) -> pa.Array:
    if not pc.any(suspect).as_py():
        return suspect
    return pc.if_else(suspect, pc.match_substring_regex(values, pattern), False)


def _without_codes(values: pa.Array, converted: Converted) -> Converted:
    kind = converted.values.type
    if not is_number(kind):
        return converted
    spelled = _decoded(values).cast(_TEXT)
    if pa.types.is_integer(kind):
        codes = _flags(pc.or_(is_code(spelled), pc.equal(spelled, "-0")))
        if not converted.at_once:  # some have another spelling
            codes |= ~_flags(pc.match_substring_regex(spelled, _WHOLE)) & _flags(pc.is_valid(converted.values))
    else:
        spelled = pc.utf8_trim_whitespace(spelled)
        codes = _flags(pc.or_(is_code(spelled), is_long_code(spelled))) | _flags(pc.starts_with(spelled, "+"))
        if pa.types.is_floating(kind):
            codes |= _are_rounded(spelled, converted.values)
    if not codes.any():
        return converted
    bad = codes if converted.bad is None else codes | converted.bad
    return Converted(pc.if_else(pa.array(codes), pa.scalar(None, kind), converted.values), bad, at_once=False)


def _are_rounded(spelled: pa.Array, floats: pa.Array) -> np.ndarray:
    """Which whole numbers a float has changed."""
    rounded = np.zeros(len(spelled), bool)
    rows = np.flatnonzero(_flags(_matching(spelled, pc.greater(pc.binary_length(spelled), 15), _ROUNDED)))
    if len(rows):
        where = pa.array(rows)
        found = floats.take(where).cast(pa.int64(), safe=False)
        rounded[rows] = _flags(pc.not_equal(found, spelled.take(where).cast(pa.int64())))
    return rounded


def _convert(values: pa.Array, target: pa.DataType, exact: bool) -> Converted:
    if values.type == target:
        return Converted(values)
    if values.null_count == len(values):
        return Converted(pa.nulls(len(values), target))
    if is_text(target):
        return _to_text(values, target)
    if is_text(values.type):
        rule = _text_rule(target)
        values = values if exact else _without_fine_digits(values, target)
    else:
        rule = _value_rule(values.type, target, exact)
    if rule is _refuse:
        return _all_bad(values, target)
    try:
        return Converted(rule(_decoded(values)))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _convert_distinct(values, target, rule)


def _to_text(values: pa.Array, target: pa.DataType) -> Converted:
    # Other numbers ("1.0" or "1"?) and times have no single spelling as text.
    if not is_text(values.type) and not pa.types.is_integer(values.type):
        return _all_bad(values, target)
    if pa.types.is_dictionary(target) and not pa.types.is_dictionary(values.type):
        values = values.cast(_TEXT).dictionary_encode()
    return Converted(values.cast(target))


def _convert_distinct(values: pa.Array, target: pa.DataType, rule: Callable[[pa.Array], pa.Array]) -> Converted:
    """Convert each distinct value once, and map the results to the rows."""
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    distinct, codes = encoded.dictionary, encoded.indices
    blank = np.zeros(len(distinct), bool)
    if is_text(distinct.type):
        distinct = pc.utf8_trim_whitespace(distinct.cast(_TEXT))
        blank = _flags(pc.equal(distinct, ""))
        distinct = _plain_spelling(distinct, target)
    bad = _flags(pc.is_valid(distinct)) & ~blank
    shape = _shape_of(target) if is_text(distinct.type) else None
    candidates = bad & _flags(pc.match_substring_regex(distinct, shape)) if shape else bad
    where = np.flatnonzero(candidates)
    parts, failed = _convert_each(rule, distinct.take(pa.array(where)), target)
    bad[where] = failed
    slots = np.full(len(distinct), -1)
    slots[where] = np.arange(len(where))
    good = pa.concat_arrays([*parts, pa.nulls(0, target)])
    per_value = good.take(pa.array(slots, mask=slots < 0))
    rows_bad = pc.fill_null(pa.array(bad).take(codes), False).to_numpy(zero_copy_only=False)
    return Converted(per_value.take(codes), rows_bad if rows_bad.any() else None, at_once=False)


def _convert_each(
    rule: Callable[[pa.Array], pa.Array], values: pa.Array, target: pa.DataType
) -> tuple[list[pa.Array], np.ndarray]:
    """Convert all values that convert. Those that do not are found by halving."""
    if not len(values):
        return [], np.zeros(0, bool)
    try:
        return [rule(values)], np.zeros(len(values), bool)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if len(values) == 1:
            return [pa.nulls(1, target)], np.ones(1, bool)
    middle = len(values) // 2
    left, left_failed = _convert_each(rule, values[:middle], target)
    right, right_failed = _convert_each(rule, values[middle:], target)
    return left + right, np.concatenate([left_failed, right_failed])


def _text_rule(target: pa.DataType) -> Callable[[pa.Array], pa.Array]:
    if pa.types.is_boolean(target):
        return _booleans_from_text
    if pa.types.is_time(target):  # Arrow has no cast for it
        return lambda values: (
            pc.binary_join_element_wise("1970-01-01 ", values, "").cast(pa.timestamp("us")).cast(target)
        )
    return lambda values: values.cast(target)


def _booleans_from_text(values: pa.Array) -> pa.Array:
    true, false = (pc.is_in(values, pa.array(spellings)) for spellings in (TRUE_VALUES, FALSE_VALUES))
    known = pc.or_(pc.or_(true, false), pc.is_null(values))
    if not pc.all(known).as_py():
        raise pa.ArrowInvalid("not a boolean")
    return pc.if_else(pc.is_null(values), pa.scalar(None, pa.bool_()), true)


def _plain_spelling(distinct: pa.Array, target: pa.DataType) -> pa.Array:
    """Text as Arrow spells it: whole numbers such as ``+5`` and ``1.0``, times with ``UTC`` or ``+02:00``."""
    for pattern, plain in _SPELLINGS.get(_kind(target), ()):
        distinct = pc.replace_substring_regex(distinct, pattern, plain)
    return distinct


def _kind(target: pa.DataType) -> str:
    if pa.types.is_integer(target):
        return "integer"
    return "zoned" if pa.types.is_timestamp(target) and target.tz is not None else ""


def _shape_of(target: pa.DataType) -> str | None:
    if pa.types.is_integer(target):
        return _SHAPES["integer"]
    if pa.types.is_floating(target):
        return _SHAPES["float"]
    if pa.types.is_date(target) or pa.types.is_timestamp(target):
        return _SHAPES["date"]
    return _SHAPES["time"] if pa.types.is_time(target) else None


def _value_rule(source: pa.DataType, target: pa.DataType, exact: bool) -> Callable[[pa.Array], pa.Array]:
    """How typed values (from Parquet) convert to another type. Only conversions with a clear meaning exist."""
    if pa.types.is_dictionary(source):
        source = source.value_type
    number = {kind: is_number(kind) for kind in (source, target)}
    if pa.types.is_boolean(target) and number[source]:
        return _booleans_from_numbers
    if pa.types.is_integer(target) and pa.types.is_floating(source):
        return lambda values: pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values).cast(target)
    if pa.types.is_floating(target) and number[source]:
        return lambda values: _to_float(values, target, exact)
    if pa.types.is_decimal(target) and pa.types.is_integer(source):  # Arrow demands digits for the type's largest value
        return lambda values: values.cast(pa.decimal256(20 + max(target.scale, 0), target.scale)).cast(target)
    if number[target] and (number[source] or pa.types.is_boolean(source)):
        return lambda values: values.cast(target)
    if pa.types.is_temporal(source) and pa.types.is_temporal(target):
        return lambda values: _to_time(values, target, exact)
    return _refuse


def _to_float(values: pa.Array, target: pa.DataType, exact: bool) -> pa.Array:
    if pa.types.is_decimal(values.type):
        return doubles_of_decimals(values).cast(target, safe=False)
    rounded = values.cast(target, safe=False)  # as parsing the number from text would
    if exact and not pc.all(pc.or_(pc.equal(rounded.cast(values.type, safe=False), values), _is_nan(values))).as_py():
        raise pa.ArrowInvalid("digits would be lost")
    return rounded


def _is_nan(values: pa.Array) -> pa.Array:
    return pc.is_nan(values) if pa.types.is_floating(values.type) else pa.scalar(False)


def _to_time(values: pa.Array, target: pa.DataType, exact: bool) -> pa.Array:
    """Convert dates to midnights without a zone, and midnights to dates. A zone is never added or dropped, nor a time
    of day.
    """
    source = values.type
    calendar = [pa.types.is_date(kind) or pa.types.is_timestamp(kind) for kind in (source, target)]
    if calendar[0] != calendar[1] or has_zone(source) != has_zone(target):
        raise pa.ArrowInvalid(f"{source} does not become {target}")
    if not all(calendar):
        return values.cast(target)  # times of day, durations
    if pa.types.is_date(target):
        days = values.cast(target, safe=False)
        if not pc.all(pc.equal(days.cast(source), values)).as_py():
            raise pa.ArrowInvalid("a time of day would be lost")
        return days
    if exact or not pa.types.is_timestamp(source):
        return values.cast(target)
    step = _PER_SECOND[source.unit] // _PER_SECOND[target.unit]
    if step < 2:
        return values.cast(target)
    since_1970 = values.cast(pa.int64()).fill_null(0).to_numpy() // step  # rounded down, also before 1970
    moments = pa.array(since_1970, mask=values.is_null().to_numpy(zero_copy_only=False))
    return moments.cast(pa.timestamp(target.unit)).cast(target)


def has_zone(kind: pa.DataType) -> bool:
    """Whether an Arrow type is a timestamp with a time zone."""
    return bool(pa.types.is_timestamp(kind) and kind.tz)


def _without_fine_digits(values: pa.Array, target: pa.DataType) -> pa.Array:
    """Text without the digits of a second that are finer than the type's unit."""
    if not pa.types.is_timestamp(target) or target.unit not in _FINER:
        return values
    return pc.replace_substring_regex(_decoded(values), _FINER[target.unit], r"\1")


def _booleans_from_numbers(values: pa.Array) -> pa.Array:
    if not pc.all(pc.or_(pc.equal(values, 0), pc.equal(values, 1))).as_py():
        raise pa.ArrowInvalid("not a boolean")
    return pc.equal(values, 1)


def _refuse(values: pa.Array) -> pa.Array:
    raise pa.ArrowInvalid(f"{values.type} does not become the type asked for")


def is_number(data_type: pa.DataType) -> bool:
    """Whether an Arrow type is an integer, a float or a decimal type."""
    return bool(pa.types.is_integer(data_type) or pa.types.is_floating(data_type) or pa.types.is_decimal(data_type))


def _decoded(values: pa.Array) -> pa.Array:
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _all_bad(values: pa.Array, target: pa.DataType) -> Converted:
    return Converted(pa.nulls(len(values), target), _flags(pc.is_valid(values)), at_once=False)


def _flags(values: pa.Array) -> np.ndarray:
    """A boolean array as a numpy array; null is False."""
    flags: np.ndarray = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return np.array(flags, bool)
