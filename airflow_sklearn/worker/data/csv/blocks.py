"""A byte stream as blocks of whole CSV records, without parsing them and without allocating memory for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from airflow_sklearn.runs.csv_records import LONGEST_RECORD, quoted_spans

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Measured: the parsed columns of 1 MiB stay in the processor's cache; 4 MiB read 5 to 10% slower, 256 KiB 30%.
BLOCK_BYTES = 1 << 20
_LINE_FEED = 10


@dataclass(frozen=True)
class Block:
    """Whole records.

    :param data: valid only until the next block is asked for.
    :param offset: of the first byte, counted from the beginning of the stream.
    :param lines: records and blank lines in it.
    :param ended: whether a line feed ends the last record; otherwise the stream ends in it.
    """

    data: memoryview
    offset: int
    lines: int
    ended: bool


class RecordTooLongError(Exception):
    """No record end within ``LONGEST_RECORD`` bytes."""


def read_blocks(stream: BinaryIO, offset: int, quote: str, delimiter: str) -> Iterator[Block]:
    """Cut a stream at record ends.

    :param stream: begins at a record's first byte; is read to its end.
    :param offset: of the stream's first byte in the file.
    :param quote: an ASCII character when quoted values may hold line feeds, ``""`` when every line feed ends a record.
    :raises RecordTooLongError: see there.
    """
    buffer = bytearray(BLOCK_BYTES)
    held = 0
    while True:
        filled = held + _fill(stream, memoryview(buffer)[held:])
        at_end = filled < len(buffer)
        view = memoryview(buffer)[:filled]
        size, lines = _whole_records(view, quote, delimiter)
        ended = not at_end or size == filled
        if not ended:
            size, lines = filled, lines + 1
        if size:
            yield Block(view[:size], offset, lines, ended)
        if at_end:
            return
        held, offset = filled - size, offset + size
        if size:
            buffer[:held] = buffer[size:filled]
        elif filled > LONGEST_RECORD:
            raise RecordTooLongError
        else:
            buffer = buffer + bytearray(len(buffer))


def record_ends(data: memoryview, quote: str, delimiter: str) -> np.ndarray:
    """The offsets behind all record ends in ``data``, which begins with a record."""
    values = np.frombuffer(data, np.uint8)
    line_feeds = np.flatnonzero(values == _LINE_FEED)
    opened, closed = quoted_spans(data, quote, delimiter)
    if len(opened):
        inside = np.searchsorted(opened, line_feeds) > np.searchsorted(closed, line_feeds, side="right")
        line_feeds = line_feeds[~inside]
    return line_feeds + 1


def record_offsets(block: Block, quote: str, delimiter: str) -> np.ndarray:
    """The offsets in the stream of all records of a block, blank lines left out."""
    ends = record_ends(block.data, quote, delimiter)
    starts = np.concatenate([[0], ends[ends < len(block.data)]])
    values = np.frombuffer(block.data, np.uint8)
    following = values[np.minimum(starts + 1, len(values) - 1)]
    blank = (values[starts] == _LINE_FEED) | ((values[starts] == 13) & (following == _LINE_FEED))
    return block.offset + starts[~blank]


def _whole_records(view: memoryview, quote: str, delimiter: str) -> tuple[int, int]:
    """The bytes that whole records take, and how many lines these are."""
    if quote:
        ends = record_ends(view, quote, delimiter)
        return (int(ends[-1]), len(ends)) if len(ends) else (0, 0)
    values = np.frombuffer(view, np.uint8)
    # several times as fast as bytes.count, which stops at every hit
    lines = int(np.count_nonzero(values == _LINE_FEED))
    return (_last_line_feed(view) + 1, lines) if lines else (0, 0)


def _last_line_feed(view: memoryview) -> int:
    buffer = view.obj
    assert isinstance(buffer, bytearray)
    return buffer.rfind(b"\n", 0, len(view))


def _fill(stream: BinaryIO, target: memoryview) -> int:
    """Read until ``target`` is full or the stream has ended; a stream may give less than was asked for."""
    filled = 0
    while filled < len(target):
        count = stream.readinto(target[filled:])  # type: ignore[attr-defined]
        if not count:
            break
        filled += count
    return filled
