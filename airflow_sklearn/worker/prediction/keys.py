"""Primary keys of a chunk: hashed row by row, checked for nulls and duplicates in memory that does not grow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from airflow_sklearn.contract.receipt import KeyHash
from airflow_sklearn.worker.key_hash import hash_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

_BUCKET_ROWS = 500_000  # hashes that are compared at a time: 4 MB, twice
_BLOCK_ROWS = 1 << 18


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
            hashes = hash_columns(table.select(self._columns))
            self._sum = (self._sum + int(hashes.sum(dtype=np.uint64))) % 2**64
            hashes.tofile(self._file)

    def close(self) -> KeyHash:
        self._file.close()
        return KeyHash(value=self._sum)


def repeated_hashes(paths: Sequence[str]) -> set[int]:
    """Hashes that occur more than once over several logs.

    A range of hashes is looked at at a time, so that memory is bounded however many rows were logged.
    """
    rows = sum(os.path.getsize(path) for path in paths) // np.dtype(np.uint64).itemsize
    buckets = 1 + rows // _BUCKET_ROWS
    width = 2**64 // buckets + 1
    repeated: set[int] = set()
    for bucket in range(buckets):
        low, high = np.uint64(bucket * width), np.uint64(min((bucket + 1) * width, 2**64) - 1)
        parts = [block[(block >= low) & (block <= high)] for block in _blocks(paths)]
        hashes = np.concatenate([np.empty(0, np.uint64), *parts])
        del parts
        hashes.sort()
        repeated.update(int(value) for value in hashes[1:][hashes[1:] == hashes[:-1]])
    return repeated


def _blocks(paths: Iterable[str]) -> Iterator[np.ndarray]:
    for path in paths:
        with open(path, "rb") as file:  # read, not mapped: mapped pages would count as this process's memory
            while len(block := np.fromfile(file, np.uint64, _BLOCK_ROWS)):
                yield block
