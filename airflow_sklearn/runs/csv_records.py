"""Finding where records begin in a CSV file without parsing it. NumPy makes it faster, but is not required.

The rule of the whole package: a record belongs to the byte range that holds its first byte. Let ``f(p)`` be the first
record start at or past ``p``, with ``f(0) = 0`` and ``f(size) = size``. The range ``[a, b)`` then holds the bytes
``[f(a), f(b))``, so that ranges which tile a file hold every record exactly once.

A quote opens a value only as the value's first character, as in pyarrow's parser: ``5" pipe`` is a plain value.
"""

from __future__ import annotations

import bisect
import codecs
import functools
import re
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from airflow_sklearn.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

#: Ascending, of the same length; lists, tuples or NumPy's arrays.
Spans: TypeAlias = "tuple[Any, Any]"

_BLOCK_BYTES = 1 << 22
#: Bytes of the longest record. In a longer one a quote was opened and never closed.
LONGEST_RECORD = 1 << 26


def record_starts(
    stream: BinaryIO, positions: Iterable[int], quote: str = '"', delimiter: str = ",", *, longest: int = LONGEST_RECORD
) -> list[int]:
    """The first record start at or past each position, in CSV that may hold line breaks inside quotes.

    :param stream: a binary file, or a part of one that begins with a record.
    :param positions: byte offsets from the stream's beginning, in any order.
    :param quote: the quote character, or ``""`` if values are never quoted.
    :param delimiter: the character between values.
    :param longest: the bytes of the longest possible record.
    :return: byte offsets in the order of ``positions``; the stream's length where no further record starts.
    :raises DataError: lines end with carriage returns alone, or a record is longer than ``longest``.
    """
    wanted = list(positions)
    found = {position: 0 for position in wanted if position <= 0}
    pending = sorted(set(wanted) - set(found), reverse=True)  # the next one last
    offset, data = 0, b""  # bytes not yet cut; they begin with the record at ``offset``
    line_feeds = carriage_returns = False
    while block := stream.read(_BLOCK_BYTES):
        line_feeds, carriage_returns = line_feeds or b"\n" in block, carriage_returns or b"\r" in block
        if not offset and not data and block.startswith(codecs.BOM_UTF8):
            offset, block = len(codecs.BOM_UTF8), block[len(codecs.BOM_UTF8) :]
        data += block
        opened, closed = quoted_spans(data, quote, delimiter)
        settled = _last_record_end(data, opened, closed)
        while settled and pending and pending[-1] <= offset + settled:
            position = max(0, pending[-1] - 1 - offset)
            found[pending.pop()] = offset + _record_end(data, position, opened, closed)
        offset, data = offset + settled, data[settled:]
        if len(data) > longest:
            raise DataError(
                f"The record at byte {offset:,} is longer than {longest:,} bytes: a quote is opened and never closed. "
                "Close and double the quotes in the source, or set quote='' when values are not quoted."
            )
    if carriage_returns and not line_feeds:
        raise DataError(
            "The file ends its lines with carriage returns alone (old Macintosh). Convert it to line feeds, for "
            "example with `tr '\\r' '\\n'`."
        )
    return [found.get(position, offset + len(data)) for position in wanted]


def quoted_spans(data: bytes | memoryview, quote: str, delimiter: str) -> Spans:
    """The parts of CSV bytes that are inside quotes.

    :param data: begins with a record.
    :return: the indices of the opening quotes, and the indices after the closing quotes, both ascending. Two spans that
        touch are one value with a doubled quote. The span of a value that is not closed ends at the end of ``data``.
    """
    if not quote:
        return (), ()
    spans = _spans_at_once(data, ord(quote), ord(delimiter))
    if spans is None:
        matches = [match.span() for match in _value_pattern(quote, delimiter).finditer(data)]
        spans = [start for start, _ in matches], [end for _, end in matches]
    return spans


def _spans_at_once(data: bytes | memoryview, quote: int, delimiter: int) -> Spans | None:
    """``quoted_spans`` with NumPy, by the parity of quotes. None where that is not exact, or NumPy is not installed.

    It is exact if every second quote is the first character of a value, or doubles the quote before it.
    """
    try:
        import numpy as np
    except ImportError:
        return None
    values = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(values == quote)
    if not len(quotes):
        return (), ()
    opened, closed = quotes[0::2], quotes[1::2] + 1
    before = values[opened - 1]  # for a quote at index 0 this is some other byte
    opens = (before == delimiter) | (before == 10) | (before == 13) | (before == quote) | (opened == 0)
    if not opens.all():
        return None
    return opened, closed if len(closed) == len(opened) else np.append(closed, len(data))


@functools.cache
def _value_pattern(quote: str, delimiter: str) -> re.Pattern[bytes]:
    """A pattern of quoted values, closed or not. The look-behind comes after the quote, so that ``memchr`` finds the
    quotes.
    """
    q, d = re.escape(quote.encode()), re.escape(delimiter.encode())
    return re.compile(rb"%s(?<![^%s\r\n]%s)(?:[^%s]++|%s%s)*+(?:%s|\Z)" % (q, d, q, q, q, q, q))


def _last_record_end(data: bytes, opened: Any, closed: Any) -> int:
    """The index after the last complete record, 0 if there is none."""
    end = len(data)
    while (line_feed := data.rfind(b"\n", 0, end)) >= 0:
        span = bisect.bisect_right(opened, line_feed) - 1
        if span < 0 or closed[span] <= line_feed:
            return line_feed + 1
        end = int(opened[span])
    return 0


def first_record_end(data: bytes, quote: str, delimiter: str) -> int | None:
    """The index after the first record of ``data``; None if the record does not end in ``data``."""
    opened, closed = quoted_spans(data, quote, delimiter)
    return _record_end(data, 0, opened, closed) if _last_record_end(data, opened, closed) else None


def _record_end(data: bytes, position: int, opened: Any, closed: Any) -> int:
    """The index after the first record end at or past ``position``. There must be one."""
    while True:
        line_feed = data.index(b"\n", position)
        span = bisect.bisect_right(opened, line_feed) - 1
        if span < 0 or closed[span] <= line_feed:
            return line_feed + 1
        position = int(closed[span])


def ends_inside_quotes(record: bytes, delimiter: bytes, quote: bytes) -> bool:
    """Whether a quoted value is still open at the end of a record."""
    return bool(quote) and quote in record and split_record(record.decode("latin-1"), *_text(delimiter, quote)) is None


def _text(*characters: bytes) -> list[str]:
    return [character.decode("latin-1") for character in characters]


def split_record(text: str, delimiter: str, quote: str) -> tuple[list[str], int] | None:
    """Split the first record of a text into its fields.

    :param quote: the quote character, or ``""`` if values are never quoted.
    :return: the fields, and the index of the line break after them (or the text's length). None if a quoted value is
        still open at the end of the text.
    """
    stops = re.compile(f"[{re.escape(delimiter)}\r\n]")
    fields: list[str] = []
    position = 0
    while True:
        value = ""
        if quote and text.startswith(quote, position):
            closing = _closing_quote(text, position + 1, quote)
            if closing < 0:
                return None
            value = text[position + 1 : closing - 1].replace(quote * 2, quote)
            position = closing
        stop = stops.search(text, position)
        end = stop.start() if stop else len(text)
        fields.append(value + text[position:end])
        if stop is None or stop[0] != delimiter:
            return fields, end
        position = end + 1


def _closing_quote(text: str, position: int, quote: str) -> int:
    """The index after the quote that closes a value, -1 if none does."""
    while (found := text.find(quote, position)) >= 0:
        position = found + 1
        if not text.startswith(quote, position):
            return position
        position += 1
    return -1


def delimiter_hint(names: Collection[str]) -> str:
    """A hint for a message if a file's only column looks like several columns with another delimiter; else empty.

    :param names: the file's columns.
    """
    (name, *more) = names or ("",)
    found = [character for character in ",;\t|" if character in name]
    if more or not found:
        return ""
    return f" That is one column: is the delimiter {found[0]!r}? Then say Dataset(uri, delimiter={found[0]!r})."
