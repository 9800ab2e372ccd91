"""Opening Parquet files where they are: a local file directly, an object by fetching only the bytes that are needed."""

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
#: Column chunks nearer to each other than this are fetched in one request.
_GAP_BYTES = 1 << 20
#: Row groups are fetched together up to this size: small ones cost few requests, large ones little disk.
_FETCH_BYTES = 1 << 26
_COPY_BYTES = 1 << 20

#: Of the deprecated INT96, which Spark and others write. Arrow reads it as nanoseconds, which reach from 1677 to 2262:
#: 9999-12-31 would become another day without a word.
INT96_UNIT = "us"


@dataclass(frozen=True)
class Footer:
    """A file's metadata.

    :param metadata: as pyarrow reads it.
    :param schema: the columns as Arrow types.
    :param raw: the file's last bytes, from ``start`` on.
    """

    metadata: pq.FileMetaData
    schema: pa.Schema
    start: int
    raw: bytes


class NotParquetError(Exception):
    """The bytes are no Parquet file.

    :param problem: what they are.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def read_footer(storage: Storage, obj: SourceObject) -> Footer:
    """Read a file's metadata.

    :raises NotParquetError: it has none.
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
    """The first byte of a row group, the one that decides which piece holds it."""
    column = metadata.row_group(group).column(0)
    dictionary = column.dictionary_page_offset
    return int(min(column.data_page_offset, dictionary) if dictionary else column.data_page_offset)


def groups_before(metadata: pq.FileMetaData, position: int, size: int) -> int:
    """``g(p)``: row groups whose first byte lies before ``position``."""
    if position >= size:
        return int(metadata.num_row_groups)
    return sum(group_offset(metadata, group) < position for group in range(metadata.num_row_groups))


def open_groups(
    storage: Storage, obj: SourceObject, footer: Footer, groups: Sequence[int], columns: Sequence[int]
) -> Iterator[tuple[str, list[int]]]:
    """Local files that hold some row groups each; a file is valid until the next one is asked for.

    :param columns: the leaf columns that will be read, by their place in the file.
    """
    if not groups:
        return
    if not obj.uri.startswith("s3://"):
        check_unchanged(storage, obj)
        yield obj.uri.removeprefix("file://"), list(groups)
        return
    with _scratch_file() as path:
        for batch in _batches(footer.metadata, groups, columns):
            _fetch(storage, obj, footer, batch, columns, path)
            yield path, batch


def check_unchanged(storage: Storage, obj: SourceObject) -> None:
    """Objects are fetched by their version; a local file is read in place, and may be written over meanwhile.

    :raises ObjectChangedError: it was.
    """
    if not obj.uri.startswith("s3://") and storage.stat(obj.uri).etag != obj.etag:
        raise ObjectChangedError(f"{obj.uri} has changed: it is no longer the version {obj.etag}")


def _fetch(
    storage: Storage, obj: SourceObject, footer: Footer, groups: Sequence[int], columns: Sequence[int], path: str
) -> None:
    """Make a sparse copy of the object that has its footer and some column chunks."""
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
    """The column chunks' bytes, near ones joined."""
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
