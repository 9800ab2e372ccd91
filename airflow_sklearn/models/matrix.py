"""The shapes that a preprocessed table can have: a dense or sparse matrix, or a frame with categories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse as sp

#: Rows that are scaled at a time, so that their numbers stay in the processor's cache.
_BLOCK_ROWS = 1024

#: A matrix column and the entry there, by the code of a category.
Places = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class NumberBlock:
    """Writes imputed and scaled numbers, and null indicators after them.

    :param means: shape (numbers,).
    :param scales: shape (numbers,).
    :param fills: shape (numbers,): what replaces nulls; None: nulls stay NaN.
    :param scale: whether to subtract means and divide by scales.
    :param flagged: the numbers that have a null indicator.
    """

    means: np.ndarray
    scales: np.ndarray
    fills: np.ndarray | None
    scale: bool
    flagged: list[int]

    def write(self, out: np.ndarray, arrays: list[np.ndarray]) -> bool:
        """Write into the first columns of ``out`` (C order).

        :param out: shape (rows, at least the numbers and their indicators).
        :param arrays: one of shape (rows,) for each number.
        :return: whether all numbers are finite, or none is imputed.
        """
        count, factors, finite = len(arrays), 1.0 / self.scales, True
        fills = self.fills
        if fills is not None and self.scale:
            fills = (fills - self.means) * factors
        for start in range(0, len(out), _BLOCK_ROWS):
            rows = out[start : start + _BLOCK_ROWS]
            block = rows[:, :count]
            for j, values in enumerate(arrays):
                block[:, j] = values[start : start + _BLOCK_ROWS]
            if self.scale:
                block -= self.means
                block *= factors
            if fills is not None:
                null = np.isnan(block)
                np.copyto(block, fills, where=null)
                rows[:, count : count + len(self.flagged)] = null[:, self.flagged]
                finite = finite and bool(np.isfinite(block).all())
        return finite


def places_of(first: int, levels: list[int], other: list[bool], null: list[bool]) -> list[Places]:
    """For each category: the matrix column and the entry there, by code (levels, then null, then unseen).

    The columns are those of the levels, then of all other levels, then of nulls, as far as the category has them. A
    code without a column of its own becomes a zero in the category's first column.

    :param first: the matrix column of the first category.
    :param levels: the number of levels of each category.
    :param other: whether it has a column for all other levels.
    :param null: whether it has a column for nulls.
    """
    start, tables = first, []
    for count, has_other, has_null in zip(levels, other, null, strict=True):
        column, entry = np.full(count + 2, start, dtype=np.int32), np.zeros(count + 2)
        column[:count] += np.arange(count, dtype=np.int32)
        entry[:count] = 1.0
        if has_other:
            column[count + 1], entry[count + 1] = start + count, 1.0
        if has_null:
            column[count], entry[count] = start + count + has_other, 1.0
        tables.append((column, entry))
        start += count + has_other + has_null
    return [(column.clip(max=max(start - 1, 0)), entry) for column, entry in tables]


def sparse_matrix(
    rows: int, width: int, block: NumberBlock, arrays: list[np.ndarray], tables: list[Places], codes: list[np.ndarray]
) -> tuple[sp.csr_matrix, bool]:
    """The sparse matrix, and whether its numbers are finite. Every row has the same number of entries, so that
    building it needs no search for zeros.
    """
    first = len(arrays) + len(block.flagged)
    entries = first + len(codes)
    data, indices = np.empty((rows, entries)), np.empty((rows, entries), dtype=np.int32)
    finite = block.write(data, arrays)
    indices[:, :first] = np.arange(first, dtype=np.int32)
    for j, ((column, entry), code) in enumerate(zip(tables, codes, strict=True), start=first):
        indices[:, j] = column.take(code)
        data[:, j] = entry.take(code)
    starts = np.arange(0, rows * entries + 1, entries) if entries else np.zeros(rows + 1, dtype=np.int32)
    return sp.csr_matrix((data.ravel(), indices.ravel(), starts), shape=(rows, width)), finite


def dense_matrix(
    rows: int, width: int, block: NumberBlock, arrays: list[np.ndarray], tables: list[Places], codes: list[np.ndarray]
) -> tuple[np.ndarray, bool]:
    """The dense matrix, and whether its numbers are finite."""
    first = len(arrays) + len(block.flagged)
    out = np.empty((rows, width))
    out[:, first:] = 0.0
    finite = block.write(out, arrays)
    row = np.arange(rows)
    for (column, entry), code in zip(tables, codes, strict=True):
        out[row, column.take(code)] = entry.take(code)
    return out, finite


def frame(matrix: np.ndarray, names: list[str], sizes: dict[str, int]) -> pd.DataFrame:
    """A frame whose columns are those of a matrix; some become categories.

    :param matrix: shape (rows, columns). A category's column holds its code, NaN where it has none.
    :param names: the columns' names.
    :param sizes: the number of codes of each category, by the column's name.
    """
    columns = {}
    for name, values in zip(names, matrix.T, strict=True):
        if name in sizes:
            codes = np.where(np.isnan(values), -1, values).astype(np.int32)
            columns[name] = pd.Categorical.from_codes(codes, np.arange(sizes[name], dtype=np.int64))
        else:
            columns[name] = values
    return pd.DataFrame(columns, index=pd.RangeIndex(len(matrix)), copy=False)
