"""Large arguments are stored once, fetched once a container, and mapped into memory."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed, parallel_config
from scipy import sparse

from airflow_sklearn.joblib_backend import WorkerPool
from airflow_sklearn.pool import pickles
from airflow_sklearn.pool.blobs import BlobReader, BlobWriter
from airflow_sklearn.pool.driver.arguments import Arguments
from airflow_sklearn.pool.folder import PoolFolder
from airflow_sklearn.storage import Storage
from tests.pool.driver.conftest import LocalPool
from tests.waiting import wait_for


def look(array: np.ndarray) -> dict[str, Any]:
    base: Any = array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    base = base.obj if isinstance(base, memoryview) else base
    return {"mapped": isinstance(base, mmap.mmap), "writeable": array.flags.writeable, "sum": float(array.sum())}


def stored(pool: WorkerPool) -> int:
    return pool.statistics()["bytes_stored"]


def test_an_array_is_stored_once_for_all_its_tasks_and_calls_and_mapped(local_pool: LocalPool) -> None:
    array = np.arange(1_000_000, dtype=float)
    with WorkerPool(**local_pool.parameters) as pool, parallel_config("containers", pool=pool, n_jobs=2):
        for _ in range(2):
            for found in Parallel(batch_size=1)(delayed(look)(array) for _ in range(10)):
                assert found == {"mapped": True, "writeable": False, "sum": array.sum()}
        assert stored(pool) == array.nbytes
        array[0] = 1_000.0  # between two calls
        assert Parallel()(delayed(look)(array) for _ in range(2))[0]["sum"] == array.sum()
        assert stored(pool) == 2 * array.nbytes


def test_mmap_mode_and_max_nbytes_are_joblibs(shared_pool: WorkerPool) -> None:
    array = np.ones(50_000)
    with parallel_config("containers", pool=shared_pool, n_jobs=2):
        of_mode = {
            mode: Parallel(max_nbytes=1000, mmap_mode=mode)(delayed(look)(array) for _ in range(2))[0]
            for mode in ("r", "c", None)
        }
        assert [of_mode[mode]["mapped"] for mode in ("r", "c", None)] == [True, True, False]
        assert [of_mode[mode]["writeable"] for mode in ("r", "c", None)] == [False, True, True]
        assert not Parallel(max_nbytes=None)(delayed(look)(array) for _ in range(2))[0]["mapped"]
        assert Parallel(max_nbytes="10K")(delayed(look)(array) for _ in range(2))[0]["mapped"]


LARGE = np.random.default_rng(0).random((2000, 50))
THINGS = {
    "C order": (LARGE, LARGE.nbytes),
    "Fortran order": (np.asfortranarray(LARGE), LARGE.nbytes),
    "every second row": (LARGE[::2], LARGE.nbytes // 2),
    "some columns": (LARGE[:, 3:20], 17 * LARGE.nbytes // 50),
    "integers": (np.arange(100_000), 800_000),
    "a frame": (pd.DataFrame(LARGE).add_prefix("c"), LARGE.nbytes),
    "sparse": (sparse.csr_matrix(np.where(LARGE > 0.5, LARGE, 0)), 500_000),
}


@pytest.mark.parametrize("name", THINGS)
def test_what_is_made_of_arrays_is_kept_out_of_pickles(tmp_path: Path, name: str) -> None:
    thing, size = THINGS[name]
    folder = PoolFolder(Storage(), f"file://{tmp_path}/pool")
    arguments = Arguments(BlobWriter(folder))
    payloads = [arguments.payload((thing, number), 10_000, name=f"task-{number}") for number in range(3)]
    assert payloads[0].buffers
    assert payloads[0].buffers == payloads[1].buffers == payloads[2].buffers
    assert len(payloads[0].inline) < 20_000
    files = list((tmp_path / "pool" / "blobs").iterdir())
    assert sum(file.stat().st_size for file in files) >= size
    reader = BlobReader(folder, str(tmp_path))
    found, number = pickles.loads(reader.data(payloads[1]), reader.buffers(payloads[1], "r"))
    assert number == 1
    assert type(found) is type(thing)
    difference = found - thing
    assert abs(difference).max().max() == 0


def test_text_columns_are_kept_out_too(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": [f"customer number {number}" for number in range(20_000)]})
    folder = PoolFolder(Storage(), f"file://{tmp_path}/pool")
    payload = Arguments(BlobWriter(folder)).payload(frame, 10_000, name="task")
    assert payload.buffers
    reader = BlobReader(folder, str(tmp_path))
    pd.testing.assert_frame_equal(pickles.loads(reader.data(payload), reader.buffers(payload, "r")), frame)


def test_memory_that_was_given_back_is_not_taken_for_what_was_there(tmp_path: Path) -> None:
    arguments = Arguments(BlobWriter(PoolFolder(Storage(), f"file://{tmp_path}/pool")))
    digests = set()
    for number in range(20):  # the next one often gets the address of the last one
        digests.add(arguments.payload(np.full(100_000, number), 1000, name="task").buffers[0].sha256)
    assert len(digests) == 20


def test_large_results_come_by_storage_and_are_removed(local_pool: LocalPool) -> None:
    with WorkerPool(**local_pool.parameters) as pool, parallel_config("containers", pool=pool, n_jobs=2):
        results = Parallel(batch_size=1)(delayed(np.full)(100_000, number) for number in range(4))
        assert [int(result[0]) for result in results] == [0, 1, 2, 3]
        assert all(result.flags.writeable for result in results)
        wait_for(lambda: not [name for name in local_pool.remains() if "result-" in name], local_pool.remains)
