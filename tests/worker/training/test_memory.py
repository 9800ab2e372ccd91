"""Training data that are too large are refused before they are loaded."""

from __future__ import annotations

import os

import numpy as np
import pyarrow as pa
import pytest

from airflow_sklearn.system.memory import memory_of
from airflow_sklearn.system.out_of_memory import OutOfMemoryError
from airflow_sklearn.worker.training import memory
from airflow_sklearn.worker.training.memory import check_memory
from tests.worker.workbench import Workbench, error_of

ROOM = 20 * 2**20


def numbers(rows: int) -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table(
        {"key": range(rows), "y": rng.integers(0, 2, rows), **{f"x{i}": rng.random(rows) for i in range(8)}}
    )


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_the_estimate_is_near_the_table_and_a_matrix_of_it(bench: Workbench, name: str) -> None:
    table = numbers(60_000)
    job = bench.train_job(bench.write(table, name))
    rows, size = memory._size(job, bench.storage, ())
    assert rows == pytest.approx(60_000, rel=0.05)
    assert size == pytest.approx(2 * table.nbytes, rel=0.1)
    _, less = memory._size(job, bench.storage, [f"x{i}" for i in range(8)])
    assert less < size / 4


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_table_that_does_not_fit_is_refused_with_the_size_needed(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(memory, "memory_of", lambda pid: 2**27)  # this process's own changes with each test
    limit = 2**27 + ROOM
    check_memory(bench.train_job(bench.write(numbers(1_000), "small.parquet")), bench.storage, (), limit)
    job = bench.train_job(bench.write(numbers(200_000), name))
    with pytest.raises(OutOfMemoryError, match=r"about \d+,\d+ rows need at least 0\.\d GiB.*Nothing was loaded"):
        check_memory(job, bench.storage, (), limit)


def test_the_job_ends_as_one_that_needs_more_memory(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory_limit", lambda: memory_of(os.getpid()) // 2)
    result = bench.run(bench.train_job(bench.write(numbers(1_000), "t.csv")))
    assert result.error is not None
    assert result.error.kind == "memory"
    assert "do not fit into memory" in error_of(result)


def test_a_file_that_is_none_is_left_to_the_reader(bench: Workbench) -> None:
    job = bench.train_job(bench.write_bytes(b"no parquet", "t.parquet"))
    check_memory(job, bench.storage, (), 10**15)
    assert "not_parquet" in str(bench.run(job).error)
