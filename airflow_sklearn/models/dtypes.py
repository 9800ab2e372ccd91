"""The dtypes that pandas gives to the columns of a file, and converting any rows to exactly these dtypes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from airflow_sklearn.contract.schema import Dtype
from airflow_sklearn.models.arrow_types import parse_type
from airflow_sklearn.models.columns import ArrowColumn, codes, contiguous, decoded, dictionary_of, numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.schema import Feature, Scalar

#: In a field's metadata: the column's Arrow type in the file, if the table has another one.
STORED_TYPE = b"stored_type"
#: In a schema's metadata: ``csv`` if the table was read from CSV. Other tables may have pandas' own metadata.
FILE_FORMAT = b"file_format"

_PANDAS = b"pandas"
_EXACT_IN_DOUBLE = 2**53


def stored_type(field: pa.Field) -> pa.DataType:
    """The Arrow type of a column in its file."""
    name = (field.metadata or {}).get(STORED_TYPE)
    return field.type if name is None else parse_type(name.decode())


def pandas_categories(schema: pa.Schema) -> set[str]:
    """The columns that pandas wrote as categories. Parquet itself stores only categories of strings as such."""
    return {str(c["field_name"]) for c in _pandas_metadata(schema)["columns"] if c["pandas_type"] == "categorical"}


def pandas_index(schema: pa.Schema) -> list[str]:
    """The columns that pandas wrote as a frame's index. ``pandas.read_parquet`` does not return them as columns."""
    return [name for name in _pandas_metadata(schema)["index_columns"] if isinstance(name, str)]


def learn_dtypes(table: pa.Table) -> dict[str, Dtype]:
    """The dtypes that ``pandas.read_parquet`` or ``read_csv`` gives to the columns. Dates in CSV count as parsed.

    :param table: shape (rows, columns). ``STORED_TYPE`` and ``FILE_FORMAT`` in its metadata describe the file.
    """
    is_csv = (table.schema.metadata or {}).get(FILE_FORMAT) == b"csv"
    metadata = {**_pandas_metadata(table.schema), "index_columns": []}
    stored = {field.name: stored_type(field) for field in table.schema}
    if is_csv:
        stored |= {name: pa.timestamp("us") for name, kind in stored.items() if pat.is_date(kind)}
        stored |= {name: pa.float64() for name, kind in stored.items() if pat.is_null(kind)}
    schema = pa.schema(list(stored.items()), metadata={_PANDAS: json.dumps(metadata)})
    found = schema.empty_table().to_pandas().dtypes
    return {name: _learn_dtype(found[name], table[name], is_csv) for name in table.column_names}


def _learn_dtype(dtype: Any, column: ArrowColumn, is_csv: bool) -> Dtype:
    if isinstance(dtype, pd.CategoricalDtype):
        values = dictionary_of(column)
        if is_csv:
            values = values.take(pc.sort_indices(values))
        return Dtype(name="category", categories=tuple(_as_json(values)))
    if isinstance(dtype, np.dtype) and column.null_count:
        dtype = {"i": np.dtype("float64"), "u": np.dtype("float64"), "b": np.dtype(object)}.get(dtype.kind, dtype)
    return Dtype(name=str(dtype), null="NaN" if is_csv else "None")


def as_dtype(column: ArrowColumn, feature: Feature) -> Any:
    """Convert a column to the dtype that its feature had in training.

    Values that the dtype cannot hold (nulls and fractions among integers, nulls among booleans) widen the whole column,
    as in pandas when it reads a file with them. ``same_dtypes`` keeps such rows apart from others.

    :param column: of any Arrow type that converts.
    :param feature: a feature with a ``dtype``.
    :return: a pandas or numpy array of shape (rows,).
    """
    assert feature.dtype is not None
    if feature.dtype.categories is not None:
        kind = parse_type(feature.arrow_type)
        categories = pa.array(feature.dtype.categories, kind if _is_json(kind) else pa.string()).cast(kind)
        return categorical(column, categories, feature.ordered)
    dtype = pd.api.types.pandas_dtype(feature.dtype.name)
    if misfits(column, feature) is not None:
        dtype = _wider(dtype)
    values = decoded(column)
    if not isinstance(dtype, np.dtype):
        return _extension_array(values, dtype)
    if dtype.kind in "iu" and pat.is_integer(values.type):
        return contiguous(values.cast(pa.from_numpy_dtype(dtype))).to_numpy()
    if dtype.kind in "iuf":
        return numbers(values).astype(dtype, copy=False)
    if dtype.kind == "b":
        return contiguous(values.cast(pa.bool_())).to_numpy(zero_copy_only=False)
    if dtype.kind == "M":
        unit, _ = np.datetime_data(dtype)
        moments = contiguous(values.cast(pa.timestamp(unit), safe=False).cast(pa.int64()))
        found = moments.fill_null(0).to_numpy().astype(dtype)
        found[moments.is_null().to_numpy(zero_copy_only=False)] = np.datetime64("NaT")
        return found
    null = np.nan if feature.dtype.null == "NaN" else None
    objects = np.empty(len(values), dtype=object)
    objects[:] = [null if value is None else value for value in values.to_pylist()]
    return objects


def same_dtypes(table: pa.Table, features: Sequence[Feature]) -> list[np.ndarray]:
    """Group rows so that pandas gives one dtype to each column within a group, in as few groups as possible.

    A batch of one group gets dtypes that depend on its rows alone, not on their neighbours in the source.

    :return: arrays of row numbers, one for each group.
    """
    found = [misfits(table[feature.name], feature) for feature in features]
    masks = [mask for mask in found if mask is not None]
    if not masks:
        return [np.arange(table.num_rows)]
    _, group = np.unique(np.stack(masks, axis=1), axis=0, return_inverse=True)
    return [np.flatnonzero(group.ravel() == number) for number in range(int(group.max()) + 1)]


def misfits(column: ArrowColumn, feature: Feature) -> np.ndarray | None:
    """The values that the feature's dtype cannot hold: bool of shape (rows,); None if it can hold all."""
    if feature.dtype is None or feature.dtype.categories is not None:
        return None
    dtype = pd.api.types.pandas_dtype(feature.dtype.name)
    plain = dtype if isinstance(dtype, np.dtype) else _numpy_dtype(dtype)
    if plain is None or plain.kind not in "iufb" or (plain.kind == "f" and plain.itemsize == 8):
        return None
    values = decoded(column)
    if plain.kind == "b" or pat.is_integer(values.type):
        bad = values.is_null().to_numpy(zero_copy_only=False)
        null = bad
    else:
        doubles = numbers(values)
        null = np.isnan(doubles)
        bad = _misfit_numbers(doubles, plain)
    if not isinstance(dtype, np.dtype):
        bad = bad & ~null  # these dtypes hold nulls
    return np.asarray(bad) if bad.any() else None


def _misfit_numbers(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.isfinite(values) & ~np.isfinite(values.astype(dtype))
    limits = np.iinfo(dtype)
    whole = (values == np.floor(values)) & (np.abs(values) <= _EXACT_IN_DOUBLE)
    return ~(whole & (values >= limits.min) & (values <= limits.max))


def _wider(dtype: Any) -> Any:
    """The dtype to which pandas widens a column with values that this dtype cannot hold."""
    if isinstance(dtype, np.dtype):
        return np.dtype(object) if dtype.kind == "b" else np.dtype("float64")
    return pd.ArrowDtype(pa.float64()) if isinstance(dtype, pd.ArrowDtype) else pd.Float64Dtype()


def _numpy_dtype(dtype: Any) -> np.dtype | None:
    """The numpy dtype inside pandas' nullable number types; None for other extension types."""
    if isinstance(dtype, pd.ArrowDtype) and not (
        pat.is_integer(dtype.pyarrow_dtype) or pat.is_floating(dtype.pyarrow_dtype)
    ):
        return None
    found = getattr(dtype, "numpy_dtype", None)
    return found if isinstance(found, np.dtype) else None


def _extension_array(values: ArrowColumn, dtype: Any) -> Any:
    if isinstance(dtype, pd.StringDtype):
        wanted = pa.large_string()
    elif isinstance(dtype, pd.DatetimeTZDtype):
        wanted = pa.timestamp(dtype.unit, str(dtype.tz))
    elif isinstance(dtype, pd.ArrowDtype):
        wanted = dtype.pyarrow_dtype
    else:
        plain = _numpy_dtype(dtype)
        wanted = values.type if plain is None else pa.from_numpy_dtype(plain)
    if pat.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    converted = values.cast(wanted, safe=not pat.is_timestamp(wanted))
    chunks = converted.chunks if isinstance(converted, pa.ChunkedArray) else [converted]
    return dtype.__from_arrow__(pa.chunked_array(chunks, wanted))


def categorical(column: ArrowColumn, categories: pa.Array, ordered: bool) -> pd.Categorical:
    """A column as pandas' categories. Values that are in no category become null.

    :param categories: the categories in order.
    :param ordered: whether they are ordered.
    """
    empty = pa.DictionaryArray.from_arrays(pa.array([], pa.int32()), categories, ordered=ordered)
    places = codes(column, categories.cast(pa.large_string()).to_pylist())
    places[places >= len(categories)] = -1
    return pd.Categorical.from_codes(places, dtype=empty.to_pandas().dtype)


def _as_json(values: pa.Array) -> list[Scalar]:
    if pat.is_timestamp(values.type) and values.type.tz:
        values = values.cast(pa.timestamp(values.type.unit, "UTC"))
    found: list[Scalar] = (values if _is_json(values.type) else values.cast(pa.string())).to_pylist()
    return [value for value in found if value is not None]


def _is_json(kind: pa.DataType) -> bool:
    return bool(pat.is_integer(kind) or pat.is_floating(kind) or pat.is_boolean(kind))


def _pandas_metadata(schema: pa.Schema) -> dict[str, Any]:
    found = (schema.metadata or {}).get(_PANDAS)
    written: dict[str, Any] = {} if found is None else json.loads(found)
    return {"columns": [], "index_columns": [], "column_indexes": [], **written}
