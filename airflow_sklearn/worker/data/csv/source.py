"""Reading one piece of a CSV file: cut at the ends of records, parsed block by block, in constant memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_sklearn.contract.problem_collector import let_pass
from airflow_sklearn.contract.receipt import Consumed
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runs.csv_records import LONGEST_RECORD, ends_inside_quotes, split_record
from airflow_sklearn.worker.data.columns import Layout, match_columns
from airflow_sklearn.worker.data.csv.blocks import Block, RecordTooLongError, read_blocks, record_offsets
from airflow_sklearn.worker.data.csv.dialect import quote_around_records
from airflow_sklearn.worker.data.csv.head import (
    Head,
    newline_in_value,
    open_decoded,
    read_head,
    stream_problem,
    text_encoding,
)
from airflow_sklearn.worker.data.csv.parser import BlockParser
from airflow_sklearn.worker.data.csv.values import with_nulls
from airflow_sklearn.worker.data.reader import PieceReader, ReadRequest
from airflow_sklearn.worker.data.types import is_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow.csv as pa_csv

    from airflow_sklearn.contract.data import SourceObject
    from airflow_sklearn.storage import Storage
    from airflow_sklearn.worker.data.csv.parser import Parsed

_PROBE_BYTES = 1 << 16


class CsvPieceReader(PieceReader):
    """See ``PieceReader``. Files that cannot be cut (compressed, UTF-16) are read whole, as one piece."""

    def __init__(self, request: ReadRequest) -> None:
        super().__init__(request)
        self._csv = request.files.csv
        self._quote = quote_around_records(self._csv)
        self._head = Head()
        self._layout = Layout({}, {}, {}, ())
        self._parser = BlockParser(self._csv, (), {}, 0)

    def _tables(self) -> Iterator[pa.Table]:
        request, obj = self._request, self._request.piece.object
        first, last = self._extent()
        head = read_head(request.storage, request.files, obj)
        self._errors.merge(head.problems)
        if not head.problems and head.names:
            self._begin(head)
            if not self.failed:
                yield from self._blocks(head, first, last)
        self.consumed = Consumed(object=obj, first=first, last=last, total=obj.size, rows=self.rows)

    def _extent(self) -> tuple[int, int]:
        """The bytes ``[first, last)`` of the piece's records: those whose first byte lies in the piece."""
        piece, storage = self._request.piece, self._request.storage
        whole = piece.start == 0 and piece.end >= piece.object.size
        if whole or piece.exact:
            return piece.start, min(piece.end, piece.object.size)
        if self._quote or not self._request.files.is_splittable(piece.object.uri):
            raise UserError(f"{self._uri} cannot be read in parts that begin just anywhere; plan it as one piece.")
        return tuple(next_record_start(storage, piece.object, at) for at in (piece.start, piece.end))  # type: ignore[return-value]

    def _begin(self, head: Head) -> None:
        self._head = head
        self._layout = match_columns(
            self._request.columns,
            head.names,
            self._folder_values(),
            file=self._uri,
            ignored=self._request.ignored,
            errors=self._errors,
            counted=self._request.problems,
            for_training=self._request.for_training,
        )
        self._parser = BlockParser(self._csv, self._request.columns, self._layout.positions, len(head.names))

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
                to_end = not splittable or last >= obj.size
                for block in read_blocks(stream, start, self._quote, self._csv.delimiter):
                    yield self._read(block, is_last=to_end and not block.ended)
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

    def _read(self, block: Block, *, is_last: bool) -> pa.Table:
        """Parse, check and convert one block.

        :param is_last: whether the file ends in the block's last record, without a line break.
        """
        data = self._utf8(block)
        parsed = self._parser.parse(data)
        if parsed.undecodable is not None:
            self._wrong_encoding(parsed.undecodable, None)
        records, invalid = parsed.rows + len(parsed.invalid), parsed.invalid
        if is_last and self._is_cut_off(block):
            # reported as this problem only
            invalid = [row for row in invalid if row.number != records]
        else:
            self._check_lines(block, records)
        self.rows += records
        place = _Places(block, self._quote, self._csv.delimiter, records, [row.number for row in parsed.invalid])
        self._settle_invalid(invalid, place)
        read = self._parser.columns(parsed.raw)
        table, bad, slow = self._assemble(read, parsed.rows, self._layout)
        self._parser.read_slowly(slow)
        self._count_null_keys(table, bad, place)
        if len(header := self._repeated_headers(parsed, data)):
            self._report_headers(header, place)
            for flags in bad.values():
                flags[header] = False
        bad = {name: flags for name, flags in bad.items() if flags.any()}
        return self._settle(table, bad, lambda rows: self._spelled(data, rows), place) if bad else table

    def _utf8(self, block: Block) -> pa.Buffer:
        encoding = text_encoding(self._csv)
        if encoding == "utf-8":
            return pa.py_buffer(block.data)
        try:
            return pa.py_buffer(bytes(block.data).decode(encoding).encode())
        except UnicodeDecodeError as error:
            self._wrong_encoding(error, block.offset)
            return pa.py_buffer(bytes(block.data).decode(encoding, "replace").encode())

    def _is_cut_off(self, block: Block) -> bool:
        """Whether the file ends within the block's last record. If so, a problem is reported."""
        start = int(record_offsets(block, self._quote, self._csv.delimiter)[-1])
        data = bytes(block.data[start - block.offset :])
        text = data.decode(text_encoding(self._csv), "replace")
        record = split_record(text, self._csv.delimiter, self._csv.quote)
        if _ends_in_character(data, text_encoding(self._csv)):
            how = "in the middle of a character: it was cut off"
        elif record is None:
            how = "inside a quoted value: the file was cut off, or a quote is never closed"
        elif len(record[0]) < len(self._head.names) and text.strip("\r"):
            how = f"after {len(record[0])} of {len(self._head.names)} fields, without a line break: it was cut off"
        else:
            return False
        self._fatal(
            "truncated_file",
            f"the file ends in its last record, {how}",
            examples=[f"{text[:80]!r} at byte {start:,}"],
            fix="write the file again, whole; if nothing is missing, remove its last line.",
        )
        return True

    def _repeated_headers(self, parsed: Parsed, data: pa.Buffer) -> np.ndarray:
        """The rows that repeat the header, as in files joined by ``cat``: bool of shape (rows,). Their columns may
        have any order.

        Columns that were read as numbers, booleans or dates hold no names. Only text is therefore compared.
        """
        names = (self._head.header, self._head.names)
        known = pa.array({f"\ufeff{self._head.names[0]}", *self._head.header, *self._head.names}, pa.string())
        texts = sorted((v for v in parsed.raw.values() if is_text(v.type)), key=lambda v: pa.types.is_string(v.type))
        rows = np.arange(parsed.rows)
        if len(texts) < len(parsed.raw) or len(self._head.names) < 2:
            return rows[:0]
        for values in texts:
            rows = rows[_are_in(values if len(rows) == parsed.rows else values.take(pa.array(rows)), known)]
            if not len(rows):
                return rows
        whole = self._parser.parse_as_text(data).raw
        found = zip(*(whole[place].take(pa.array(rows)).to_pylist() for place in sorted(whole)), strict=True)
        same = [sorted(fields) for fields in names]
        return rows[[sorted([first.removeprefix("\ufeff"), *others]) in same for first, *others in found]]

    def _report_headers(self, rows: np.ndarray, place: Callable[[int], str]) -> None:
        self._fatal(
            "repeated_header",
            "the header stands among the rows again, as where files were put together by `cat`",
            count=len(rows),
            examples=[f"at {place(row)}" for row in rows[:5].tolist()],
            fix="give the files one by one (a list of URIs, a prefix or a glob), or remove these lines.",
        )

    def _spelled(self, data: pa.Buffer, rows: np.ndarray) -> pa.Table:
        """Rows of a block with all requested columns as text."""
        parsed = self._parser.parse_as_text(data).raw
        columns = {}
        for column in self._request.columns:
            name, position = column.name, self._layout.positions.get(column.name)
            value = self._layout.folder_values.get(name)
            if position is None:
                columns[name] = pa.array([value] * len(rows), pa.string())
            else:
                columns[name] = with_nulls(parsed[position].take(pa.array(rows)), [""])
        return pa.table(columns)

    def _settle_invalid(self, invalid: list[pa_csv.InvalidRow], place: _Places) -> None:
        """Handle records with a wrong number of fields. None of their values can be trusted: no policy reads them as
        null.
        """
        if not invalid:
            return
        quarantine = self._request.wrong_types == "quarantine"
        expected = invalid[0].expected_columns
        (self._request.problems if quarantine else self._errors).add(
            "wrong_field_count",
            f"records that do not have {expected} fields",
            file=self._uri,
            count=len(invalid),
            examples=[
                f"{row.text[:80]!r} has {row.actual_columns}, at {place.of_record(row.number)}" for row in invalid[:5]
            ],
            fix="correct the source: quote values that hold the delimiter or a line break"
            + ("." if self._request.for_training else "; " + let_pass("wrong_types", quarantine="they are set aside")),
        )
        if quarantine:
            empty = pa.table({column.name: pa.nulls(len(invalid), pa.string()) for column in self._request.columns})
            reasons = [f"wrong_field_count: {row.actual_columns} instead of {expected}" for row in invalid]
            self._reject(empty, reasons, [row.text for row in invalid])

    def _check_lines(self, block: Block, records: int) -> None:
        """Check that the parser found the records at which the file was cut. If not, other cuts would change the
        rows.
        """
        if records != block.lines:  # blank lines are a harmless cause
            starts = record_offsets(block, self._quote, self._csv.delimiter)
            if records > len(starts):
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
        # The last record is small: look at the last 64 KiB only, or at all bytes if no line begins there.
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
    """``f(position)`` of ``airflow_sklearn.runs.csv_records``, for a file in which every line feed ends a record."""
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
    """The byte offsets at which a block's rows begin; computed only when they are needed.

    :param records: the number of records that the parser found, including those set aside.
    :param invalid: the numbers, counted from 1, of the records set aside.
    """

    def __init__(self, block: Block, quote: str, delimiter: str, records: int, invalid: list[int]) -> None:
        self._block, self._quote, self._delimiter = block, quote, delimiter
        self._records, self._invalid = records, invalid
        self._offsets: np.ndarray | None = None

    def __call__(self, row: int) -> str:
        if self._offsets is None:
            self._offsets = np.delete(self._records_at(), [number - 1 for number in self._invalid])
        return _byte(self._offsets, row)

    def of_record(self, number: int) -> str:
        """The place of a record by its number, counted from 1."""
        return _byte(self._records_at(), number - 1)

    def _records_at(self) -> np.ndarray:
        offsets = record_offsets(self._block, self._quote, self._delimiter)
        known = len(offsets) == self._records  # unknown if carriage returns alone end records (a reported problem)
        return offsets if known else np.full(self._records, -1)


def _byte(offsets: np.ndarray, row: int) -> str:
    return f"byte {int(offsets[row]):,}" if offsets[row] >= 0 else "an unknown place"


def _ends_in_character(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        return error.end == len(data) and error.start > len(data) - 4 and "unexpected end" in error.reason
    return False


def _are_in(values: pa.Array, names: pa.Array) -> np.ndarray:
    """Which strings, dictionary-encoded or not, are in ``names``: a boolean array."""
    if pa.types.is_dictionary(values.type):
        found = pc.is_in(values.dictionary, names)
        if not pc.any(found).as_py():
            return np.zeros(len(values), bool)
        return pc.fill_null(found.take(values.indices), False).to_numpy(zero_copy_only=False)
    return pc.is_in(values, names).to_numpy(zero_copy_only=False)


def _skip(stream: object, count: int) -> None:
    while count > 0 and (data := stream.read(min(count, _PROBE_BYTES))):  # type: ignore[attr-defined]
        count -= len(data)
