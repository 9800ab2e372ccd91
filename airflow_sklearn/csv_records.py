"""Where records begin in a CSV file, without parsing it. Standard library only.

The rule of the whole package: a record belongs to the byte range that holds its first byte. With ``f(p)`` the first
record start at or past ``p`` (``f(0) = 0``, ``f(size) = size``), the range ``[a, b)`` holds the bytes
``[f(a), f(b))``, so that ranges that tile a file hold every record once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from airflow_sklearn.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

_BLOCK_BYTES = 1 << 22


def record_starts(stream: BinaryIO, positions: Iterable[int], quote: str = '"') -> list[int]:
    """The first record start at or past each position of CSV bytes that may hold line breaks inside quotes.

    A line feed ends a record when an even number of quotes came before it: a doubled quote counts twice, so that only
    parity matters and the file is searched at the speed of memory.

    :param stream: a file, or a part of one that begins with a record.
    :param positions: byte offsets from the stream's beginning, in any order.
    :param quote: the quote character, or ``""`` when values are never quoted.
    :returns: byte offsets, in the order of ``positions``; the stream's length where no record starts any more.
    :raises DataError: the file ends its lines with carriage returns alone.
    """
    wanted = list(positions)
    found = {position: 0 for position in wanted if position <= 0}
    pending = sorted(set(wanted) - set(found), reverse=True)  # the next one last
    quote_bytes = quote.encode()
    offset = parity = line_feeds = carriage_returns = 0
    while block := stream.read(_BLOCK_BYTES):
        if not line_feeds:
            line_feeds, carriage_returns = block.count(b"\n"), carriage_returns + block.count(b"\r")
        scan = _BlockScan(block, quote_bytes, parity)
        while pending and pending[-1] - 1 < offset + len(block):
            start = scan.record_start(max(0, pending[-1] - 1 - offset))
            if start is None:
                break
            found[pending.pop()] = offset + start
        parity = scan.parity_at(len(block))
        offset += len(block)
    if carriage_returns and not line_feeds:
        raise DataError(
            "The file ends its lines with carriage returns alone (old Macintosh). Convert it to line feeds, for "
            "example with `tr '\\r' '\\n'`."
        )
    return [found.get(position, offset) for position in wanted]


class _BlockScan:
    """Walks forward through one block, counting quotes once."""

    def __init__(self, block: bytes, quote: bytes, parity: int) -> None:
        self._block, self._quote, self._parity, self._counted = block, quote, parity, 0

    def record_start(self, position: int) -> int | None:
        """The index behind the first record end at or past ``position``, None when the block holds none."""
        while (line_feed := self._block.find(b"\n", position)) >= 0:
            if self.parity_at(line_feed) == 0:
                return line_feed + 1
            position = line_feed + 1
        return None

    def parity_at(self, position: int) -> int:
        """Quotes before ``position``, modulo 2."""
        if not self._quote:
            return 0
        if position < self._counted:  # an earlier answer lay past this position
            self._parity ^= self._block.count(self._quote, position, self._counted) & 1
        else:
            self._parity ^= self._block.count(self._quote, self._counted, position) & 1
        self._counted = position
        return self._parity


def ends_inside_quotes(record: bytes, delimiter: bytes, quote: bytes) -> bool:
    """Whether a quoted value is still open at the end of ``record``. A quote opens a value only as its first byte."""
    if not quote or quote not in record:
        return False
    position = 0
    while position < len(record):
        if record.startswith(quote, position):
            closing = _closing_quote(record, position + len(quote), quote)
            if closing < 0:
                return True
            position = closing
        next_delimiter = record.find(delimiter, position)
        if next_delimiter < 0:
            return False
        position = next_delimiter + len(delimiter)
    return False


def _closing_quote(record: bytes, position: int, quote: bytes) -> int:
    """The index behind the quote that closes a value, -1 when none does."""
    while (found := record.find(quote, position)) >= 0:
        position = found + len(quote)
        if not record.startswith(quote, position):
            return position
        position += len(quote)
    return -1
