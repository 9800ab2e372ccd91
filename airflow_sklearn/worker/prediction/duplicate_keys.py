"""Finding keys that occur more than once in a chunk, by their hashes and then their values, in bounded memory."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from airflow_sklearn.contract.problem_collector import let_pass
from airflow_sklearn.models.arrow_types import parse_type
from airflow_sklearn.worker.data.csv.dialect import written_parse_options
from airflow_sklearn.worker.key_hash import hash_columns
from airflow_sklearn.worker.prediction.keys import repeated_hashes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_sklearn.contract.jobs import PredictJob
    from airflow_sklearn.contract.problem_collector import ProblemCollector
    from airflow_sklearn.contract.schema import Column
    from airflow_sklearn.worker.prediction.slices import SliceResult

_EXAMPLES = 5
_ROWS_AT_ONCE = 100_000  # rows whose keys are compared at a time

Example = tuple[int, tuple[Any, ...], int]
"""The number of the first row with a key, the key, and how many rows have it."""


def report_duplicates(job: PredictJob, results: Sequence[SliceResult], problems: ProblemCollector) -> None:
    """Add a problem ``duplicate_key`` if keys occur more than once in the chunk.

    :param job: the job.
    :param results: the results of all processes; their local files are read.
    :param problems: collects the problem.
    """
    names = [column.name for column in job.spec.primary_key]
    if not names:
        return
    columns = results[0].columns

    def keys() -> Iterator[pa.Table]:
        for result in results:
            for path in result.local_parts:
                yield from _keys_of_predictions(path, job, columns, names)
        for result in results:
            for path in result.local_keys:
                yield from _tables(pq.ParquetFile(path).iter_batches(columns=names), names)

    schema = pa.schema([(name, _comparable(kind)) for name, kind in _types(columns, names).items()])
    rows, examples = find_duplicates(
        [result.key_log for result in results], lambda: (table.cast(schema) for table in keys())
    )
    if rows:
        problems.add(
            "duplicate_key",
            "rows whose primary key occurred before in this chunk",
            column=", ".join(names),
            file=job.chunk.label,
            count=rows,
            examples=[f"{', '.join(map(str, key))} ({count} times)" for _, key, count in examples],
            fix="remove them from the source; give a primary_key that is unique; "
            + let_pass("duplicate_keys", count="counted"),
        )


def find_duplicates(hash_files: Sequence[str], keys: Callable[[], Iterable[pa.Table]]) -> tuple[int, list[Example]]:
    """Count the rows whose key an earlier row has. Keys are equal if their values are; equal hashes are not enough.

    :param hash_files: files of ``KeyHasher`` for the same rows.
    :param keys: returns the keys of all rows, in order. Called once for each 250,000 hashes that repeat.
    :return: the number of rows; and the first repeated keys, in the order of their first rows.
    """
    total, examples = 0, list[Example]()
    for hashes in repeated_hashes(hash_files):
        found = _distinct_keys(keys(), hashes)
        if found is None:
            continue
        twice = np.flatnonzero(found.counts > 1)
        total += int((found.counts[twice] - 1).sum())
        first = twice[np.argsort(found.first_rows[twice])[:_EXAMPLES]]
        values = found.keys.take(pa.array(first)).to_pydict().values()
        shown = zip(
            found.first_rows[first].tolist(), zip(*values, strict=True), found.counts[first].tolist(), strict=True
        )
        examples = heapq.nsmallest(_EXAMPLES, [*examples, *shown], key=lambda example: example[0])
    return total, examples


@dataclass
class _Keys:
    """Distinct keys and their rows.

    :param hashes: uint64 of shape (keys,).
    :param counts: the number of the source's rows with each key.
    :param first_rows: the number of the first such row.
    """

    keys: pa.Table
    hashes: np.ndarray
    counts: np.ndarray
    first_rows: np.ndarray

    def take(self, rows: np.ndarray) -> _Keys:
        return _Keys(self.keys.take(pa.array(rows)), self.hashes[rows], self.counts[rows], self.first_rows[rows])


def _distinct_keys(tables: Iterable[pa.Table], repeated: np.ndarray) -> _Keys | None:
    """The distinct keys with one of the hashes; None if there are none."""
    pending: list[_Keys] = []
    rows = waiting = 0
    for table in tables:
        hashes = hash_columns(table)
        places = np.minimum(np.searchsorted(repeated, hashes), len(repeated) - 1)
        complete = ~np.logical_or.reduce([np.asarray(pc.is_null(c, nan_is_null=True)) for c in table.columns])
        found = np.flatnonzero((repeated[places] == hashes) & complete)  # a key with a null or NaN equals no other
        if len(found):
            taken = table.take(pa.array(found))
            pending.append(_Keys(taken, hashes[found], np.ones(len(found), np.int64), rows + found))
        rows, waiting = rows + table.num_rows, waiting + len(found)
        if waiting > _ROWS_AT_ONCE:
            pending, waiting = [_merged(_joined(pending))], 0
    return _merged(_joined(pending)) if pending else None


def _joined(parts: Sequence[_Keys]) -> _Keys:
    return _Keys(
        pa.concat_tables([part.keys for part in parts]).combine_chunks(),
        np.concatenate([part.hashes for part in parts]),
        np.concatenate([part.counts for part in parts]),
        np.concatenate([part.first_rows for part in parts]),
    )


def _merged(rows: _Keys) -> _Keys:
    """Merge rows with equal keys.

    Among the rows with one hash, those with the key of the first one are merged with it. Others, whose hash collides,
    are merged among themselves: each round settles one key of each hash.

    :param rows: in the order of ``first_rows``, as far as their keys are equal.
    """
    settled = []
    while len(rows.hashes):
        rows = rows.take(np.argsort(rows.hashes, kind="stable"))
        begins = np.concatenate([[True], rows.hashes[1:] != rows.hashes[:-1]])
        firsts = np.flatnonzero(begins)
        group = np.cumsum(begins) - 1
        same = _equal(rows.keys, rows.keys.take(pa.array(firsts[group])))
        counts = np.bincount(group[same], rows.counts[same], len(firsts)).astype(np.int64)
        merged = rows.take(firsts)
        merged.counts = counts
        settled.append(merged)
        if same.all():
            break
        rows = rows.take(np.flatnonzero(~same))
    return _joined(settled)


def _equal(one: pa.Table, other: pa.Table) -> np.ndarray:
    """Which rows have the same values: bool of shape (rows,). There are no nulls."""
    columns = zip(one.columns, other.columns, strict=True)
    return np.logical_and.reduce([np.asarray(pc.equal(a, b)) for a, b in columns])


def _comparable(kind: pa.DataType) -> pa.DataType:
    """A type for the same values that Arrow can compare and take rows of."""
    if pa.types.is_float16(kind):
        return pa.float32()
    return pa.string() if pa.types.is_string_view(kind) else kind


def _types(columns: Sequence[Column], names: Sequence[str]) -> dict[str, pa.DataType]:
    types = {column.name: column.arrow_type for column in columns}
    return {name: parse_type(types[name]) for name in names}


def _keys_of_predictions(path: str, job: PredictJob, columns: Sequence[Column], names: list[str]) -> Iterator[pa.Table]:
    """The key columns of a file of predictions of this job, batch by batch.

    :param columns: the columns of the file.
    """
    if job.spec.output_format == "parquet":
        return _tables(pq.ParquetFile(path).iter_batches(columns=names), names)
    options = job.spec.output_csv
    batches = csv.open_csv(
        pa.input_stream(path, compression="detect"),
        read_options=csv.ReadOptions(
            column_names=[column.name for column in columns], skip_rows=int(options.header), use_threads=False
        ),
        parse_options=written_parse_options(options),
        convert_options=csv.ConvertOptions(include_columns=names, column_types=_types(columns, names)),
    )
    return _tables(batches, names)


def _tables(batches: Iterable[pa.RecordBatch], names: list[str]) -> Iterator[pa.Table]:
    return (pa.Table.from_batches([batch]).select(names) for batch in batches)
