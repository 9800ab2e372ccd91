"""Reading one piece of a CSV file: cut at record ends, parsed block by block with declared types, flat in memory.

A block is parsed by pyarrow's reader straight into the types asked for. Where that fails, the block is parsed again as
text and converted value by value, which finds every bad value; columns that needed it (``1.0`` in an integer column)
are read as text from then on.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from airflow_sklearn.contract.data import NULL_SPELLINGS
from airflow_sklearn.contract.receipt import Consumed
from airflow_sklearn.csv_records import ends_inside_quotes
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.worker.data.columns import Layout, match_columns
from airflow_sklearn.worker.data.convert import FALSE_VALUES, TRUE_VALUES, is_number
from airflow_sklearn.worker.data.csv_blocks import (
    LONGEST_RECORD,
    Block,
    RecordTooLongError,
    read_blocks,
    record_offsets,
)
from airflow_sklearn.worker.data.csv_head import (
    Head,
    newline_in_value,
    open_decoded,
    read_head,
    stream_problem,
    text_encoding,
)
from airflow_sklearn.worker.data.reader import PieceReader, ReadRequest
from airflow_sklearn.worker.data.types import is_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_sklearn.contract.data import SourceObject
    from airflow_sklearn.storage import Storage

_PROBE_BYTES = 1 << 16


class CsvPieceReader(PieceReader):
    """See ``PieceReader``. Files that cannot be cut (compressed, UTF-16) are read whole, as one piece."""

    def __init__(self, request: ReadRequest) -> None:
        super().__init__(request)
        self._csv = request.files.csv
        self._quote = self._csv.quote if self._csv.newlines_in_values else ""
        self._names: tuple[str, ...] = ()
        self._layout = Layout({}, {}, ())
        self._as_text: frozenset[str] = frozenset()
        self._options: dict[frozenset[str], pa_csv.ConvertOptions] = {}
        self._invalid: list[pa_csv.InvalidRow] = []
        self._parse_options = self._make_parse_options(self._set_aside)
        # pyarrow cannot hand undecodable records to a handler
        self._undecodable_options = self._make_parse_options(None)

    def _make_parse_options(self, on_invalid: Callable[[pa_csv.InvalidRow], str] | None) -> pa_csv.ParseOptions:
        return pa_csv.ParseOptions(
            delimiter=self._csv.delimiter,
            quote_char=self._csv.quote or False,
            newlines_in_values=bool(self._quote),
            invalid_row_handler=on_invalid,
        )

    def _tables(self) -> Iterator[pa.Table]:
        request, obj = self._request, self._request.piece.object
        first, last = self._extent()
        head = read_head(request.storage, request.files, obj)
        self._errors.merge(head.problems)
        if not head.problems and head.names:
            self._begin(head)
            if not self._failed:
                yield from self._blocks(head, first, last)
        self.consumed = Consumed(object=obj, first=first, last=last, total=obj.size, rows=self.rows)

    def _extent(self) -> tuple[int, int]:
        """The bytes ``[first, last)`` of the records whose first byte lies in the piece."""
        piece, storage = self._request.piece, self._request.storage
        whole = piece.start == 0 and piece.end >= piece.object.size
        if whole or piece.exact:
            return piece.start, min(piece.end, piece.object.size)
        if self._quote or not self._request.files.is_splittable(piece.object.uri):
            raise UserError(f"{self._uri} cannot be read in parts that begin just anywhere; plan it as one piece.")
        return tuple(next_record_start(storage, piece.object, at) for at in (piece.start, piece.end))  # type: ignore[return-value]

    def _begin(self, head: Head) -> None:
        self._names = head.names
        self._layout = match_columns(
            self._request.columns,
            head.names,
            self._folder_values(),
            file=self._uri,
            ignored=self._request.ignored,
            errors=self._errors,
            counted=self._request.problems,
        )

    def _blocks(self, head: Head, first: int, last: int) -> Iterator[pa.Table]:
        request, obj = self._request, self._request.piece.object
        splittable = request.files.is_splittable(obj.uri)
        try:
            if splittable:
                start = max(first, head.data_start)
                stream = open_decoded(request.storage, request.files, obj, start=start, end=max(start, last))
            else:
                start = head.data_start
                stream = open_decoded(request.storage, request.files, obj)
                _skip(stream, start)
            with stream:
                for block in read_blocks(stream, start, self._quote):
                    yield self._read(block)
                    if splittable:
                        self.bytes_read += len(block.data)
        except RecordTooLongError:
            self._fatal(
                "unbalanced_quotes",
                f"a record is longer than {LONGEST_RECORD:,} bytes",
                fix="close and double the quotes in the source, or set quote='' when values are not quoted.",
            )
        except (OSError, UnicodeDecodeError) as error:
            problem = stream_problem(error, self._uri, self._csv)
            if problem is None:
                raise
            self._errors.merge([problem])

    def _read(self, block: Block) -> pa.Table:
        """Parse, check and convert one block."""
        data = self._utf8(block)
        parsed = self._parse(data)
        invalid, self._invalid = self._invalid, []
        self._check_lines(block, parsed.num_rows + len(invalid))
        self.rows += parsed.num_rows + len(invalid)
        self._settle_invalid(invalid)
        read = {name: _single(parsed[str(position)]) for name, position in self._layout.positions.items()}
        table, bad, slow = self._assemble(read, parsed.num_rows, self._layout)
        self._as_text |= slow & set(read)
        if not bad:
            return table
        place = _Places(block, self._quote, [row.number for row in invalid])
        return self._settle(table, bad, lambda rows: self._spelled(data, rows), place)

    def _utf8(self, block: Block) -> pa.Buffer:
        encoding = text_encoding(self._csv)
        if encoding == "utf-8":
            return pa.py_buffer(block.data)
        try:
            return pa.py_buffer(bytes(block.data).decode(encoding).encode())
        except UnicodeDecodeError as error:
            self._wrong_encoding(error, block.offset)
            return pa.py_buffer(bytes(block.data).decode(encoding, "replace").encode())

    def _parse(self, data: pa.Buffer, *, all_text: bool = False) -> pa.Table:
        """The asked columns that the file has, named by their place; rows of another length go to ``_invalid``."""
        text = frozenset(self._layout.positions) if all_text else self._as_text
        self._invalid = []
        undecodable = _decoding_error(data)
        try:
            return self._read_csv(data, text, self._undecodable_options if undecodable else self._parse_options)
        except pa.ArrowInvalid:
            if not all_text:
                return self._parse(data, all_text=True)
            if undecodable is None:
                raise
            self._wrong_encoding(undecodable, None)
            return self._parse(pa.py_buffer(data.to_pybytes().decode("utf-8", "replace").encode()), all_text=True)

    def _read_csv(self, data: pa.Buffer, text: frozenset[str], options: pa_csv.ParseOptions) -> pa.Table:
        names = [str(position) for position in range(len(self._names))]
        return pa_csv.read_csv(
            pa.BufferReader(data),
            pa_csv.ReadOptions(use_threads=False, block_size=data.size + 1, column_names=names),
            options,
            self._convert_options(text),
        )

    def _convert_options(self, text: frozenset[str]) -> pa_csv.ConvertOptions:
        if text not in self._options:
            types = self._reading_types(text)
            self._options[text] = pa_csv.ConvertOptions(
                column_types=types or {"0": pa.string()},  # none asked for: rows still count
                include_columns=list(types) or ["0"],
                null_values=list(NULL_SPELLINGS if self._csv.null_values is None else self._csv.null_values),
                true_values=list(TRUE_VALUES),
                false_values=list(FALSE_VALUES),
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            )
        return self._options[text]

    def _reading_types(self, text: frozenset[str]) -> dict[str, pa.DataType]:
        """What pyarrow shall make of each column of the file; a column wanted as several types is read as text."""
        types: dict[str, pa.DataType] = {}
        for column in self._request.columns:
            if column.name in self._layout.positions:
                position = str(self._layout.positions[column.name])
                as_text = column.name in text or (column.keep_spelling and is_number(column.type))
                wanted = pa.string() if as_text else _reading_type(column.output_type)
                types[position] = wanted if types.get(position, wanted) == wanted else pa.string()
        return types

    def _spelled(self, data: pa.Buffer, rows: np.ndarray) -> pa.Table:
        """Rows of a block as text, all asked columns."""
        parsed = self._parse(data, all_text=True).take(pa.array(rows))
        self._invalid = []
        columns = {}
        for column in self._request.columns:
            name, position = column.name, self._layout.positions.get(column.name)
            value = self._layout.folder_values.get(name)
            columns[name] = pa.array([value] * len(rows), pa.string()) if position is None else parsed[str(position)]
        return pa.table(columns)

    def _set_aside(self, row: pa_csv.InvalidRow) -> str:
        self._invalid.append(row)
        return "skip"

    def _settle_invalid(self, invalid: list[pa_csv.InvalidRow]) -> None:
        """Records with a wrong number of fields: nothing in them can be trusted, so no policy reads them as null."""
        if not invalid:
            return
        quarantine = self._request.wrong_types == "quarantine"
        expected = invalid[0].expected_columns
        (self._request.problems if quarantine else self._errors).add(
            "wrong_field_count",
            f"records that do not have {expected} fields",
            file=self._uri,
            count=len(invalid),
            examples=[f"{row.actual_columns} fields: {row.text[:80]!r}" for row in invalid[:5]],
            fix="mend the source (quote values that hold the delimiter or a line break), or set such rows aside with "
            "wrong_types='quarantine'.",
        )
        if quarantine:
            empty = pa.table({column.name: pa.nulls(len(invalid), pa.string()) for column in self._request.columns})
            reasons = [f"wrong_field_count: {row.actual_columns} instead of {expected}" for row in invalid]
            self._reject(empty, reasons, [row.text for row in invalid])

    def _check_lines(self, block: Block, records: int) -> None:
        """Whether the parser saw the records that the file was cut into: otherwise cuts elsewhere would change rows."""
        if records != block.lines:  # blank lines are the harmless cause
            starts = record_offsets(block, self._quote)
            if records > len(starts) and not self._quote:
                self._fatal(
                    "lone_carriage_return",
                    "carriage returns without line feed end records",
                    count=records - len(starts),
                    fix="quote values that hold them, or convert them to line feeds.",
                )
            elif records != len(starts):
                self._line_break_in_value(abs(len(starts) - records))
        if not self._quote and self._csv.quote and self._ends_open(block):
            self._line_break_in_value(1)

    def _ends_open(self, block: Block) -> bool:
        data = block.data
        # the last record is small: look at the last 64 KiB only, at all when no line begins there
        tail = bytes(data[-_PROBE_BYTES:])
        begin = tail.rfind(b"\n", 0, len(tail) - 1) + 1
        record = tail[begin:] if begin or len(tail) == len(data) else bytes(data)
        return ends_inside_quotes(record, self._csv.delimiter.encode(), self._csv.quote.encode())

    def _line_break_in_value(self, count: int) -> None:
        if self._quote:
            self._fatal(
                "unbalanced_quotes",
                "quotes inside values are not doubled, so that records cannot be told apart",
                count=count,
                fix="write a quote inside a quoted value twice (\"\"), or set quote='' when values are not quoted.",
            )
        else:
            self._errors.merge([newline_in_value(self._uri, count)])

    def _wrong_encoding(self, error: UnicodeDecodeError, offset: int | None) -> None:
        where = "" if offset is None else f" (in the block at byte {offset:,})"
        self._fatal(
            "wrong_encoding",
            f"the file is not {self._csv.encoding}: {error.reason}{where}",
            fix="name the file's encoding: encoding='latin-1', 'cp1252', 'utf-16'.",
        )


def next_record_start(storage: Storage, obj: SourceObject, position: int) -> int:
    """``f(position)`` for a file in which every line feed ends a record; see ``airflow_sklearn.csv_records``."""
    if position <= 0 or position >= obj.size:
        return min(max(position, 0), obj.size)
    start, width = position - 1, _PROBE_BYTES
    while start < obj.size:
        data = storage.read(obj.uri, start=start, end=min(start + width, obj.size), etag=obj.etag)
        found = data.find(b"\n")
        if found >= 0:
            return start + found + 1
        start, width = start + len(data), width * 4
    return obj.size


class _Places:
    """Says at which byte a parsed row of a block begins; works it out only when asked."""

    def __init__(self, block: Block, quote: str, invalid: list[int]) -> None:
        self._block, self._quote, self._invalid = block, quote, invalid
        self._offsets: np.ndarray | None = None

    def __call__(self, row: int) -> str:
        if self._offsets is None:
            offsets = record_offsets(self._block, self._quote)
            self._offsets = np.delete(offsets, [number - 1 for number in self._invalid])
        return f"byte {int(self._offsets[row]):,}" if row < len(self._offsets) else "an unknown place"


def _reading_type(wanted: pa.DataType) -> pa.DataType:
    """The type that pyarrow's CSV reader is asked for; it has no half floats and no string views."""
    if is_text(wanted) and not pa.types.is_dictionary(wanted):
        return pa.string()
    return pa.float32() if pa.types.is_float16(wanted) else wanted


def _decoding_error(data: pa.Buffer) -> UnicodeDecodeError | None:
    try:
        codecs.utf_8_decode(memoryview(data), "strict", True)
    except UnicodeDecodeError as error:
        return error
    return None


def _single(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _skip(stream: object, count: int) -> None:
    while count > 0 and (data := stream.read(min(count, _PROBE_BYTES))):  # type: ignore[attr-defined]
        count -= len(data)
