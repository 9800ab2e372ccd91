"""The beginning of a CSV file: is it one, what are its columns, where do its records begin."""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, cast

import pyarrow as pa

from airflow_sklearn.contract.problems import Problem
from airflow_sklearn.csv_records import ends_inside_quotes
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.worker.data.types import is_undecodable

if TYPE_CHECKING:
    from airflow_sklearn.contract.data import CsvOptions, SourceFiles, SourceObject
    from airflow_sklearn.storage import Storage

_HEAD_BYTES = 1 << 16
_LONGEST_HEADER = 1 << 24
_MAGIC = {
    b"PAR1": "Parquet (set file_format='parquet')",
    b"\x1f\x8b": "gzip (end its name in .gz, or set compression='gzip')",
    b"\x28\xb5\x2f\xfd": "Zstandard (end its name in .zst, or set compression='zstd')",
    b"BZh": "bzip2 (end its name in .bz2, or set compression='bz2')",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook (export it as CSV)",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (export it as CSV)",
    b"%PDF": "PDF",
    b"Obj\x01": "Avro",
    b"ORC": "ORC",
}
_ENCODING_FIX = "name the file's encoding: encoding='latin-1', 'cp1252', 'utf-16'."
_MARKUP = re.compile(rb"\s*<(!doctype|html|\?xml|error)", re.IGNORECASE)
_DATUM = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*|\d{4}-\d\d-\d\d.*")


@dataclass(frozen=True)
class Head:
    """What the first bytes of a file say.

    :param names: the columns in file order; empty when the file holds no record.
    :param data_start: where the first data record begins, in bytes of the stream (after decompression).
    :param problems: why this is not the CSV that was declared.
    """

    names: tuple[str, ...] = ()
    data_start: int = 0
    problems: tuple[Problem, ...] = field(default=())


def open_decoded(
    storage: Storage, files: SourceFiles, obj: SourceObject, *, start: int = 0, end: int | None = None
) -> BinaryIO:
    """A stream in which a line feed is one byte: decompressed, and recoded to UTF-8 where that takes the whole file."""
    stream = storage.open(obj.uri, start=start, end=end, etag=obj.etag)
    compression = files.csv.compression_of(obj.uri)
    if compression != "none":
        stream = cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(stream, "r"), compression))
    if not files.csv.has_plain_line_feeds():
        stream = cast(BinaryIO, _Recoded(stream, files.csv.encoding))
    return stream


class _Recoded(io.RawIOBase):
    """A text stream of any encoding as UTF-8."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._stream, self._decoder, self._pending = stream, codecs.getincrementaldecoder(encoding)(), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._pending:
            data = self._stream.read(_HEAD_BYTES)
            self._pending = self._decoder.decode(data, final=not data).encode()
            if not data:
                break
        count = min(len(buffer), len(self._pending))
        memoryview(buffer)[:count] = self._pending[:count]
        self._pending = self._pending[count:]
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


def stream_problem(error: Exception, uri: str, options: CsvOptions) -> Problem | None:
    """What an exception raised while reading ``open_decoded``'s stream says about the file; None: nothing."""
    if isinstance(error, UnicodeDecodeError):
        return _problem("wrong_encoding", f"the file is not {options.encoding}: {error.reason}", uri, _ENCODING_FIX)
    if options.compression_of(uri) == "none" or not is_undecodable(error):
        return None
    if "runcated" in str(error):
        return _problem("truncated_file", "the compressed file ends too early", uri, "write it again, whole.")
    return _problem("not_csv", f"the file does not decompress as {options.compression_of(uri)}: {error}", uri)


def newline_in_value(uri: str, count: int = 1) -> Problem:
    """The file needs ``newlines_in_values``, which was not declared."""
    return Problem(
        kind="newline_in_value",
        message="quoted values hold line breaks, but newlines_in_values is not declared",
        file=uri,
        count=count,
        fix="set newlines_in_values=True; the files are then cut only where a record truly ends.",
    )


def text_encoding(options: CsvOptions) -> str:
    """The encoding of the bytes that ``open_decoded`` gives, as Python calls it."""
    name = codecs.lookup(options.encoding).name if options.has_plain_line_feeds() else "utf-8"
    return "utf-8" if name in ("utf-8-sig", "ascii") else name


def read_head(storage: Storage, files: SourceFiles, obj: SourceObject) -> Head:
    """Read a file's first bytes, and its header where it has one.

    :raises UserError: the dialect is one that is not read.
    """
    _check_dialect(files.csv)
    size = _HEAD_BYTES
    while True:
        try:
            sample = _sample(storage, files, obj, size)
        except (OSError, UnicodeDecodeError) as error:
            problem = stream_problem(error, obj.uri, files.csv)
            if problem is None:
                raise
            return Head(problems=(problem,))
        problem = _foreign(sample, obj.uri, files.csv)
        if problem:
            return Head(problems=(problem,))
        whole = len(sample) < size
        start = 3 if sample.startswith(codecs.BOM_UTF8) else 0
        start += len(sample[start:]) - len(sample[start:].lstrip(b"\r\n"))
        end = _record_end(sample, start, files.csv)
        if end is None and whole:
            end = len(sample)
        if end is not None and _ends_open(sample[start:end], files.csv):
            return Head(problems=(newline_in_value(obj.uri),))
        if end is not None:
            return _head(sample[start:end], start, end, obj.uri, files.csv)
        if size > _LONGEST_HEADER:
            return Head(problems=(_problem("not_csv", f"no line ends within {size:,} bytes", obj.uri),))
        size *= 8


def _head(record: bytes, start: int, end: int, uri: str, options: CsvOptions) -> Head:
    try:
        text = record.decode(text_encoding(options))
    except UnicodeDecodeError as error:
        message = f"the first line is not {options.encoding}: {error.reason}"
        return Head(problems=(_problem("wrong_encoding", message, uri, _ENCODING_FIX),))
    fields = tuple(_fields(text, options))
    if not options.header:
        return _headless(fields, start, uri, options)
    if fields and not options.column_names and all(not name or _DATUM.fullmatch(name) for name in fields):
        found = ", ".join(fields[:5])
        fix = (
            "set header=False and give column_names, or add a header to the file; if these are the names, repeat them "
            "in column_names."
        )
        return Head(
            problems=(_problem("no_header", f"the first line looks like data, not like names: {found}", uri, fix),)
        )
    if options.column_names and fields:
        if len(options.column_names) != len(fields):
            message = f"the header has {len(fields)} names, column_names has {len(options.column_names)}"
            return Head(problems=(_problem("wrong_header", message, uri, "leave column_names out to use the header."),))
        fields = options.column_names
    return Head(names=fields, data_start=end)


def _headless(fields: tuple[str, ...], start: int, uri: str, options: CsvOptions) -> Head:
    if fields == options.column_names:
        message = "the first line is the column names, though header is false"
        return Head(problems=(_problem("header_in_data", message, uri, "set header=True."),))
    return Head(names=options.column_names, data_start=start)


def _check_dialect(options: CsvOptions) -> None:
    for name, value in (("delimiter", options.delimiter), ("quote", options.quote)):
        if not value.isascii():
            raise UserError(f"The CSV {name} {value!r} is not an ASCII character.")


def _sample(storage: Storage, files: SourceFiles, obj: SourceObject, size: int) -> bytes:
    """The first ``size`` bytes of the decoded stream, fewer when the file is shorter."""
    plain = files.is_splittable(obj.uri)
    with open_decoded(storage, files, obj, end=min(size, obj.size) if plain else None) as stream:
        sample = b""
        while len(sample) < size and (part := stream.read(size - len(sample))):
            sample += part
    return sample


def _foreign(sample: bytes, uri: str, options: CsvOptions) -> Problem | None:
    """Why these bytes are no CSV, if so."""
    for magic, name in _MAGIC.items():
        if sample.startswith(magic):
            return _problem("not_csv", f"the file is {name}", uri)
    if _MARKUP.match(sample):
        return _problem("not_csv", "the file is HTML or XML, perhaps an error page", uri)
    if b"\0" in sample:
        fix = "if it is text, name its encoding (encoding='utf-16'); otherwise leave the file out."
        return _problem("not_csv", "the file holds NUL bytes", uri, fix)
    if b"\r" in sample and b"\n" not in sample:
        fix = "convert it to line feeds, for example with `tr '\\r' '\\n'`."
        return _problem("lone_carriage_return", "lines end with carriage returns alone", uri, fix)
    return None


def _record_end(sample: bytes, start: int, options: CsvOptions) -> int | None:
    """Where the record at ``start`` ends, behind its line feed; None when the sample does not hold its end."""
    quote = options.quote.encode() if options.newlines_in_values else b""
    end = start
    while (line_feed := sample.find(b"\n", end)) >= 0:
        end = line_feed + 1
        if not quote or sample.count(quote, start, end) % 2 == 0:
            return end
    return None


def _ends_open(record: bytes, options: CsvOptions) -> bool:
    """Whether the first line ends inside quotes that no line break was declared to stand in."""
    if options.newlines_in_values or not options.header:
        return False  # data records are checked as they are read
    return ends_inside_quotes(record, options.delimiter.encode(), options.quote.encode())


def _fields(text: str, options: CsvOptions) -> list[str]:
    lines = io.StringIO(text, newline="")
    if options.quote:
        return next(csv.reader(lines, delimiter=options.delimiter, quotechar=options.quote), [])
    return next(csv.reader(lines, delimiter=options.delimiter, quoting=csv.QUOTE_NONE), [])


def _problem(kind: str, message: str, uri: str, fix: str = "") -> Problem:
    return Problem(kind=kind, message=message, file=uri, fix=fix)
