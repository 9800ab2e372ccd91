"""Files as UNLOAD writes them: rows dealt out to slices, each of which writes one file after another."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from local_cloud.redshift import types
from local_cloud.redshift.options import Options
from local_cloud.redshift.protocol import Column

#: Redshift's largest file, 6.2 GB, and its usual row group. A test may ask for smaller files than Redshift's 5 MB.
_FILE_BYTES = 6_200 << 20
_ROW_GROUP_BYTES = 32 << 20
_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True)
class File:
    """A file that is complete.

    :param name: what comes behind the prefix.
    """

    name: str
    content: bytes | memoryview
    rows: int


def parquet_files(rows: Iterator[list[bytes]], columns: list[Column], options: Options, slices: int) -> Iterator[File]:
    """:param rows: lines of CSV as PostgreSQL writes it."""
    schema = pa.schema([(column.name, types.arrow_type(column)) for column in columns])
    writers = [_ParquetSlice(_Names(options, number, slices, ".parquet"), schema, options) for number in range(slices)]
    for batch in _batches(rows, schema):
        for number, writer in enumerate(writers):
            # Rows of one block go to all slices, as they do in a cluster: no file holds the table's beginning.
            first, last = (batch.num_rows * n // slices for n in (number, number + 1))
            if last > first:
                yield from writer.write(batch.slice(first, last - first))
    for writer in writers:
        yield from writer.close()


def csv_files(rows: Iterator[list[bytes]], columns: list[Column], options: Options, slices: int) -> Iterator[File]:
    """:param rows: as PostgreSQL gives them."""
    header = b""
    if "HEADER" in options.values:
        header = ",".join(column.name for column in columns).encode() + b"\n"
    zipped = "GZIP" in options.values
    names = [_Names(options, number, slices, ".gz" if zipped else "") for number in range(slices)]
    parts = [list[bytes]() for _ in range(slices)]
    sizes = [0] * slices
    for count, row in enumerate(chain.from_iterable(rows)):
        number = count % slices
        parts[number].append(row)
        sizes[number] += len(row)
        if sizes[number] >= options.size("MAXFILESIZE", _FILE_BYTES):
            yield _csv_file(names[number], header, parts[number], zipped)
            parts[number], sizes[number] = [], 0
    for number in range(slices):
        if parts[number]:
            yield _csv_file(names[number], header, parts[number], zipped)


def _csv_file(names: _Names, header: bytes, rows: list[bytes], zipped: bool) -> File:
    content = header + b"".join(rows)
    return File(names.next(), gzip.compress(content) if zipped else content, len(rows))


class _Names:
    """The names of one slice's files."""

    def __init__(self, options: Options, number: int, slices: int, extension: str) -> None:
        self._slice, self._parallel, self._part = number, options.on("PARALLEL", True), 0
        given = options.values.get("EXTENSION")
        self._extension = extension if given is None else f".{given.removeprefix('.')}"

    def next(self) -> str:
        """For the next file."""
        part, self._part = self._part, self._part + 1
        stem = f"{self._slice:04d}_part_{part:02d}" if self._parallel else f"{part:03d}"
        return stem + self._extension


@dataclass
class _ParquetSlice:
    """Gathers batches until a row group is full, and row groups until a file is."""

    names: _Names
    schema: pa.Schema
    options: Options
    _batches: list[pa.RecordBatch] = field(default_factory=list)
    _gathered: int = 0
    _rows: int = 0
    _sink: pa.BufferOutputStream | None = None
    _writer: pq.ParquetWriter | None = None

    def write(self, batch: pa.RecordBatch) -> Iterator[File]:
        """Add rows; the files that are complete by that."""
        self._batches.append(batch)
        self._gathered += batch.nbytes
        if self._gathered >= self._group_bytes:
            self._write_group()
            if self._sink is not None and self._sink.tell() >= self.options.size("MAXFILESIZE", _FILE_BYTES):
                yield from self.close()

    def close(self) -> Iterator[File]:
        """The last file, if there is anything to be in it."""
        self._write_group()
        if self._writer is not None and self._sink is not None:
            self._writer.close()
            yield File(self.names.next(), memoryview(self._sink.getvalue()), self._rows)
        self._sink = self._writer = None
        self._rows = 0

    @property
    def _group_bytes(self) -> int:
        return min(self.options.size("ROWGROUPSIZE", _ROW_GROUP_BYTES), self.options.size("MAXFILESIZE", _FILE_BYTES))

    def _write_group(self) -> None:
        if not self._batches:
            return
        if self._writer is None:
            self._sink = pa.BufferOutputStream()
            texts = [column.name for column in self.schema if pa.types.is_string(column.type)]
            self._writer = pq.ParquetWriter(self._sink, self.schema, compression="snappy", use_dictionary=texts)
        table = pa.Table.from_batches(self._batches, self.schema)
        rows = max(1, table.num_rows * self._group_bytes // max(self._gathered, self._group_bytes))
        self._writer.write_table(table, row_group_size=rows)
        self._rows += table.num_rows
        self._batches, self._gathered = [], 0


class _Lines(io.RawIOBase):
    """Rows as a file to read from."""

    def __init__(self, first: list[bytes], rows: Iterator[list[bytes]]) -> None:
        self._rows, self._left = rows, b"".join(first)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """So many bytes; fewer only at the end."""
        parts, length = [self._left], len(self._left)
        while length < size and (rows := next(self._rows, None)):
            parts.append(b"".join(rows))
            length += len(parts[-1])
        joined = b"".join(parts)
        self._left = joined[size:]
        return joined[:size]


def _batches(rows: Iterator[list[bytes]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    first = next(rows, None)
    if first is None:
        return
    reader = pacsv.open_csv(
        pa.PythonFile(_Lines(first, rows), "r"),
        pacsv.ReadOptions(column_names=schema.names, block_size=_BLOCK_BYTES),
        pacsv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        pacsv.ConvertOptions(
            column_types=schema,
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    yield from reader
