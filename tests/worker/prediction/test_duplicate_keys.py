from __future__ import annotations

import math
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_sklearn.worker.prediction.duplicate_keys import Example, find_duplicates
from airflow_sklearn.worker.prediction.keys import KeyHasher

HASHES = (
    "airflow_sklearn.worker.prediction.keys.hash_columns",
    "airflow_sklearn.worker.prediction.duplicate_keys.hash_columns",
)


def find(folder: Path, table: pa.Table, rows: int = 100) -> tuple[int, list[Example]]:
    batches = [table.slice(start, rows) for start in range(0, table.num_rows, rows)]
    hasher = KeyHasher(str(folder / "keys"), table.column_names)
    for batch in batches:
        hasher.add(batch)
    hasher.close()
    return find_duplicates([str(folder / "keys")], lambda: iter(batches))


def counted(table: pa.Table) -> tuple[int, list[tuple[Any, int]]]:
    """The same by a dictionary of Python's."""
    counts = Counter(zip(*table.to_pydict().values(), strict=True))
    twice = {key: count for key, count in counts.items() if count > 1 and None not in key}
    return sum(twice.values()) - len(twice), list(twice.items())[:5]


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in (
        ("keys", "_BUCKET_ROWS", 300),
        ("keys", "_BLOCK_ROWS", 64),
        ("keys", "_REPEATED_AT_ONCE", 200),
        ("duplicate_keys", "_ROWS_AT_ONCE", 150),
    ):
        monkeypatch.setattr(f"airflow_sklearn.worker.prediction.{module}.{name}", value)


def some_keys(rows: int, distinct: int) -> pa.Table:
    random = np.random.default_rng(0)
    return pa.table(
        {
            "shop": pa.array(random.integers(0, 7, rows)),
            "name": pa.array([None if n == 3 else f"name {n}" for n in random.integers(0, distinct, rows)]),
        }
    )


def test_rows_and_first_keys_are_those_that_a_dictionary_finds(tmp_path: Path, small_steps: None) -> None:
    table = some_keys(5_000, 400)
    rows, examples = find(tmp_path, table)
    assert (rows, [(key, count) for _, key, count in examples]) == counted(table)


@pytest.mark.parametrize("hashes", [1, 3])
def test_keys_whose_hashes_collide_are_no_duplicates(
    hashes: int, tmp_path: Path, small_steps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hash_by_length(table: pa.Table) -> np.ndarray:
        return np.array([value % hashes for value in table["key"].to_pylist()], np.uint64)

    for name in HASHES:
        monkeypatch.setattr(name, hash_by_length)
    distinct = list(range(400))
    assert find(tmp_path, pa.table({"key": distinct})) == (0, [])
    assert find(tmp_path, pa.table({"key": [*distinct, 7, 399, 7]})) == (3, [(7, (7,), 3), (399, (399,), 2)])


@pytest.mark.parametrize("missing", [None, math.nan])
def test_missing_keys_are_no_duplicates_of_each_other(missing: float | None, tmp_path: Path) -> None:
    assert find(tmp_path, pa.table({"key": pa.array([missing, 1.5, missing, 1.5], pa.float64())})) == (
        1,
        [(1, (1.5,), 2)],
    )


def test_zeros_of_both_signs_are_one_key(tmp_path: Path) -> None:
    assert find(tmp_path, pa.table({"key": [0.0, -0.0]}))[0] == 1


def peak_memory(folder: Path, keys: int) -> int:
    """Bytes of Python, numpy and Arrow while so many keys are found twice."""
    table = pa.table({"key": pa.array(np.arange(2 * keys) % keys).cast(pa.string())})
    pool, before = pa.proxy_memory_pool(pa.system_memory_pool()), pa.default_memory_pool()
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        assert find(folder, table, rows=1_000)[0] == keys
        return tracemalloc.get_traced_memory()[1] + pool.max_memory()
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)


def test_memory_does_not_grow_with_the_keys_that_occur_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (("keys", "_BUCKET_ROWS"), ("keys", "_REPEATED_AT_ONCE"), ("duplicate_keys", "_ROWS_AT_ONCE")):
        monkeypatch.setattr(f"airflow_sklearn.worker.prediction.{module}.{name}", 5_000)
    monkeypatch.setattr("airflow_sklearn.worker.prediction.keys._BLOCK_ROWS", 5_000)
    peak_memory(tmp_path, 5_000)  # what the first call imports and keeps counts for none of the others
    few, many = peak_memory(tmp_path, 15_000), peak_memory(tmp_path, 60_000)
    assert many < 1.5 * few, (few, many)
