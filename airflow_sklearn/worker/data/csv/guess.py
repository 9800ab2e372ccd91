"""Finding the type of a CSV column from all its values, not only from the first rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_sklearn.worker.data.convert import convert, is_code, is_long_code
from airflow_sklearn.worker.data.csv.values import Numerals

_INTEGER, _DOUBLE, _BOOLEAN, _DATE = pa.int64(), pa.float64(), pa.bool_(), pa.date32()
_TIME, _ZONED_TIME, _TEXT = pa.timestamp("us"), pa.timestamp("us", tz="UTC"), pa.string()

_FINE_TIME, _ZONED_FINE_TIME = pa.timestamp("ns"), pa.timestamp("ns", tz="UTC")

#: The types in order of preference. If none fits, the column is text.
_CANDIDATES = (_INTEGER, _DOUBLE, _BOOLEAN, _DATE, _TIME, _ZONED_TIME, _FINE_TIME, _ZONED_FINE_TIME)
#: The types that are still possible if a value does not fit the type of the values before it.
_WIDER = {
    _INTEGER: (_DOUBLE,),
    _DATE: (_TIME, _FINE_TIME),
    _TIME: (_FINE_TIME,),
    _ZONED_TIME: (_ZONED_FINE_TIME,),
}
#: The years that an int64 of nanoseconds since 1970 covers.
_FINE_YEARS = ("1678", "2262")
_BOOLEAN_SPELLINGS = pa.array(["true", "false"])
#: A number with so many characters may have more digits than a double preserves.
_EXACT_DIGITS = 15
_POINT = ord(".")
_AT_UTC = r"(Z|[+-]00(:?00)?)$"


class ColumnGuess:
    """Finds the type of a column whose values are added block by block: the first type that all values have.

    The order is int64, double, bool (only ``true`` and ``false``), date, timestamp, timestamp with zone, both with
    nanoseconds, string. The result does not depend on how the column was cut into blocks.

    :param numerals: how numbers are spelled.
    """

    def __init__(self, numerals: Numerals = Numerals()) -> None:  # noqa: B008 - frozen
        self._numerals = numerals
        self._type: pa.DataType | None = None
        self._is_far = False  # there are days outside of the range of nanoseconds
        self._is_long = False  # there are whole numbers that a double cannot hold
        self._keeps_spelling = True
        self._keeps_spelling_as_double = True

    @property
    def type(self) -> pa.DataType:
        """The type of the values. A column without values has the type null, as in Parquet."""
        return pa.null() if self._type is None else self._type

    @property
    def output(self) -> pa.DataType:
        """The type as which the values can be written again unchanged: string, if ``type`` would not preserve their
        spelling.
        """
        keeps = self._keeps_spelling_as_double if self._type == _DOUBLE else self._keeps_spelling
        return self.type if keeps else _TEXT

    @property
    def key(self) -> pa.DataType:
        """Like ``output``, for keys, where spellings matter more: fractions such as ``250.10`` are text."""
        return _TEXT if self._type == _DOUBLE else self.output

    def add(self, values: pa.Array) -> None:
        """Add a block of values.

        :param values: strings of shape (rows,); null where the file spells a null.
        """
        if self._type == _TEXT or values.null_count == len(values):
            return
        numbers = self._numerals.plain(values)
        candidates = _CANDIDATES if self._type is None else (self._type, *_WIDER.get(self._type, ()))
        for candidate in candidates:
            if candidate == _DOUBLE and self._is_long:
                continue
            if candidate in (_FINE_TIME, _ZONED_FINE_TIME) and (self._is_far or _is_far(values)):
                continue
            spelled = numbers if candidate in (_INTEGER, _DOUBLE) else values
            if _all_are(spelled, candidate):
                self._take(candidate, values, numbers)
                return
        self._type = _TEXT

    def _take(self, kind: pa.DataType, values: pa.Array, numbers: pa.Array) -> None:
        self._type = kind
        if kind == _INTEGER:
            self._is_long = self._is_long or _any(is_long_code(numbers))
        if kind in (_DATE, _TIME, _ZONED_TIME):
            self._is_far = self._is_far or _is_far(values)
        if self._keeps_spelling:
            self._keeps_spelling = _keeps_spelling(values, kind)
        if self._keeps_spelling_as_double and kind in (_INTEGER, _DOUBLE):
            self._keeps_spelling_as_double = _keeps_spelling(values, _DOUBLE)


def _all_are(values: pa.Array, candidate: pa.DataType) -> bool:
    if candidate == _BOOLEAN:
        spelled = pc.utf8_lower(pc.utf8_trim_whitespace(values))
        return bool(pc.all(pc.is_in(spelled.drop_null(), _BOOLEAN_SPELLINGS)).as_py())
    converted = convert(values, candidate)
    if converted.bad is not None:
        return False
    if candidate not in (_INTEGER, _DOUBLE):
        return True
    spelled = values if converted.at_once else pc.utf8_trim_whitespace(values)
    if candidate == _INTEGER:
        fraction = not converted.at_once and pc.any(pc.match_substring(spelled, ".")).as_py()  # "1.0" is a double
        return not fraction and not _any(is_code(spelled))
    return not _any(is_code(spelled)) and not _any(is_long_code(spelled))


def _keeps_spelling(values: pa.Array, kind: pa.DataType) -> bool:
    """Whether values that have a type would be written again as they are spelled.

    For times the moment must be the same, not the number of digits of the second.
    """
    if kind == _BOOLEAN:
        return bool(pc.all(pc.is_in(values.drop_null(), _BOOLEAN_SPELLINGS)).as_py())
    try:
        converted = values.cast(kind)  # fails if there are surrounding spaces or a plus
    except pa.ArrowInvalid:
        return False
    if kind in (_ZONED_TIME, _ZONED_FINE_TIME):
        return bool(pc.all(pc.match_substring_regex(values, _AT_UTC)).as_py())
    if kind == _INTEGER:
        return not _any(pc.equal(values, "-0"))
    return kind != _DOUBLE or (_is_short_notation(values.drop_null()) and _is_shortest(values, converted))


def _is_far(values: pa.Array) -> bool:
    first, last = _FINE_YEARS
    return _any(pc.or_(pc.less(values, first), pc.greater_equal(values, last)))


def _is_short_notation(values: pa.Array) -> bool:
    """Whether numbers have no exponent, no trailing zeros after the point except in ``5.0``, and digits around their
    point.

    :param values: numbers without surrounding spaces. Their bytes are checked, twenty times as fast as their strings.
    """
    borders = np.frombuffer(values.buffers()[1], np.int32)[values.offset : values.offset + len(values) + 1]
    data = np.frombuffer(values.buffers()[2], np.uint8)
    starts, ends = borders[:-1], borders[1:]
    first, last, after_sign = data[starts], data[ends - 1], data[np.minimum(starts + 1, ends - 1)]
    if (data[borders[0] : borders[-1]] | 32 == ord("e")).any() or (last == _POINT).any() or (first == _POINT).any():
        return False
    if ((first == ord("-")) & (after_sign == _POINT)).any():
        return False
    zeros = np.flatnonzero((last == ord("0")) & (data[np.maximum(ends - 2, starts)] != _POINT))
    return not _any(pc.match_substring(values.take(pa.array(zeros)), "."))


def _is_shortest(values: pa.Array, numbers: pa.Array) -> bool:
    """Whether no number has digits that a double does not preserve."""
    long = pc.fill_null(pc.greater(pc.binary_length(values), _EXACT_DIGITS), False)
    return not _any(long) or numbers.filter(long).cast(_TEXT).equals(values.filter(long))


def _any(flags: pa.Array) -> bool:
    return bool(pc.any(flags).as_py())
