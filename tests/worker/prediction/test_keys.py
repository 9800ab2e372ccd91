from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from airflow_sklearn.worker.key_hash import hash_columns
from airflow_sklearn.worker.prediction.keys import KeyHasher, repeated_hashes


def log(path: Path, keys: list[object]) -> int:
    hasher = KeyHasher(str(path), ["key"])
    for start in range(0, len(keys), 100):
        hasher.add(pa.table({"key": keys[start : start + 100], "other": keys[start : start + 100]}))
    return hasher.close().value


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_sklearn.worker.prediction.keys._BUCKET_ROWS", 300)
    monkeypatch.setattr("airflow_sklearn.worker.prediction.keys._BLOCK_ROWS", 64)


def test_the_sum_of_hashes_adds_up_over_any_cut_and_order(tmp_path: Path) -> None:
    keys: list[object] = [f"key {i}" for i in range(1_000)]
    whole = log(tmp_path / "whole", keys)
    parts = log(tmp_path / "a", keys[700:]) + log(tmp_path / "b", keys[:700])
    assert parts % 2**64 == whole
    assert log(tmp_path / "c", keys[1:]) != whole


def test_repeated_keys_are_found_over_logs_and_buckets(tmp_path: Path, small_steps: None) -> None:
    log(tmp_path / "a", list(range(1_000)))
    log(tmp_path / "b", [*range(1_000, 2_000), 7, 999])
    expected = sorted(hash_columns(pa.table({"key": [7, 999]})).tolist())
    (found,) = repeated_hashes([str(tmp_path / "a"), str(tmp_path / "b")])
    assert found.tolist() == expected


def test_many_repeated_hashes_come_in_several_sorted_arrays(
    tmp_path: Path, small_steps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_sklearn.worker.prediction.keys._REPEATED_AT_ONCE", 200)
    log(tmp_path / "a", list(range(1_000)) * 2)
    found = list(repeated_hashes([str(tmp_path / "a")]))
    assert max(map(len, found)) <= 200 < len(np.concatenate(found))
    assert np.concatenate(found).tolist() == sorted(hash_columns(pa.table({"key": range(1_000)})).tolist())


def test_a_hash_that_every_row_has_is_held_twice_at_most(tmp_path: Path, small_steps: None) -> None:
    log(tmp_path / "a", [7] * 5_000)
    (found,) = repeated_hashes([str(tmp_path / "a")])
    assert found.tolist() == hash_columns(pa.table({"key": [7]})).tolist()


def test_no_rows_and_no_key_repeat_nothing(tmp_path: Path) -> None:
    empty = KeyHasher(str(tmp_path / "none"), [])
    empty.add(pa.table({"key": np.arange(10)}))
    assert empty.close().value == 0
    assert list(repeated_hashes([str(tmp_path / "none")])) == []
