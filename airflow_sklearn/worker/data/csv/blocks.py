"""A byte stream as blocks of whole CSV records, without parsing them. All blocks share one buffer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from airflow_sklearn.runs.csv_records import LONGEST_RECORD, quoted_spans

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Measured: the parsed columns of 1 MiB stay in the processor's cache. 4 MiB are 5 to 10% slower, 256 KiB 30%.
BLOCK_BYTES = 1 << 20
_LINE_FEED = 10


@dataclass(frozen=True)
class Block:
    """Some whole records.

    :param data: their bytes; valid only until the next block is requested.
    :param offset: the first byte's offset in the stream.
    :param lines: the number of records and blank lines.
    :param ended: whether a line feed ends the last record. If not, the stream ends in that record.
    """

    data: memoryview
    offset: int
    lines: int
    ended: bool


class RecordTooLongError(Exception):
    """There is no record end within ``LONGEST_RECORD`` bytes."""


def read_blocks(stream: BinaryIO, offset: int, quote: str, delimiter: str) -> Iterator[Block]:
    """Cut a stream at the ends of records.

    :param stream: begins at a record's first byte; read to its end.
    :param offset: the offset of the stream's first byte in the file.
    :param quote: an ASCII character if quoted values may hold line feeds, ``""`` if every line feed ends a record.
    :param delimiter: the character between values.
    :raises RecordTooLongError: there is no record end within ``LONGEST_RECORD`` bytes.
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
    """The offsets after all record ends in ``data``, which begins with a record: int64 of shape (records,)."""
    values = np.frombuffer(data, np.uint8)
    line_feeds = np.flatnonzero(values == _LINE_FEED)
    opened, closed = quoted_spans(data, quote, delimiter)
    if len(opened):
        inside = np.searchsorted(opened, line_feeds) > np.searchsorted(closed, line_feeds, side="right")
        line_feeds = line_feeds[~inside]
    return line_feeds + 1


def record_offsets(block: Block, quote: str, delimiter: str) -> np.ndarray:
    """The offsets in the stream of all records of a block, without blank lines."""
    ends = record_ends(block.data, quote, delimiter)
    starts = np.concatenate([[0], ends[ends < len(block.data)]])
    values = np.frombuffer(block.data, np.uint8)
    following = values[np.minimum(starts + 1, len(values) - 1)]
    blank = (values[starts] == _LINE_FEED) | ((values[starts] == 13) & (following == _LINE_FEED))
    return block.offset + starts[~blank]


def _whole_records(view: memoryview, quote: str, delimiter: str) -> tuple[int, int]:
    """The bytes of the whole records at the beginning of ``view``, and the number of their lines."""
    if quote:
        ends = record_ends(view, quote, delimiter)
        return (int(ends[-1]), len(ends)) if len(ends) else (0, 0)
    values = np.frombuffer(view, np.uint8)
    # Several times as fast as bytes.count, which stops at every hit.
    lines = int(np.count_nonzero(values == _LINE_FEED))
    return (_last_line_feed(view) + 1, lines) if lines else (0, 0)


def _last_line_feed(view: memoryview) -> int:
    buffer = view.obj
    assert isinstance(buffer, bytearray)
    return buffer.rfind(b"\n", 0, len(view))


def _fill(stream: BinaryIO, target: memoryview) -> int:
    """Read until ``target`` is full or the stream ends. One read may return fewer bytes than requested."""
    filled = 0
    while filled < len(target):
        count = stream.readinto(target[filled:])  # type: ignore[attr-defined]
        if not count:
            break
        filled += count
    return filled
