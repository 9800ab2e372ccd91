"""The type of a CSV column, from all its values: never from the first rows only."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from airflow_sklearn.worker.data.convert import convert, is_code, is_long_code

_INTEGER, _DOUBLE, _BOOLEAN, _DATE = pa.int64(), pa.float64(), pa.bool_(), pa.date32()
_TIME, _ZONED_TIME, _TEXT = pa.timestamp("us"), pa.timestamp("us", tz="UTC"), pa.string()

#: In order of preference. Text is what remains.
_CANDIDATES = (_INTEGER, _DOUBLE, _BOOLEAN, _DATE, _TIME, _ZONED_TIME)
#: What a column may still become when values that fit a type are followed by one that does not.
_WIDER = {_INTEGER: (_DOUBLE,), _DATE: (_TIME,)}
_BOOLEAN_SPELLINGS = pa.array(["true", "false"])


class ColumnGuess:
    """Takes a column's values block by block; ``type`` is then the first type that all of them are.

    Order: int64, double, bool (only spelled true and false), date, timestamp, timestamp with zone, string. The answer
    does not depend on how the column was cut into blocks.
    """

    def __init__(self) -> None:
        self._type: pa.DataType | None = None

    @property
    def type(self) -> pa.DataType:
        """A column without any value is of type null, as in Parquet."""
        return pa.null() if self._type is None else self._type

    def add(self, values: pa.Array) -> None:
        """:param values: (n_rows,) of strings, null where the file spells a null."""
        if self._type == _TEXT or values.null_count == len(values):
            return
        candidates = _CANDIDATES if self._type is None else (self._type, *_WIDER.get(self._type, ()))
        self._type = next((candidate for candidate in candidates if _all_are(values, candidate)), _TEXT)


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


def _any(flags: pa.Array) -> bool:
    return bool(pc.any(flags).as_py())
