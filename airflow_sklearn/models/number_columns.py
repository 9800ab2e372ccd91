"""Columns as float64: numbers, also integers that a double cannot hold, and the parts of dates."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
import pyarrow.types as pat

from airflow_sklearn.models.columns import ArrowColumn, contiguous, decoded, microseconds, numbers
from airflow_sklearn.models.dates import date_part, on_circle

#: A double holds every integer up to this one.
EXACT = 2**53


def number_arrays(column: ArrowColumn, parts: list[str], offset: int = 0) -> list[np.ndarray]:
    """The float64 arrays of a column: the column itself for the part "", else an array for each date part. Nulls are
    NaN.

    :param offset: what is subtracted from the numbers.
    """
    if parts == [""]:
        return [above(column, offset) if offset else numbers(column)]
    moments, nulls = microseconds(column)
    arrays = []
    for part in parts:
        base, _, curve = part.partition("_")
        values = date_part(moments, base)
        array = on_circle(values, base)[curve == "cos"] if curve else values.astype(np.float64)
        array[nulls] = np.nan
        arrays.append(array)
    return arrays


def offset_of(column: ArrowColumn) -> int:
    """What to subtract from a column's numbers: the smallest, if a double cannot hold some of them, else 0."""
    values = decoded(column)
    if not pat.is_integer(values.type):
        return 0
    ends = pc.min_max(values).as_py()
    low, high = ends["min"], ends["max"]
    return int(low) if low is not None and max(abs(low), abs(high)) > EXACT else 0


def is_rounded(column: ArrowColumn) -> bool:
    """Whether numbers of an integer column are rounded even after its smallest one is subtracted."""
    ends = pc.min_max(decoded(column)).as_py()
    return bool(ends["max"] - ends["min"] > EXACT)


def above(column: ArrowColumn, offset: int) -> np.ndarray:
    """An integer column's numbers less an offset, rounded once; nulls are NaN."""
    values = decoded(column)
    if not pat.is_integer(values.type):
        found = numbers(values) - offset
        return np.asarray(found)
    whole = contiguous(values)
    nulls = whole.is_null().to_numpy(zero_copy_only=False)
    integers = whole.fill_null(0).to_numpy(zero_copy_only=False)
    # Both halves are small, so that their differences are exact, also where 64 bits would overflow.
    high, low = (integers >> 32).astype(np.float64), (integers & 0xFFFFFFFF).astype(np.float64)
    found = (high - float(offset >> 32)) * 2.0**32 + (low - float(offset & 0xFFFFFFFF))
    found[nulls] = np.nan
    return found


def mean_and_scale(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the non-null values. Without values the mean is 0; a constant's scale is 1."""
    known = values[~np.isnan(values)]
    if not len(known):
        return 0.0, 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = float(known.mean()), float(known.std())
    # Rounding may give a constant a standard deviation just above zero. Like scikit-learn, treat that as zero.
    return mean, scale if scale > 10 * np.finfo(np.float64).eps * abs(mean) else 1.0


def is_constant(column: ArrowColumn, kind: str) -> bool:
    """Whether all rows of a column of numbers, strings or categories have the same value, and no row a null."""
    values = decoded(column)
    if values.null_count or not len(values):
        return False
    if kind != "numeric":
        return len(pc.unique(values)) == 1
    if pat.is_integer(values.type):
        ends = pc.min_max(values)
        return bool(ends["min"] == ends["max"])
    found = numbers(values)
    return bool(np.isfinite(found[0]) and (found == found[0]).all())
