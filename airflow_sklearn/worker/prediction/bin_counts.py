"""Counting values by training's bins (``airflow_sklearn.contract.bins``), for a few nanoseconds a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from airflow_sklearn.contract.bins import level_bins
from airflow_sklearn.models.arrow_types import parse_type
from airflow_sklearn.models.columns import contiguous

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.bins import Counts
    from airflow_sklearn.contract.schema import Feature

#: From so many values on, one vectorised comparison for each edge costs less than sorting the values (measured on
#: AVX2 and AVX-512: 3 and 4 ns a value; a binary search for each value takes 24 ns).
_COMPARE_FROM = 8192


class EdgeCounts:
    """Counts numbers by bins with edges.

    :param edges: ascending; two or more.
    """

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = np.array(edges, dtype=np.float64)
        self._at_least = np.zeros(len(edges) + 2, dtype=np.int64)  # all; from each edge on; above the last edge
        self._buffer = np.empty(0, dtype=bool)

    def add(self, values: np.ndarray) -> None:
        """Count values, float64 of shape (rows,). NaN is in no bin."""
        self._at_least += self._compared(values) if len(values) >= _COMPARE_FROM else self._sorted(values)

    @property
    def counts(self) -> Counts:
        """The counts so far: below the first edge, in each bin, above the last edge."""
        bins = -np.diff(self._at_least, append=0)
        bins[-3] += bins[-2]  # the last edge belongs to the last bin
        return tuple(np.delete(bins, -2).tolist())

    def _compared(self, values: np.ndarray) -> np.ndarray:
        if len(self._buffer) < len(values):
            self._buffer = np.empty(len(values), dtype=bool)
        buffer, found = self._buffer[: len(values)], np.zeros_like(self._at_least)
        found[0] = np.count_nonzero(np.equal(values, values, out=buffer))
        for number, edge in enumerate(self._edges, start=1):
            found[number] = np.count_nonzero(np.greater_equal(values, edge, out=buffer))
        found[-1] = np.count_nonzero(np.greater(values, self._edges[-1], out=buffer))
        return found

    def _sorted(self, values: np.ndarray) -> np.ndarray:
        ordered = np.sort(values)  # NaN comes last
        known = int(np.searchsorted(ordered, np.nan))
        below = np.searchsorted(ordered[:known], self._edges)
        above = np.searchsorted(ordered[:known], self._edges[-1], side="right")
        return known - np.concatenate([[0], below, [above]])


class LevelCounts:
    """Counts categories by bins of training's levels.

    :param feature: a category with levels.
    """

    def __init__(self, feature: Feature) -> None:
        self._levels = pa.array(feature.levels, pa.string()).cast(parse_type(feature.arrow_type))
        self._bins = np.array(level_bins(feature), dtype=np.int64)
        self._counts = np.zeros(self._bins.max(initial=-1) + 2, dtype=np.int64)  # the last one is of no level
        self._looked_up: _LookedUp | None = None

    @property
    def counts(self) -> Counts:
        """The counts so far."""
        return tuple(self._counts[:-1].tolist())

    def add(self, column: pa.ChunkedArray) -> tuple[int, pa.Array]:
        """Count the rows of a column. A dictionary is looked up once, and again when it changes.

        :return: the number of rows with a level that training did not have, and those levels.
        """
        unseen, levels = 0, []
        for chunk in column.chunks:
            if pat.is_dictionary(chunk.type):
                found, rows = self._look_up(chunk.dictionary), _occurrences(chunk.indices, len(chunk.dictionary))
            else:
                found, rows = self._look_up(chunk), np.ones(len(chunk), dtype=np.int64)
            np.add.at(self._counts, found.bins, rows)
            if len(found.unseen) and (there := found.unseen[rows[found.unseen] > 0]).size:
                unseen += int(rows[there].sum())
                levels.append(pc.unique(found.values.take(pa.array(there))))
        return unseen, contiguous(pa.chunked_array(levels, type=_value_type(column.type)))

    def _look_up(self, values: pa.Array) -> _LookedUp:
        """The bins of values; those of the values before, if they are the same."""
        if self._looked_up is None or not values.equals(self._looked_up.values):
            places = pc.index_in(values, value_set=self._levels)
            bins = np.append(self._bins, -1)[places.fill_null(len(self._bins)).to_numpy()]
            known = values.is_valid().to_numpy(zero_copy_only=False)
            self._looked_up = _LookedUp(values, bins, np.flatnonzero((bins < 0) & known))
        return self._looked_up


@dataclass(frozen=True)
class _LookedUp:
    """:param bins: the bin of each value; -1: it is no level.
    :param unseen: the places of values that are no levels of training.
    """

    values: pa.Array
    bins: np.ndarray
    unseen: np.ndarray


def _occurrences(indices: pa.Array, size: int) -> np.ndarray:
    """How often each index occurs."""
    if indices.null_count:
        indices = indices.cast(pa.int32()).fill_null(size)
    return np.bincount(indices.to_numpy(), minlength=size)[:size]


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pat.is_dictionary(kind) else kind
