"""Primary keys of a chunk: hashed row by row, checked for nulls and duplicates in memory that does not grow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from airflow_sklearn.contract.receipt import KeyHash

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

_BUCKET_ROWS = 2_000_000  # hashes that are compared at a time: 16 MB


class KeyLog:
    """Appends the 64-bit hash of every row's key to a file.

    :param path: a local scratch file of this log's own.
    :param columns: the names of the key's columns; none: nothing is logged.
    """

    def __init__(self, path: str, columns: Sequence[str]) -> None:
        self.path, self._columns, self._sum = path, list(columns), 0
        self._file = open(path, "wb")  # noqa: SIM115 - closed by close()

    def add(self, table: pa.Table) -> None:
        """Log the keys of a batch, 0 or more rows."""
        if self._columns and table.num_rows:
            hashes = hash_keys(table.select(self._columns))
            self._sum = (self._sum + int(hashes.sum(dtype=np.uint64))) % 2**64
            hashes.tofile(self._file)

    def close(self) -> KeyHash:
        self._file.close()
        return KeyHash(value=self._sum)


def hash_keys(keys: pa.Table) -> np.ndarray:
    """One hash a row.

    :return: (n_rows,) of uint64; depends on the values of all columns and on their order, not on other rows.
    """
    return pd.util.hash_pandas_object(keys.to_pandas(), index=False, categorize=False).to_numpy(np.uint64)


def repeated_hashes(paths: Iterable[str]) -> set[int]:
    """Hashes that occur more than once over several logs.

    A range of hashes is looked at at a time, so that memory is bounded however many rows were logged.
    """
    logs = [np.memmap(path, np.uint64, mode="r") for path in paths if os.path.getsize(path)]
    buckets = 1 + sum(len(log) for log in logs) // _BUCKET_ROWS
    width = 2**64 // buckets + 1
    repeated: set[int] = set()
    for bucket in range(buckets):
        low, high = np.uint64(bucket * width), np.uint64(min((bucket + 1) * width, 2**64) - 1)
        parts = [block[(block >= low) & (block <= high)] for log in logs for block in _blocks(log)]
        hashes = np.sort(np.concatenate(parts)) if parts else np.empty(0, np.uint64)
        repeated.update(int(value) for value in np.unique(hashes[1:][hashes[1:] == hashes[:-1]]))
    return repeated


def _blocks(log: np.ndarray) -> Iterable[np.ndarray]:
    return (log[start : start + _BUCKET_ROWS] for start in range(0, len(log), _BUCKET_ROWS))
