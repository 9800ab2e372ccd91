"""FNV-1a with 64 bits for whole columns. Redshift has the same hash as ``FNV_HASH``, so that both sides can compute
it.

The hashed bytes of a value do not depend on the width or unit of its type:

- integers, booleans (0 or 1), dates (days) and timestamps (microseconds in UTC, finer digits cut off): int64;
- ``uint64``, and decimals with all digits after the point (``-0.50``): text;
- floats: doubles, with ``0.0`` for ``-0.0``;
- text: its UTF-8 bytes. Binary values: their bytes.

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
_BLOCK_ROWS = 1 << 14  # the fastest of the tried sizes: a block stays in the processor's cache
_DAY = 86_400_000  # milliseconds
_DIGITS = pa.decimal128(38, 0), pa.decimal256(76, 0)


def hash_columns(table: pa.Table) -> np.ndarray:
    """One hash for each row: the hash of the first column's value is the seed for the second column's, and so on.

    :return: uint64 of shape (rows,).
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
    """The hashes of a dictionary-encoded first column. Each distinct value is hashed once, since all rows have the
    same seed.
    """
    distinct = np.full(len(chunk.dictionary), OFFSET_BASIS, np.uint64)
    _add(distinct, chunk.dictionary)
    return distinct.take(chunk.indices.fill_null(0).to_numpy())


def _add(hashes: np.ndarray, values: pa.Array) -> None:
    """Continue each row's hash, in place, with the bytes of its value. A null, which a key cannot be, counts as 0."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    if pa.types.is_floating(kind):
        numbers = _numpy(values.cast(pa.float64())) + 0.0
        _add_numbers(hashes, np.where(np.isnan(numbers), np.nan, numbers))  # one bit pattern for all NaNs
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
    """Continue each row's hash, in place, with a number.

    :param values: numbers of 8 bytes.
    """
    byte_rows = values.astype(values.dtype.newbyteorder("<"), copy=False).view(np.uint8).reshape(-1, 8)
    for rows in _blocks(len(hashes)):
        block = hashes[rows]
        for position in range(8):
            np.bitwise_xor(block, byte_rows[rows, position], out=block)
            np.multiply(block, _PRIME, out=block)


def _add_bytes(hashes: np.ndarray, values: pa.LargeBinaryArray) -> None:
    """Continue each row's hash, in place, byte by byte. Rows are sorted by length, so that the unfinished ones come
    first.
    """
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
        return since_1970 // 1000  # rounded down, also before 1970
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
    """Decimals with all digits after the point, including zeros, and without an exponent, which Arrow's own text may
    have.
    """
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
