"""FNV-1a, 64 bits, of whole columns: the hash that Redshift has as ``FNV_HASH``, so that both sides can compute it.

The bytes of a value do not depend on how wide or in what unit it is stored:

- integers, booleans (0 or 1), dates (days) and timestamps (microseconds, UTC; what is finer is cut off): as int64;
- ``uint64``, and decimals with all their digits after the point (``-0.50``): as text;
- floats: as doubles, ``-0.0`` as ``0.0``;
- text: its UTF-8. Bytes: themselves.

Numbers are little endian.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator

OFFSET_BASIS = 0xCBF29CE484222325
PRIME = 0x100000001B3

_PRIME = np.uint64(PRIME)
_BLOCK_ROWS = 1 << 14  # what is computed on stays in the processor's cache: the fastest of those tried
_DAY = 86_400_000  # milliseconds
_DIGITS = pa.decimal128(38, 0), pa.decimal256(76, 0)


def hash_columns(table: pa.Table) -> np.ndarray:
    """One hash a row: of the first column's value, which seeds the hash of the second column's, and so on.

    :return: (n_rows,) of uint64.
    """
    hashes = np.full(table.num_rows, OFFSET_BASIS, np.uint64)
    for number, column in enumerate(table.columns):
        start = 0
        for chunk in column.chunks:
            seeds = hashes[start : start + len(chunk)]
            if not number and pa.types.is_dictionary(chunk.type) and len(chunk.dictionary) <= len(chunk):
                seeds[:] = _hash_dictionary(chunk)
            else:
                _add(seeds, chunk)
            start += len(chunk)
    return hashes


def _hash_dictionary(chunk: pa.DictionaryArray) -> np.ndarray:
    """Where all rows have the same seed, each distinct value is hashed once."""
    distinct = np.full(len(chunk.dictionary), OFFSET_BASIS, np.uint64)
    _add(distinct, chunk.dictionary)
    return distinct.take(chunk.indices.fill_null(0).to_numpy())


def _add(hashes: np.ndarray, values: pa.Array) -> None:
    """Go on with the hash of every row, in place, over the bytes of its value. A null, which no key is, is as 0."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    if pa.types.is_floating(kind):
        numbers = _numpy(values.cast(pa.float64())) + 0.0
        _add_numbers(hashes, np.where(np.isnan(numbers), np.nan, numbers))  # of NaN there are many
    elif pa.types.is_timestamp(kind):
        _add_numbers(hashes, _microseconds(values))
    elif pa.types.is_date64(kind):
        _add_numbers(hashes, _numpy(values.cast(pa.int64())) // _DAY)
    elif pa.types.is_boolean(kind) or (pa.types.is_integer(kind) and not pa.types.is_uint64(kind)):
        _add_numbers(hashes, _numpy(values.cast(pa.int64())))
    elif pa.types.is_date32(kind) or pa.types.is_time32(kind):
        _add_numbers(hashes, _numpy(values.cast(pa.int32())).astype(np.int64))
    elif pa.types.is_time64(kind) or pa.types.is_duration(kind):
        _add_numbers(hashes, _numpy(values.cast(pa.int64())))
    else:
        _add_bytes(hashes, _as_bytes(values))


def _add_numbers(hashes: np.ndarray, values: np.ndarray) -> None:
    """:param values: of 8 bytes each."""
    byte_rows = values.astype(values.dtype.newbyteorder("<"), copy=False).view(np.uint8).reshape(-1, 8)
    for rows in _blocks(len(hashes)):
        block = hashes[rows]
        for position in range(8):
            np.bitwise_xor(block, byte_rows[rows, position], out=block)
            np.multiply(block, _PRIME, out=block)


def _add_bytes(hashes: np.ndarray, values: pa.LargeBinaryArray) -> None:
    """Byte position by byte position; the longest values come first, so that the unfinished ones are a prefix."""
    _, offsets_buffer, data_buffer = values.buffers()
    if not len(values) or data_buffer is None:
        return
    offsets = np.frombuffer(offsets_buffer, np.int64)[values.offset : values.offset + len(values) + 1]
    data = np.frombuffer(data_buffer, np.uint8)
    for rows in _blocks(len(hashes)):
        starts, lengths = offsets[:-1][rows], np.diff(offsets[rows.start : rows.stop + 1])
        order = np.argsort(-lengths, kind="stable")
        block, at, longest_first = hashes[rows][order], starts[order], lengths[order]
        unfinished = np.searchsorted(-longest_first, -np.arange(longest_first[0]), side="left")
        for count in unfinished.tolist():
            part = block[:count]
            np.bitwise_xor(part, data.take(at[:count]), out=part)
            np.multiply(part, _PRIME, out=part)
            at[:count] += 1
        hashes[rows.start + order] = block


def _blocks(rows: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK_ROWS, rows)) for start in range(0, rows, _BLOCK_ROWS))


def _numpy(values: pa.Array) -> np.ndarray:
    numbers: np.ndarray = values.fill_null(0).to_numpy()
    return numbers


def _microseconds(values: pa.TimestampArray) -> np.ndarray:
    since_1970 = _numpy(values.cast(pa.int64()))
    if values.type.unit == "ns":
        return since_1970 // 1000  # down, also before 1970
    return since_1970 * {"s": 1_000_000, "ms": 1000, "us": 1}[values.type.unit]


def _as_bytes(values: pa.Array) -> pa.LargeBinaryArray:
    kind = values.type
    if pa.types.is_decimal(kind):
        values = _decimals_as_text(values)
    elif pa.types.is_fixed_size_binary(kind):
        values = values.cast(pa.binary())
    elif not _is_binary(kind):
        values = values.cast(pa.large_string())
    return values.cast(pa.large_binary()).fill_null(b"")


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _decimals_as_text(values: pa.Array) -> pa.Array:
    """All digits after the point, also zeros; never an exponent, as Arrow's own text has."""
    scale = values.type.scale
    if scale < 0:
        return values.cast(pa.string())
    wide = next(kind for kind in _DIGITS if kind.precision >= values.type.precision)
    make = pa.decimal256 if pa.types.is_decimal256(wide) else pa.decimal128
    values = values.cast(make(wide.precision, scale))
    digits = pa.Array.from_buffers(wide, len(values), values.buffers(), offset=values.offset).cast(pa.string())
    if not scale:
        return digits
    sign = pc.if_else(pc.starts_with(digits, "-"), "-", "")
    padded = pc.ascii_lpad(pc.ascii_ltrim(digits, "-"), scale + 1, "0")
    whole, fraction = pc.utf8_slice_codeunits(padded, 0, -scale), pc.utf8_slice_codeunits(padded, -scale)
    return pc.binary_join_element_wise(sign, whole, ".", fraction, "")
