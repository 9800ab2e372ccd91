"""Learning the feature schema from a training table. Prediction uses it to make the same arrays from other data."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from airflow_sklearn.contract.schema import Distribution, Feature, FeatureSchema, Scalar, Target
from airflow_sklearn.contract.shown import shown
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.columns import (
    ArrowColumn,
    arrow_columns,
    contiguous,
    count_levels,
    decoded,
    dictionary_of,
    is_string,
    kind_of,
    microseconds,
    numbers,
)
from airflow_sklearn.models.dtypes import learn_dtypes, pandas_categories, stored_type
from airflow_sklearn.models.learned import UNUSED

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A string column with more distinct values than this is text: its levels are not stored.
MAX_LEVELS = 5000

#: Bins of the reference distribution of numbers and dates. Each holds about the same number of training rows.
BINS = 20

_EXACT_IN_DOUBLE = 2**53
_MOST_DIGITS = 38


def learn_features(table: pa.Table, *, as_pandas: bool = False) -> tuple[Feature, ...]:
    """The features of a training table, in its order.

    Columns that pandas wrote as categories are categories, also those of numbers, which Parquet itself stores as
    numbers. With ``as_pandas`` such a column has the dtype that pandas reads: numbers.

    :param table: the features only (no target, key or weight), shape (rows, features).
    :param as_pandas: record pandas' ``dtype`` of each feature, for an estimator that does its own preprocessing.
    :raises UserError: columns have types that no estimator takes (nested, binary, times of day); the message lists all.
    """
    columns = arrow_columns(table)
    if wrong := {name: str(column.type) for name, column in columns.items() if kind_of(column.type) is None}:
        raise UserError(
            f"These columns can not be features, for what they hold: {wrong}. Exclude them "
            f"(excluded_columns={sorted(wrong)}) or convert them to numbers, strings, booleans or dates."
        )
    dtypes = learn_dtypes(table) if as_pandas else {}
    written = set() if as_pandas else pandas_categories(table.schema)
    features = []
    for field, column in zip(table.schema, columns.values(), strict=True):
        stored = stored_type(field)
        is_category = pat.is_dictionary(stored) or field.name in written
        ordered = bool(pat.is_dictionary(stored) and stored.ordered)
        feature = _learn_feature(field.name, column, is_category, ordered)
        features.append(feature.model_copy(update={"dtype": dtypes.get(field.name)}))
    if unused := [feature.name for feature in features if feature.is_unused]:
        warnings.warn(UNUSED.format(unused), stacklevel=2)
    return tuple(features)


def learn_target(column: ArrowColumn, name: str, is_classifier: bool, classes: Sequence[Any] = ()) -> Target:
    """The target's description in the manifest.

    :param column: the target's values as they were read.
    :param name: the target's column.
    :param is_classifier: whether the values are classes.
    :param classes: a classifier's ``classes_``; empty for a regressor.
    """
    labels = tuple(value.item() if isinstance(value, np.generic) else value for value in classes)
    task = "classification" if is_classifier else "regression"
    return Target(name=name, arrow_type=_type_name(column.type), task=task, classes=labels if is_classifier else ())


def target_values(column: ArrowColumn, name: str, is_classifier: bool, *, least: int = 2) -> np.ndarray:
    """The target as an estimator takes it: int64, bool, str objects (labels) or float64, of shape (rows,).

    :param column: the target's values.
    :param name: the target's column, for messages.
    :param is_classifier: whether the values are classes.
    :param least: the least number of classes.
    :raises UserError: there are nulls, too few classes, fractions for a classifier, or no numbers for a regressor.
    """
    kind = kind_of(decoded(column).type)
    if column.null_count or (kind == "numeric" and np.isnan(numbers(column)).any()):
        raise UserError(f"The target {name!r} has nulls: drop these rows first.")
    if not is_classifier:
        if kind not in ("numeric", "boolean"):
            fix = "use a classifier" if kind == "string" else "choose another target, or make it a number"
            raise UserError(f"The target {name!r} holds {_held(kind)}, and a regressor needs numbers. Fix: {fix}.")
        return numbers(column)
    values = _labels(column, kind, name)
    if len(classes := np.unique(values)) < least:
        raise UserError(f"The target {name!r} has one class only, {shown(classes.tolist())}: nothing can be learned.")
    return values


def read_columns(schema: FeatureSchema) -> tuple[tuple[str, str, bool], ...]:
    """How to read each feature's column for prediction: (name, Arrow type, whether dictionary-encoded).

    Numbers are read as ``double``: a column of whole numbers may hold fractions later. Integers that a double cannot
    hold keep their type. ``float`` is kept too, so that text is rounded as in training.
    """
    return tuple((f.name, *_read_as(f)) for f in schema.features)


def _read_as(feature: Feature) -> tuple[str, bool]:
    if feature.dtype is not None and feature.arrow_type.startswith("decimal"):
        scale = feature.arrow_type.rpartition(",")[2].strip(" )")  # pandas reads decimals as decimal.Decimal objects
        return f"decimal{256 if feature.arrow_type.startswith('decimal256') else 128}({_MOST_DIGITS}, {scale})", False
    if feature.kind == "numeric":
        if feature.arrow_type == "float":
            return "float", False
        ends = [abs(end) for end in (feature.minimum, feature.maximum) if isinstance(end, int)]
        return (feature.arrow_type if max(ends, default=0) > _EXACT_IN_DOUBLE else "double"), False
    if feature.arrow_type == "string":
        return "string", feature.kind == "categorical"
    return feature.arrow_type, False


def _learn_feature(name: str, column: ArrowColumn, is_category: bool, ordered: bool) -> Feature:
    kind = kind_of(decoded(column).type)
    rows = len(column)
    fields: dict[str, Any]
    if kind == "string" or (is_category and len(dictionary_of(column)) <= MAX_LEVELS):
        fields, nulls = _learn_levels(column, ordered)
    elif kind == "datetime":
        fields, nulls = _learn_dates(column)
    elif kind == "boolean":
        values = numbers(column)
        counts = (int((values == 0).sum()), int((values == 1).sum()))
        fields = {"kind": "boolean", "distribution": Distribution(edges=(0.0, 0.5, 1.0), counts=counts)}
        nulls = rows - sum(counts)
    else:
        fields, nulls = _learn_numbers(column)
    rate = nulls / rows if rows else 0.0
    return Feature(name=name, arrow_type=_type_name(column.type), null_count=nulls, null_rate=rate, **fields)


def _learn_numbers(column: ArrowColumn) -> tuple[dict[str, Any], int]:
    values = numbers(column)
    finite = values[np.isfinite(values)]
    minimum: Scalar = float(finite.min()) if len(finite) else None
    maximum: Scalar = float(finite.max()) if len(finite) else None
    if pat.is_integer(decoded(column).type) and len(finite):
        ends = pc.min_max(decoded(column))  # integers, exact also past 2**53
        minimum, maximum = ends["min"].as_py(), ends["max"].as_py()
    fields = {"kind": "numeric", "minimum": minimum, "maximum": maximum, "distribution": quantile_bins(finite)}
    return fields, int(np.isnan(values).sum())


def _learn_dates(column: ArrowColumn) -> tuple[dict[str, Any], int]:
    """Range and distribution of dates. The edges of the bins are seconds since 1970 in UTC."""
    moments, nulls = microseconds(column)
    known = moments[~nulls]
    fields: dict[str, Any] = {"kind": "datetime", "distribution": quantile_bins(known / 1e6)}
    if len(known):
        fields |= {"minimum": _iso(int(known.min()), column.type), "maximum": _iso(int(known.max()), column.type)}
    return fields, int(nulls.sum())


def _learn_levels(column: ArrowColumn, ordered: bool) -> tuple[dict[str, Any], int]:
    counts = count_levels(column, limit=MAX_LEVELS)
    if len(counts) > MAX_LEVELS:
        return {"kind": "text"}, int(decoded(column).null_count)
    levels = tuple(dictionary_of(column).cast(pa.large_string()).to_pylist() if ordered else sorted(counts))
    distribution = Distribution(counts=tuple(counts[level] for level in levels))
    fields = {"kind": "categorical", "levels": levels, "distribution": distribution, "ordered": ordered}
    return fields, len(column) - counts.total()


def quantile_bins(values: np.ndarray) -> Distribution:
    """Numbers in at most ``BINS`` bins, each with about the same number of values.

    :param values: finite numbers, of shape (rows,).
    """
    if not len(values):
        return Distribution()
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)))
    if len(edges) <= BINS and len(distinct := np.unique(values)) <= BINS:
        edges = np.append(distinct, distinct[-1])  # one bin a value: quantiles would merge rare values into others
    counts, _ = np.histogram(values, bins=edges)
    return Distribution(edges=tuple(edges.tolist()), counts=tuple(counts.tolist()))


def _iso(microseconds_since_1970: int, arrow_type: pa.DataType) -> str:
    if pat.is_date(arrow_type):
        return str(np.datetime64(microseconds_since_1970, "us").astype("datetime64[D]"))
    zone = "+00:00" if pat.is_timestamp(arrow_type) and arrow_type.tz else ""
    return str(np.datetime64(microseconds_since_1970, "us")) + zone


def _type_name(arrow_type: pa.DataType) -> str:
    """The name of a type without dictionary and string width. A column of nulls without a type counts as numbers."""
    if pat.is_dictionary(arrow_type):
        return _type_name(arrow_type.value_type)
    if is_string(arrow_type):
        return "string"
    return "double" if pat.is_null(arrow_type) else str(arrow_type)


def _held(kind: str | None) -> str:
    return {"string": "text", "datetime": "dates"}.get(kind or "", "lists, or other values that are no single ones")


def _labels(column: ArrowColumn, kind: str | None, name: str) -> np.ndarray:
    values = decoded(column)
    if kind == "boolean":
        return numbers(values).astype(bool)
    if kind == "string":
        return np.array(values.to_pylist(), dtype=object)
    if kind != "numeric":
        raise UserError(
            f"The target {name!r} holds {_held(kind)}, and labels are text, whole numbers, or true and false. Fix: "
            "choose another target, or write it as text."
        )
    if pat.is_integer(values.type):
        return contiguous(values if pat.is_uint64(values.type) else values.cast(pa.int64())).to_numpy()
    floats = numbers(values)
    if len(fractions := floats[floats != np.floor(floats)]):
        such = shown(float(fractions[0]))
        raise UserError(f"The target {name!r} holds fractions such as {such}: use a regressor, or give it labels.")
    return floats
