"""Checking before the training data are loaded whether they fit into the container's memory."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from airflow_sklearn.contract.faults import counted
from airflow_sklearn.exceptions import AirflowSklearnError
from airflow_sklearn.system.cgroup import memory_limit
from airflow_sklearn.system.memory import memory_of
from airflow_sklearn.system.out_of_memory import OutOfMemoryError
from airflow_sklearn.worker.data.csv.head import open_decoded, read_head
from airflow_sklearn.worker.data.parquet.file import NotParquetError, read_footer

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_sklearn.contract.data import SourceObject
    from airflow_sklearn.contract.jobs import TrainJob
    from airflow_sklearn.storage import Storage

_NUMBER = 8  # bytes of a value in the table, and in the matrix that the estimator is fitted on
_SAMPLE_BYTES = 1 << 18
_TEXT = "BYTE_ARRAY"


def check_memory(job: TrainJob, storage: Storage, left_out: Collection[str], limit: int | None = None) -> None:
    """Check that the table and one matrix of its numbers fit into memory. Nothing but beginnings and ends of files is
    read.

    The estimate is a low one: many estimators need more. Files that cannot be read are left to the reader, which says
    why.

    :param left_out: columns that are not read.
    :param limit: the memory limit in bytes; None: that of this container.
    :raises OutOfMemoryError: they do not fit; the message says the size needed.
    """
    limit = memory_limit() if limit is None else limit
    here = memory_of(os.getpid())
    rows, data = _size(job, storage, left_out)
    if (needed := here + data) > limit:
        raise OutOfMemoryError(
            f"The training data do not fit into memory: about {counted(int(rows), 'row')} need at least "
            f"{needed / 2**30:,.1f} GiB, and the worker has {limit / 2**30:,.1f} GiB. Nothing was loaded. Fix: give "
            f"the job at least {math.ceil(1.5 * needed / 2**30):,} GiB, exclude columns, or train on "
            "a sample."
        )


def _size(job: TrainJob, storage: Storage, left_out: Collection[str]) -> tuple[float, float]:
    """The rows of the source, and the bytes that they take in memory; both are estimates. 0: it cannot be read."""
    try:
        if job.source.file_format == "csv":
            return _csv_size(job, storage, left_out)
        sizes = [_parquet_size(storage, obj, left_out) for obj in job.objects]
    except (AirflowSklearnError, NotParquetError, OSError, ValueError):  # ValueError: also Arrow's
        return 0, 0
    return sum(rows for rows, _ in sizes), sum(size for _, size in sizes)


def _parquet_size(storage: Storage, obj: SourceObject, left_out: Collection[str]) -> tuple[int, int]:
    metadata, size = read_footer(storage, obj).metadata, 0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            if column.path_in_schema.partition(".")[0] not in left_out:
                text = column.total_uncompressed_size if column.physical_type == _TEXT else 0
                size += max(text, group.num_rows * _NUMBER) + group.num_rows * _NUMBER
    return metadata.num_rows, size


def _csv_size(job: TrainJob, storage: Storage, left_out: Collection[str]) -> tuple[float, float]:
    """By the records at the beginning of the first object. Compressed objects count as if they were not."""
    first = next((obj for obj in job.objects if obj.size), None)
    if first is None:
        return 0, 0
    head = read_head(storage, job.source, first)
    with open_decoded(storage, job.source, first) as stream:
        sample = stream.read(_SAMPLE_BYTES)
    records = max(1, sample.count(b"\n"))
    rows = max(sum(obj.size for obj in job.objects), len(sample)) * records / max(1, len(sample))
    columns = [name for name in head.names if name not in left_out]
    return rows, rows * len(columns) * 2 * _NUMBER
