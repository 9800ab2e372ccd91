"""Converting output columns to other types than those in which they were read or predicted. No value may be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.arrow_types import parse_type
from airflow_sklearn.worker.data.types import is_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_sklearn.contract.problem_collector import ProblemCollector

    _Cast = Callable[[pa.Array], pa.Array]

DOES_NOT_FIT = "does_not_fit"

_EXAMPLES = 5
_FIX = "give the table's column a type that holds these values, or correct the source."
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class OutputTypes:
    """The conversion of output columns.

    :param types: Arrow types by column; other columns keep theirs.
    :param found: the types in which all output columns are read or predicted.
    :raises UserError: columns do not exist, or their type cannot become the requested one; the message lists all of
        them.
    """

    def __init__(self, types: Mapping[str, str], found: Mapping[str, pa.DataType]) -> None:
        faults = [f"there is no column {name!r} in the output" for name in types if name not in found]
        self._casts: dict[str, tuple[pa.DataType, _Cast]] = {}
        for name, source in found.items():
            if name not in types or (target := parse_type(types[name])) == source:
                continue
            if (cast := _cast(source, target)) is not None:
                self._casts[name] = (target, cast)
            else:
                faults.append(f"{name!r} holds {source}, which is not written as {target}")
        if faults:
            raise UserError("The output cannot have the types that were planned: " + "; ".join(faults) + ".")

    def of(self, name: str, found: pa.DataType) -> pa.DataType:
        """The type in which a column is written.

        :param found: the type in which it is read or predicted.
        """
        return self._casts[name][0] if name in self._casts else found

    def convert(self, name: str, values: pa.ChunkedArray, *, file: str, problems: ProblemCollector) -> pa.ChunkedArray:
        """A column in the type in which it is written. Nulls stay null.

        :param file: the source's file, for messages.
        :param problems: collects the values that do not fit; they are null in the result.
        """
        if name not in self._casts:
            return values
        target, cast = self._casts[name]
        chunks = [_convert(chunk, target, cast, name, file, problems) for chunk in values.chunks]
        return pa.chunked_array(chunks, target)


def _convert(
    values: pa.Array, target: pa.DataType, cast: _Cast, name: str, file: str, problems: ProblemCollector
) -> pa.Array:
    values = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
    try:
        return cast(values)
    except pa.ArrowInvalid:
        misfits = _misfits(values.unique(), cast)
    rows = pc.fill_null(pc.is_in(values, misfits), False)
    problems.add(
        DOES_NOT_FIT,
        f"values that {target} does not hold",
        column=name,
        file=file,
        count=pc.sum(rows).as_py(),
        examples=[str(value) for value in misfits[:_EXAMPLES].cast(pa.string()).to_pylist()],
        fix=_FIX,
    )
    return cast(pc.if_else(rows, pa.scalar(None, values.type), values))


def _misfits(values: pa.Array, cast: _Cast) -> pa.Array:
    """The values that do not convert, found by halving."""
    try:
        cast(values)
    except pa.ArrowInvalid:
        if len(values) == 1:
            return values
        middle = len(values) // 2
        return pa.concat_arrays([_misfits(values[:middle], cast), _misfits(values[middle:], cast)])
    return values[:0]


def _cast(source: pa.DataType, target: pa.DataType) -> _Cast | None:
    """The function that converts values of one type to another; None if some values would change."""
    types = pa.types
    if types.is_dictionary(source):
        source = source.value_type
    whole = types.is_integer(source) or types.is_boolean(source)
    if types.is_timestamp(source) and types.is_timestamp(target):
        return lambda values: _moments(values, target)
    if types.is_floating(source) and types.is_floating(target):
        return lambda values: _floats(values, target)
    if (
        (is_text(source) and is_text(target))
        or (whole and (types.is_integer(target) or types.is_decimal(target) or types.is_floating(target)))
        or (types.is_integer(source) and is_text(target))
        or (types.is_decimal(source) and (types.is_decimal(target) or types.is_integer(target)))
        or (types.is_date(source) and (types.is_date(target) or types.is_timestamp(target)))
    ):
        return lambda values: _number(values, target)
    return None


def _number(values: pa.Array, target: pa.DataType) -> pa.Array:
    if pa.types.is_boolean(values.type) and pa.types.is_decimal(target):
        values = values.cast(pa.int8())
    if not (pa.types.is_integer(values.type) and pa.types.is_decimal(target)):
        return values.cast(target)
    # Arrow demands digits for the integer type's largest value, even if there is none so large.
    return values.cast(pa.decimal256(20 + target.scale, target.scale)).cast(target)


def _floats(values: pa.Array, target: pa.DataType) -> pa.Array:
    written = values.cast(target)
    if target.bit_width >= values.type.bit_width:
        return written
    back = written.cast(values.type)  # Arrow rounds without an error
    if not pc.all(pc.fill_null(pc.or_(pc.equal(back, values), pc.is_nan(values)), True)).as_py():
        raise pa.ArrowInvalid("digits would be lost")
    return written


def _moments(values: pa.Array, target: pa.DataType) -> pa.Array:
    """The same moments in UTC. Digits finer than the target's unit are cut off (rounded down)."""
    factor = _PER_SECOND[values.type.unit] // _PER_SECOND[target.unit]
    if factor > 1:
        since_1970 = values.cast(pa.int64()).fill_null(0).to_numpy() // factor
        moments = pa.array(since_1970, mask=values.is_null().to_numpy(zero_copy_only=False))
        return moments.cast(pa.timestamp(target.unit)).cast(target)
    return values.cast(pa.timestamp(values.type.unit)).cast(pa.timestamp(target.unit)).cast(target)
