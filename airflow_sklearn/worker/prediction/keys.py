"""Hashing the primary keys of a chunk. The hashes are kept in files, so that memory does not grow with the rows."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from airflow_sklearn.contract.receipt import KeyHash
from airflow_sklearn.worker.key_hash import hash_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

_BUCKET_ROWS = 500_000  # hashes that are compared at a time: 4 MB, held twice
_BLOCK_ROWS = 1 << 18
_REPEATED_AT_ONCE = 250_000  # hashes, of 8 bytes


class KeyHasher:
    """Appends the 64-bit hash of every row's key to a file.

    :param path: a local scratch file, used by this object only.
    :param columns: the key's columns; empty: nothing is hashed.
    """

    def __init__(self, path: str, columns: Sequence[str]) -> None:
        self.path, self._columns, self._sum = path, list(columns), 0
        self._file = open(path, "wb")  # noqa: SIM115 - closed by close()

    def add(self, table: pa.Table) -> None:
        """Hash the keys of a batch of any number of rows."""
        if self._columns and table.num_rows:
            hashes = hash_columns(table.select(self._columns))
            self._sum = (self._sum + int(hashes.sum(dtype=np.uint64))) % 2**64
            hashes.tofile(self._file)

    def close(self) -> KeyHash:
        """Complete the file.

        :return: the sum of all hashes.
        """
        self._file.close()
        return KeyHash(value=self._sum)


def repeated_hashes(paths: Sequence[str]) -> Iterator[np.ndarray]:
    """Hashes that occur more than once in several files of ``KeyHasher``.

    :return: yields sorted arrays of uint64, each hash once, in ascending order over all arrays. Memory is bounded,
        however many rows were hashed and however many hashes repeat.
    """
    rows = sum(os.path.getsize(path) for path in paths) // np.dtype(np.uint64).itemsize
    buckets = 1 + rows // _BUCKET_ROWS
    width = 2**64 // buckets + 1
    found: list[np.ndarray] = []
    for bucket in range(buckets):
        low, high = np.uint64(bucket * width), np.uint64(min((bucket + 1) * width, 2**64) - 1)
        hashes = _at_most_twice(block[(block >= low) & (block <= high)] for block in _blocks(paths))
        repeated = hashes[1:][hashes[1:] == hashes[:-1]]
        if found and sum(map(len, found)) + len(repeated) > _REPEATED_AT_ONCE:
            yield np.concatenate(found)
            found = []
        if len(repeated):
            found.append(repeated)
    if found:
        yield np.concatenate(found)


def _at_most_twice(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """The values of all blocks, sorted. Of a value that occurs more often, two are kept."""
    hashes, pending, count = np.empty(0, np.uint64), [], 0
    for block in blocks:
        pending.append(block)
        count += len(block)
        if count > _BUCKET_ROWS:
            hashes, pending, count = _first_two(np.concatenate([hashes, *pending])), [], 0
    return _first_two(np.concatenate([hashes, *pending]))


def _first_two(hashes: np.ndarray) -> np.ndarray:
    hashes.sort()
    return np.concatenate([hashes[:2], hashes[2:][hashes[2:] != hashes[:-2]]])


def _blocks(paths: Iterable[str]) -> Iterator[np.ndarray]:
    for path in paths:
        with open(path, "rb") as file:  # not mapped: mapped pages would count as this process's memory
            while len(block := np.fromfile(file, np.uint64, _BLOCK_ROWS)):
                yield block
