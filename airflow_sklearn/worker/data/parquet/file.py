"""Opening Parquet files: a local file in place, an object in S3 by fetching only the needed bytes."""

from __future__ import annotations

import os
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_sklearn.contract.problems import Problem
from airflow_sklearn.exceptions import ObjectChangedError
from airflow_sklearn.system.scratch import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_sklearn.contract.data import SourceObject
    from airflow_sklearn.storage import Storage

_MAGIC = b"PAR1"
_TAIL_BYTES = 1 << 16
#: Column chunks that are fewer bytes apart than this are fetched in one request.
_GAP_BYTES = 1 << 20
#: Row groups are fetched together up to this number of bytes: few requests for small ones, little disk for large ones.
_FETCH_BYTES = 1 << 26
_COPY_BYTES = 1 << 20

#: For the deprecated type INT96, which Spark and others write. Arrow reads it as nanoseconds, which cover 1677 to 2262
#: only: 9999-12-31 would silently become another day.
INT96_UNIT = "us"


@dataclass(frozen=True)
class Footer:
    """A file's metadata.

    :param metadata: the metadata as pyarrow reads them.
    :param schema: the columns with Arrow types.
    :param raw: the file's last bytes.
    :param start: the offset of ``raw`` in the file.
    """

    metadata: pq.FileMetaData
    schema: pa.Schema
    start: int
    raw: bytes


class NotParquetError(Exception):
    """The bytes are no Parquet file.

    :param problem: what they are instead.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def read_footer(storage: Storage, obj: SourceObject) -> Footer:
    """Read a file's metadata.

    :raises NotParquetError: the file has none.
    """
    start = max(0, obj.size - _TAIL_BYTES)
    raw = storage.read(obj.uri, start=start, end=obj.size, etag=obj.etag) if obj.size else b""
    if len(raw) < 12 or raw[-4:] != _MAGIC:
        raise NotParquetError(_what_it_is(storage, obj))
    needed = struct.unpack("<I", raw[-8:-4])[0] + 8
    if needed > obj.size:
        raise NotParquetError(_problem(obj, "not_parquet", "the footer is damaged", "write the file again."))
    if needed > len(raw):
        start = obj.size - needed
        raw = storage.read(obj.uri, start=start, end=obj.size, etag=obj.etag)
    try:
        with pq.ParquetFile(
            pa.BufferReader(_MAGIC + raw[-needed:]), coerce_int96_timestamp_unit=INT96_UNIT, pre_buffer=False
        ) as file:
            return Footer(file.metadata, file.schema_arrow, start, raw)
    except (pa.ArrowException, OSError) as error:
        raise NotParquetError(
            _problem(obj, "not_parquet", f"the footer is damaged: {error}", "write it again.")
        ) from error


def group_offset(metadata: pq.FileMetaData, group: int) -> int:
    """The offset of a row group's first byte. The row group belongs to the piece that holds this byte."""
    column = metadata.row_group(group).column(0)
    dictionary = column.dictionary_page_offset
    return int(min(column.data_page_offset, dictionary) if dictionary else column.data_page_offset)


def groups_before(metadata: pq.FileMetaData, position: int, size: int) -> int:
    """The number of row groups whose first byte lies before ``position``.

    :param size: the file's bytes.
    """
    if position >= size:
        return int(metadata.num_row_groups)
    return sum(group_offset(metadata, group) < position for group in range(metadata.num_row_groups))


def open_groups(
    storage: Storage, obj: SourceObject, footer: Footer, groups: Sequence[int], columns: Sequence[int]
) -> Iterator[tuple[str, list[int]]]:
    """Yield local files, each with some of the row groups. A file is valid until the next one is requested.

    :param storage: where the object is.
    :param obj: the Parquet file.
    :param footer: its metadata.
    :param groups: the numbers of the row groups to read.
    :param columns: the positions of the leaf columns to read.
    :return: yields a path, and the numbers of the row groups in it.
    """
    if not groups:
        return
    if local := storage.local_path(obj.uri):
        check_unchanged(storage, obj)
        yield local, list(groups)
        return
    with _scratch_file() as path:
        for batch in _batches(footer.metadata, groups, columns):
            _fetch(storage, obj, footer, batch, columns, path)
            yield path, batch


def check_unchanged(storage: Storage, obj: SourceObject) -> None:
    """Check that a local file, which is read in place, is still the planned version. S3 checks its objects itself.

    :raises ObjectChangedError: the file has changed.
    """
    if storage.local_path(obj.uri) and storage.stat(obj.uri).etag != obj.etag:
        raise ObjectChangedError(f"{obj.uri} has changed: it is no longer the version {obj.etag}")


def _fetch(
    storage: Storage, obj: SourceObject, footer: Footer, groups: Sequence[int], columns: Sequence[int], path: str
) -> None:
    """Make a sparse local copy of an object, with its footer and some column chunks."""
    with open(path, "wb") as file:
        file.truncate(obj.size)
        file.seek(footer.start)
        file.write(footer.raw)
        for start, end in _ranges(footer.metadata, groups, columns):
            file.seek(start)
            with storage.open(obj.uri, start=start, end=end, etag=obj.etag) as stream:
                while data := stream.read(_COPY_BYTES):
                    file.write(data)


def _batches(metadata: pq.FileMetaData, groups: Sequence[int], columns: Sequence[int]) -> Iterator[list[int]]:
    batch: list[int] = []
    size = 0
    for group in groups:
        wanted = sum(end - start for start, end in _chunks(metadata, [group], columns))
        if batch and size + wanted > _FETCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(group)
        size += wanted
    if batch:
        yield batch


def _ranges(metadata: pq.FileMetaData, groups: Sequence[int], columns: Sequence[int]) -> list[tuple[int, int]]:
    """The byte ranges of column chunks; ranges that are close together are joined."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(_chunks(metadata, groups, columns)):
        if joined and start - joined[-1][1] <= _GAP_BYTES:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _chunks(metadata: pq.FileMetaData, groups: Sequence[int], columns: Sequence[int]) -> Iterator[tuple[int, int]]:
    for group in groups:
        row_group = metadata.row_group(group)
        for position in columns:
            chunk = row_group.column(position)
            dictionary = chunk.dictionary_page_offset
            start = min(chunk.data_page_offset, dictionary) if dictionary else chunk.data_page_offset
            yield start, start + chunk.total_compressed_size


@contextmanager
def _scratch_file() -> Iterator[str]:
    with scratch_folder() as folder:
        yield os.path.join(folder, "copy.parquet")


def _what_it_is(storage: Storage, obj: SourceObject) -> Problem:
    head = storage.read(obj.uri, start=0, end=min(4, obj.size), etag=obj.etag) if obj.size else b""
    if head == _MAGIC:
        return _problem(
            obj, "truncated_file", "the Parquet file ends too early: it has no footer", "write it again, whole."
        )
    what = "is empty" if not obj.size else "is not Parquet"
    return _problem(
        obj,
        "not_parquet",
        f"the file {what}",
        "leave it out of the source; of CSV, say Dataset(uri, file_format='csv').",
    )


def _problem(obj: SourceObject, kind: str, message: str, fix: str) -> Problem:
    return Problem(kind=kind, message=message, file=obj.uri, fix=fix)
