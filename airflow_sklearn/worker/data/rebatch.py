"""Regrouping rows into tables of a size that suits prediction, whatever their sizes were when they were read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_sklearn.worker.batches import BATCH_BYTES, table_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def rebatch(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of ``rows`` rows, or fewer if rows are long. Each column is one array."""
    pending: list[pa.Table] = []
    count = size = 0
    for table in tables:
        while table.num_rows:
            taken = table.slice(0, rows - count)
            pending.append(taken)
            count += taken.num_rows
            size += table_bytes(taken)
            table = table.slice(taken.num_rows)
            if count == rows or size > BATCH_BYTES:
                yield from _halved(_join(pending))
                pending, count, size = [], 0, 0
    if pending:
        yield from _halved(_join(pending))


def _halved(table: pa.Table) -> Iterator[pa.Table]:
    """Halves of the table, halved again until each takes at most ``BATCH_BYTES``, or is one row."""
    if table.num_rows < 2 or table_bytes(table) <= BATCH_BYTES:
        yield table
        return
    middle = table.num_rows // 2
    yield from _halved(_join([table.slice(0, middle)]))
    yield from _halved(_join([table.slice(middle)]))


def _join(tables: list[pa.Table]) -> pa.Table:
    if len(tables) == 1 and all(column.num_chunks == 1 for column in tables[0].columns):
        return tables[0]
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()
