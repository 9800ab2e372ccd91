"""The beginning of a CSV file: whether it is CSV, its columns, and where its records begin."""

from __future__ import annotations

import codecs
import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, cast

import pyarrow as pa

from airflow_sklearn.contract.problems import Problem
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runs.csv_records import first_record_end, split_record
from airflow_sklearn.worker.data.csv.dialect import quote_around_records
from airflow_sklearn.worker.data.types import is_undecodable

if TYPE_CHECKING:
    from airflow_sklearn.contract.data import CsvOptions, SourceFiles, SourceObject
    from airflow_sklearn.storage import Storage

_HEAD_BYTES = 1 << 16
_LONGEST_HEADER = 1 << 24
#: Binary formats by their first bytes. If these are letters, a column could have that name: more bytes must match.
_MAGIC = {
    rb"\x1f\x8b": "gzip (end its name in .gz, or set compression='gzip')",
    rb"\x28\xb5\x2f\xfd": "Zstandard (end its name in .zst, or set compression='zstd')",
    rb"BZh[1-9]\x31\x41\x59\x26\x53\x59": "bzip2 (end its name in .bz2, or set compression='bz2')",
    rb"PK\x03\x04": "a ZIP archive or an Excel workbook (export it as CSV)",
    rb"\xd0\xcf\x11\xe0": "an old Excel workbook (export it as CSV)",
    rb"%PDF-\d": "PDF",
    rb"Obj\x01": "Avro",
    rb"PAR[1E][^\n]*[\x00-\x08\x0e-\x1f]": "Parquet (say Dataset(uri, file_format='parquet'))",
    rb"ORC[^\n]*[\x00-\x08\x0e-\x1f]": "ORC",
}
_ENCODING_FIX = "name the file's encoding: encoding='latin-1', 'cp1252', 'utf-16'."
_MARKUP = re.compile(rb"\s*<(!doctype\s|html[\s>]|\?xml\s|error>\s*<)", re.IGNORECASE)
_DATUM = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*|\d{4}-\d\d-\d\d.*")


@dataclass(frozen=True)
class Head:
    """The information from a file's first bytes.

    :param names: the columns in file order; empty if the file holds no record.
    :param header: the fields of the first record if it is the header. ``column_names`` may rename them.
    :param data_start: the offset of the first data record, in bytes of the decompressed stream.
    :param problems: why the file is not the declared CSV; empty if it is.
    """

    names: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    data_start: int = 0
    problems: tuple[Problem, ...] = field(default=())


def open_decoded(
    storage: Storage, files: SourceFiles, obj: SourceObject, *, start: int = 0, end: int | None = None
) -> BinaryIO:
    """A stream in which a line feed is one byte: decompressed, and recoded to UTF-8 if the encoding needs it.

    :param storage: where the object is.
    :param files: how it is written.
    :param obj: the object.
    :param start: byte offset in the object; 0 for files that cannot be cut (compressed, UTF-16).
    :param end: byte offset after the last byte; None: the object's end.
    """
    stream = storage.open(obj.uri, start=start, end=end, etag=obj.etag)
    compression = files.csv.compression_of(obj.uri)
    if compression != "none":
        stream = cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(stream, "r"), compression))
    if not files.csv.has_plain_line_feeds():
        stream = cast(BinaryIO, _Recoded(stream, files.csv.encoding))
    return stream


class _Recoded(io.RawIOBase):
    """A text stream of any encoding as UTF-8 bytes."""

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
    """The problem of a file for which reading ``open_decoded``'s stream raised an exception; None: another cause."""
    if isinstance(error, UnicodeDecodeError):
        return _problem("wrong_encoding", f"the file is not {options.encoding}: {error.reason}", uri, _ENCODING_FIX)
    if options.compression_of(uri) == "none" or not is_undecodable(error):
        return None
    if "runcated" in str(error):
        return _truncated("the compressed file ends too early", uri)
    return _problem("not_csv", f"the file does not decompress as {options.compression_of(uri)}: {error}", uri)


def newline_in_value(uri: str, count: int = 1) -> Problem:
    """The problem that a file needs ``newlines_in_values``, which was not declared.

    :param uri: the file.
    :param count: how often this was found in the file.
    """
    return Problem(
        kind="newline_in_value",
        message="quoted values hold line breaks, but newlines_in_values is not declared",
        file=uri,
        count=count,
        fix="set newlines_in_values=True; the files are then cut only where a record truly ends.",
    )


def text_encoding(options: CsvOptions) -> str:
    """The encoding of the bytes from ``open_decoded``, by Python's name."""
    name = codecs.lookup(options.encoding).name if options.has_plain_line_feeds() else "utf-8"
    return "utf-8" if name in ("utf-8-sig", "ascii") else name


def read_head(storage: Storage, files: SourceFiles, obj: SourceObject) -> Head:
    """Read a file's first bytes, and its header if it has one.

    :param storage: where the file is.
    :param files: how it is written.
    :param obj: the file.
    :raises UserError: the dialect is not supported.
    """
    _check_dialect(files.csv)
    if not obj.size and files.csv.compression_of(obj.uri) != "none":
        return Head(problems=(_truncated("the compressed file is empty", obj.uri),))
    size = _HEAD_BYTES
    while True:
        try:
            sample = _sample(storage, files, obj, size)
        except (OSError, UnicodeDecodeError) as error:
            problem = stream_problem(error, obj.uri, files.csv)
            if problem is None:
                raise
            return Head(problems=(problem,))
        problem = _foreign(sample, obj.uri)
        if problem:
            return Head(problems=(problem,))
        head = _find_head(sample, len(sample) < size, obj.uri, files.csv)
        if head is not None:
            return head
        if size > _LONGEST_HEADER:
            return Head(problems=(_problem("not_csv", f"no line ends within {size:,} bytes", obj.uri),))
        size *= 8


def _find_head(sample: bytes, whole: bool, uri: str, options: CsvOptions) -> Head | None:
    """The head from a file's first bytes; None if they do not hold its end.

    :param whole: whether ``sample`` is the whole file.
    """
    start = len(codecs.BOM_UTF8) if sample.startswith(codecs.BOM_UTF8) else 0
    start += len(sample[start:]) - len(sample[start:].lstrip(b"\r\n"))
    length = first_record_end(sample[start:], quote_around_records(options), options.delimiter)
    settled = whole or length is not None
    end = len(sample) if length is None else start + length
    try:
        text = sample[start:end].decode(text_encoding(options), "strict" if settled else "replace")
    except UnicodeDecodeError as error:
        message = f"the first line is not {options.encoding}: {error.reason}"
        return Head(problems=(_problem("wrong_encoding", message, uri, _ENCODING_FIX),))
    record = split_record(text, options.delimiter, options.quote)
    if record is not None:
        fields, at = record
        if options.header and text[at:].strip("\r\n"):  # it would be dropped
            return Head(problems=(_lone_carriage_return("a carriage return alone ends the header", uri),))
        return _head(tuple(fields) if text else (), start, end, uri, options) if settled else None
    if not settled:
        return None
    if not options.header:
        return Head(names=options.column_names, data_start=start)  # data records are checked while they are read
    if length is None:
        return Head(problems=(_truncated("the header ends inside a quoted name", uri),))
    return Head(problems=(newline_in_value(uri),))


def _head(fields: tuple[str, ...], start: int, end: int, uri: str, options: CsvOptions) -> Head:
    """:param end: the offset after the first record's line break."""
    if not options.header:
        return _headless(fields, start, uri, options)
    if not fields:
        message = "the file is empty: it does not even have a header"
        fix = "write the file again, or leave it out of the source. A file without rows still needs its header."
        return Head(problems=(_problem("no_header", message, uri, fix),))
    header = fields
    if not options.column_names and all(not name or _DATUM.fullmatch(name) for name in fields):
        found = ", ".join(fields[:5])
        fix = (
            "set header=False and give column_names, or add a header to the file; if these are the names, repeat them "
            "in column_names."
        )
        return Head(
            problems=(_problem("no_header", f"the first line looks like data, not like names: {found}", uri, fix),)
        )
    if options.column_names:
        if len(options.column_names) != len(fields):
            message = f"the header has {len(fields)} names, column_names has {len(options.column_names)}"
            return Head(problems=(_problem("wrong_header", message, uri, "leave column_names out to use the header."),))
        fields = options.column_names
    return Head(names=fields, header=header, data_start=end)


def _headless(fields: tuple[str, ...], start: int, uri: str, options: CsvOptions) -> Head:
    if fields == options.column_names:
        message = "the first line is the column names, though header is false"
        return Head(problems=(_problem("header_in_data", message, uri, "set header=True."),))
    return Head(names=options.column_names, data_start=start)


def _check_dialect(options: CsvOptions) -> None:
    for name, value in (("delimiter", options.delimiter), ("quote", options.quote)):
        if not value.isascii() or value in ("\r", "\n"):
            raise UserError(f"The CSV {name} {value!r} is not an ASCII character within a line.")
    if options.delimiter == options.quote:
        raise UserError(f"The CSV delimiter and quote are both {options.quote!r}.")


def _sample(storage: Storage, files: SourceFiles, obj: SourceObject, size: int) -> bytes:
    """The first ``size`` bytes of the decoded stream; fewer if the file is shorter."""
    plain = files.is_splittable(obj.uri)
    with open_decoded(storage, files, obj, end=min(size, obj.size) if plain else None) as stream:
        sample = b""
        while len(sample) < size and (part := stream.read(size - len(sample))):
            sample += part
    return sample


def _foreign(sample: bytes, uri: str) -> Problem | None:
    """The problem if these bytes are another file format; else None."""
    for magic, name in _MAGIC.items():
        if re.match(magic, sample):
            return _problem("not_csv", f"the file is {name}", uri)
    if _MARKUP.match(sample):
        return _problem("not_csv", "the file is HTML or XML, perhaps an error page", uri)
    if b"\0" in sample:
        fix = "if it is text, name its encoding (encoding='utf-16'); otherwise leave the file out."
        return _problem("not_csv", "the file holds NUL bytes", uri, fix)
    return None


def _lone_carriage_return(message: str, uri: str) -> Problem:
    fix = "end every line in the same way: convert carriage returns to line feeds, for example with `tr '\\r' '\\n'`."
    return _problem("lone_carriage_return", message, uri, fix)


def _truncated(message: str, uri: str) -> Problem:
    return _problem("truncated_file", message, uri, "write it again, whole.")


def _problem(kind: str, message: str, uri: str, fix: str = "") -> Problem:
    return Problem(kind=kind, message=message, file=uri, fix=fix)
