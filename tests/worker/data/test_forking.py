"""Readers run in processes that are forked from one that has read already."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.waiting import PATIENCE
from tests.worker.data.helpers import INT, STORAGE, columns, read, stored


def _sum_of(uri: str, file_format: str) -> int:
    return sum(a for (a,) in read(STORAGE.stat(uri), columns(a=INT), file_format=file_format).rows)


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_a_forked_process_reads_what_its_parent_has_read(tmp_path: Path, file_format: str) -> None:
    obj = stored(tmp_path / "t", b"a\n" + b"\n".join(b"%d" % i for i in range(10_000)))
    if file_format == "parquet":
        pq.write_table(pa.table({"a": range(10_000)}), tmp_path / "t", row_group_size=1000)
    expected = _sum_of(obj.uri, file_format)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.starmap_async(_sum_of, [(obj.uri, file_format)] * 4).get(timeout=PATIENCE)
    assert found == [expected] * 4 == [sum(range(10_000))] * 4
