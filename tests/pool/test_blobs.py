"""Bytes beside the messages, stored by several threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

from airflow_sklearn.pool.blobs import BlobWriter
from airflow_sklearn.pool.folder import PoolFolder
from tests.waiting import PATIENCE


class Uploads:
    """Storage that keeps each upload until as many are under way as are waited for."""

    def __init__(self, together: int) -> None:
        self.stored: list[str] = []
        self._together = threading.Barrier(together)

    def write_stream(self, uri: str, stream: Any) -> None:
        self._together.wait(PATIENCE)
        self.stored.append(uri.rpartition("/")[2])


def store(writer: BlobWriter, contents: list[bytes]) -> None:
    with ThreadPoolExecutor(len(contents)) as threads:
        for _ in threads.map(lambda data: writer.store(memoryview(data), sha256(data).hexdigest()), contents):
            pass


def test_different_arrays_are_stored_beside_each_other() -> None:
    storage: Any = Uploads(together=3)
    writer = BlobWriter(PoolFolder(storage, "s3://pools/1"))
    contents = [b"a" * 10, b"b" * 10, b"c" * 10]
    store(writer, contents)
    assert sorted(storage.stored) == sorted(sha256(data).hexdigest() for data in contents)
    assert writer.bytes_stored == 30


def test_an_array_is_stored_once_however_many_threads_have_it() -> None:
    storage: Any = Uploads(together=1)
    writer = BlobWriter(PoolFolder(storage, "s3://pools/1"))
    store(writer, [b"same"] * 8)
    assert storage.stored == [sha256(b"same").hexdigest()]
    assert writer.bytes_stored == 4
