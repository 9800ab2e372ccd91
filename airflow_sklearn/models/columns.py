"""The columns of a pandas DataFrame or an Arrow table, in one form, so that both give the same bits."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

if TYPE_CHECKING:
    from collections.abc import Iterable

#: How a column's values can be used, categories of any values as strings; None where they cannot (nested types, binary,
#: times of day, durations).
ColumnKind = Literal["numeric", "boolean", "datetime", "string"]
#: A double holds every number of so many digits, and every power of ten up to this one, exactly.
_EXACT_DIGITS = 15
ArrowColumn: TypeAlias = pa.Array | pa.ChunkedArray


def arrow_columns(X: Any) -> dict[str, ArrowColumn]:
    """The columns of a table by name, in order, without copying what need not be copied.

    :param X: a pandas DataFrame, a pyarrow Table or RecordBatch, or any other frame with
        ``__arrow_c_stream__`` (polars).
    :raises TypeError: ``X`` has no named columns, a name is not a string, or a column mixes types.
    :raises ValueError: two columns have the same name.
    """
    if isinstance(X, pd.DataFrame):
        names, columns = list(X.columns), [_from_series(X.iloc[:, i]) for i in range(X.shape[1])]
    elif isinstance(X, pa.Table | pa.RecordBatch):
        names, columns = X.schema.names, X.columns
    elif hasattr(X, "__arrow_c_stream__"):
        return arrow_columns(pa.table(X))
    else:
        raise TypeError(f"A table is needed (pandas DataFrame, pyarrow Table), not {type(X).__name__}.")
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise TypeError(f"Column names must be strings, but these are not: {wrong}. Rename them.")
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise ValueError(f"Columns occur more than once: {twice}. Rename or drop them.")
    return dict(zip(names, columns, strict=True))


def kind_of(arrow_type: pa.DataType) -> ColumnKind | None:
    """The kind of an Arrow type's values, None if estimators take no such values.

    A column without a type, whose values are all null, is numeric: its values become NaN.
    """
    if pat.is_dictionary(arrow_type):
        return "string" if kind_of(arrow_type.value_type) else None
    if (
        pat.is_integer(arrow_type)
        or pat.is_floating(arrow_type)
        or pat.is_decimal(arrow_type)
        or pat.is_null(arrow_type)
    ):
        return "numeric"
    if pat.is_boolean(arrow_type):
        return "boolean"
    if pat.is_date(arrow_type) or pat.is_timestamp(arrow_type):
        return "datetime"
    if is_string(arrow_type):
        return "string"
    return None


def is_string(arrow_type: pa.DataType) -> bool:
    """Whether an Arrow type is a string type, of any layout, not dictionary-encoded."""
    return bool(pat.is_string(arrow_type) or pat.is_large_string(arrow_type) or pat.is_string_view(arrow_type))


def numbers(column: ArrowColumn) -> np.ndarray:
    """A numeric or boolean column as float64 of shape (rows,); nulls are NaN. The result may share the column's
    memory.
    """
    values = decoded(column)
    if pat.is_decimal(values.type):
        values = doubles_of_decimals(contiguous(values))
    if not pat.is_float64(values.type):
        # Not safe=True: integers past 2**53 are rounded to the nearest double, as every estimator would do.
        values = values.cast(pa.float64(), safe=False)
    return contiguous(values).to_numpy(zero_copy_only=False)


def doubles_of_decimals(values: pa.Array) -> pa.Array:
    """The nearest double of each decimal, as parsing its text gives. Arrow's own cast differs in the last bit for 2%
    of them.
    """
    kind = values.type
    if kind.precision > _EXACT_DIGITS or not 0 <= kind.scale <= _EXACT_DIGITS:
        return values.cast(pa.string()).cast(pa.float64())
    whole = values.cast(pa.decimal128(kind.precision, kind.scale)).fill_null(0)
    low_halves = np.frombuffer(whole.buffers()[1], np.int64)[2 * whole.offset :: 2][: len(whole)]
    doubles = low_halves / np.float64(10**kind.scale)  # both are exact, so that only the division rounds
    return pa.array(doubles, mask=values.is_null().to_numpy(zero_copy_only=False))


def microseconds(column: ArrowColumn) -> tuple[np.ndarray, np.ndarray]:
    """A date or timestamp column as int64 microseconds since 1970 in UTC (0 for nulls), and the mask of its nulls."""
    values = contiguous(decoded(column)).cast(pa.timestamp("us"), safe=False).cast(pa.int64())
    return values.fill_null(0).to_numpy(), values.is_null().to_numpy(zero_copy_only=False)


def codes(column: ArrowColumn, levels: list[str]) -> np.ndarray:
    """The index of each value in ``levels``, as int32 of shape (rows,).

    A null gets ``len(levels)``, a value that is not in ``levels`` gets ``len(levels) + 1``. Only the distinct values of
    a dictionary-encoded column are looked up; each row then costs one indexing.
    """
    parts = [_chunk_codes(chunk, levels) for chunk in _chunks(column)]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int32)


def count_levels(column: ArrowColumn, limit: int | None = None) -> Counter[str]:
    """How often each value occurs. Nulls are not counted.

    :param limit: stop counting once there are more distinct values than this; None: count all.
    """
    counts: Counter[str] = Counter()
    for chunk in map(_dictionary_encoded, _chunks(column)):
        occurrences = np.bincount(chunk.indices.drop_null().to_numpy(), minlength=len(chunk.dictionary))
        for value, times in zip(_strings(chunk.dictionary).to_pylist(), occurrences.tolist(), strict=True):
            if value is not None and times:
                counts[value] += times
        if limit is not None and len(counts) > limit:
            break
    return counts


def dictionary_of(column: ArrowColumn) -> pa.Array:
    """The categories of a dictionary-encoded column, in their order, also those that no row has. Of other columns the
    distinct values, sorted.
    """
    if not pat.is_dictionary(column.type):
        values = contiguous(pc.unique(column)).drop_null()
        return values.take(pc.sort_indices(values))
    if isinstance(column, pa.ChunkedArray):
        column = column.unify_dictionaries()
        if not column.num_chunks:
            return pa.array([], column.type.value_type)
        column = column.chunk(0)
    return column.dictionary.drop_null()


def decoded(column: ArrowColumn) -> ArrowColumn:
    """The column without dictionary encoding."""
    return column.cast(column.type.value_type) if pat.is_dictionary(column.type) else column


def _from_series(series: pd.Series) -> ArrowColumn:
    """An Arrow array of a DataFrame's column. Numbers share memory, and NaNs stay NaNs."""
    try:
        if isinstance(series.dtype, np.dtype) and series.dtype.kind in "iuf":
            return pa.array(series.to_numpy())
        return pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise TypeError(f"Column {series.name!r} has no one type: {error}. Try astype(str).") from error


def _chunks(column: ArrowColumn) -> Iterable[pa.Array]:
    return column.chunks if isinstance(column, pa.ChunkedArray) else [column]


def contiguous(column: ArrowColumn) -> pa.Array:
    """The column as one array."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def _strings(values: pa.Array) -> pa.Array:
    return values if pat.is_large_string(values.type) else values.cast(pa.large_string())


def _dictionary_encoded(chunk: pa.Array) -> pa.DictionaryArray:
    if pat.is_dictionary(chunk.type):
        return chunk
    return chunk.dictionary_encode()


def _chunk_codes(chunk: pa.Array, levels: list[str]) -> np.ndarray:
    encoded = _dictionary_encoded(chunk)
    values = _strings(encoded.dictionary)
    null, unseen = len(levels), len(levels) + 1
    found = pc.index_in(values, value_set=pa.array(levels, pa.large_string())).fill_null(unseen).to_numpy()
    lookup = np.append(found, null).astype(np.int32)  # the extra last entry is for nulls
    if values.null_count:
        lookup[:-1][values.is_null().to_numpy(zero_copy_only=False)] = null
    indices = encoded.indices
    if indices.null_count:
        indices = indices.cast(pa.int32()).fill_null(len(values))
    return lookup.take(indices.to_numpy())
