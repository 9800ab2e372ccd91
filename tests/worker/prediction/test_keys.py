from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from airflow_sklearn.worker.key_hash import hash_columns
from airflow_sklearn.worker.prediction.keys import KeyLog, repeated_hashes


def log(path: Path, keys: list[object]) -> int:
    keys_log = KeyLog(str(path), ["key"])
    for start in range(0, len(keys), 100):
        keys_log.add(pa.table({"key": keys[start : start + 100], "other": keys[start : start + 100]}))
    return keys_log.close().value


def test_the_sum_of_hashes_adds_up_over_any_cut_and_order(tmp_path: Path) -> None:
    keys: list[object] = [f"key {i}" for i in range(1_000)]
    whole = log(tmp_path / "whole", keys)
    parts = log(tmp_path / "a", keys[700:]) + log(tmp_path / "b", keys[:700])
    assert parts % 2**64 == whole
    assert log(tmp_path / "c", keys[1:]) != whole


def test_repeated_keys_are_found_over_logs_and_buckets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_sklearn.worker.prediction.keys._BUCKET_ROWS", 300)
    monkeypatch.setattr("airflow_sklearn.worker.prediction.keys._BLOCK_ROWS", 64)
    log(tmp_path / "a", list(range(1_000)))
    log(tmp_path / "b", [*range(1_000, 2_000), 7, 999])
    expected = {int(value) for value in hash_columns(pa.table({"key": [7, 999]}))}
    assert repeated_hashes([str(tmp_path / "a"), str(tmp_path / "b")]) == expected


def test_no_rows_and_no_key_repeat_nothing(tmp_path: Path) -> None:
    empty = KeyLog(str(tmp_path / "none"), [])
    empty.add(pa.table({"key": np.arange(10)}))
    assert empty.close().value == 0
    assert repeated_hashes([str(tmp_path / "none")]) == set()
