from __future__ import annotations

import datetime as dt
import itertools
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_sklearn.worker.key_hash import OFFSET_BASIS, hash_columns

EPOCH = dt.datetime(1970, 1, 1)
WORDS = ["", "a", "ä", "Amazon Redshift", "x" * 300, "数字", "line\nbreak", " ", "a", "", "🙂🙂", "0"]


def fnv(data: bytes, seed: int = OFFSET_BASIS) -> int:
    for byte in data:
        seed = (seed ^ byte) * 1099511628211 % 2**64
    return seed


def int8(value: int) -> bytes:
    return struct.pack("<q", value)


def one(values: pa.Array | pa.ChunkedArray) -> list[int]:
    hashes: list[int] = hash_columns(pa.table({"key": values})).tolist()
    return hashes


def signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def test_text_has_the_hash_that_redshift_documents() -> None:
    assert signed(one(pa.array(["Amazon Redshift"]))[0]) == 7783490368944507294


def test_the_plain_hash_of_this_test_is_the_one_that_redshift_documents() -> None:
    of_one = fnv(struct.pack("<i", 1))
    assert signed(of_one) == -5968735742475085980
    assert signed(fnv(b"Amazon Redshift", of_one)) == -2202602717770968555


def microseconds(value: dt.datetime) -> int:
    return (value - EPOCH) // dt.timedelta(microseconds=1)


MOMENTS = [dt.datetime(1969, 12, 31, 23, 59, 59, 999_999), EPOCH, dt.datetime(2026, 2, 3, 4, 5, 6, 789_012)]
SECONDS = [moment.replace(microsecond=0) for moment in MOMENTS]
DAYS = [dt.date(1900, 1, 1), dt.date(1970, 1, 1), dt.date(2026, 2, 3)]
CENTS = [Decimal("-0.50"), Decimal("0.00"), Decimal("12345678.90"), Decimal("-7.00")]


@pytest.mark.parametrize(
    ("values", "as_bytes"),
    [
        *((pa.array([-128, -1, 0, 1, 127], kind), int8) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())),
        *((pa.array([0, 1, 255], kind), int8) for kind in (pa.uint8(), pa.uint16(), pa.uint32())),
        (pa.array([-(2**63), 2**53 + 1, 2**63 - 1]), int8),
        (pa.array([0, 2**53 + 1, 2**64 - 1], pa.uint64()), lambda value: str(value).encode()),
        (pa.array([False, True]), int8),
        (pa.array(DAYS, pa.date32()), lambda day: int8((day - EPOCH.date()).days)),
        (pa.array(DAYS, pa.date64()), lambda day: int8((day - EPOCH.date()).days)),
        (pa.array(MOMENTS, pa.timestamp("us")), lambda moment: int8(microseconds(moment))),
        (pa.array(MOMENTS, pa.timestamp("us", "Asia/Tokyo")), lambda m: int8(microseconds(m.replace(tzinfo=None)))),
        (pa.array(SECONDS, pa.timestamp("s")), lambda moment: int8(microseconds(moment))),
        (pa.array(SECONDS, pa.timestamp("ms")), lambda moment: int8(microseconds(moment))),
        *(
            (pa.array(CENTS, kind), lambda value: str(value).encode())
            for kind in (pa.decimal64(18, 2), pa.decimal128(10, 2), pa.decimal128(38, 2), pa.decimal256(70, 2))
        ),
        (pa.array([Decimal("-1"), Decimal(10**37)], pa.decimal128(38, 0)), lambda value: str(value).encode()),
        (pa.array([1.5, -2.25, float("inf"), 5e-324]), lambda value: struct.pack("<d", value)),
        (pa.array([1.5, 3.25], pa.float32()), lambda value: struct.pack("<d", value)),
        (pa.array(np.array([1.5, 3.25], np.float16)), lambda value: struct.pack("<d", value)),
        *((pa.array(WORDS, kind), str.encode) for kind in (pa.string(), pa.large_string(), pa.string_view())),
        (pa.array(WORDS).dictionary_encode(), str.encode),
        (pa.array([b"", b"\0\xff", b"ab"]), lambda value: value),
        (pa.array([b"\0\xff", b"ab"], pa.binary(2)), lambda value: value),
        (pa.array([dt.time(1, 2, 3)], pa.time32("s")), lambda _: int8(3723)),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_a_value_of_every_type_is_hashed_by_its_documented_bytes(
    values: pa.Array, as_bytes: Callable[[Any], bytes]
) -> None:
    plain = values.cast(pa.timestamp("us")) if str(values.type).startswith("timestamp") else values
    assert one(values) == [fnv(as_bytes(value)) for value in plain.to_pylist()]


def test_small_decimals_are_hashed_without_an_exponent() -> None:
    assert one(pa.array([Decimal("1E-10"), Decimal(0)], pa.decimal128(38, 10))) == [
        fnv(b"0.0000000001"),
        fnv(b"0.0000000000"),
    ]


def test_nanoseconds_are_cut_off_downwards_also_before_1970() -> None:
    assert one(pa.array([-1, 1, 1999], pa.timestamp("ns"))) == [fnv(int8(-1)), fnv(int8(0)), fnv(int8(1))]


def test_the_two_zeros_and_all_not_a_numbers_are_one_key_each() -> None:
    other_nan = np.frombuffer(struct.pack("<Q", 0xFFF8000000000001), np.float64)
    hashes = one(pa.array(np.concatenate([[0.0, -0.0, np.nan], other_nan])))
    assert hashes[0] == hashes[1] == fnv(bytes(8))
    assert hashes[2] == hashes[3]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())], ids=str)
def test_slices_of_text_are_hashed_as_the_rows_they_show(kind: pa.DataType) -> None:
    values = pa.array(WORDS).cast(kind)
    for start in range(len(WORDS)):
        assert one(values.slice(start, 5)) == [fnv(word.encode()) for word in WORDS[start : start + 5]]


@pytest.mark.parametrize(
    "values",
    [
        pa.array(range(-20, 20)),
        pa.array([Decimal(i) / 8 for i in range(40)], pa.decimal128(12, 3)),
        pa.array([Decimal(i) / 8 for i in range(40)], pa.decimal128(38, 3)),
        pa.array([True, False] * 20),
    ],
    ids=lambda values: str(values.type),
)
def test_slices_of_numbers_are_hashed_as_the_rows_they_show(values: pa.Array) -> None:
    assert one(values.slice(7, 20)) == one(values)[7:27]


def test_columns_in_chunks_of_their_own_are_hashed_row_by_row() -> None:
    numbers, words = list(range(len(WORDS))), WORDS
    table = pa.table(
        {
            "a": pa.chunked_array([numbers[:5], [], numbers[5:]], pa.int64()),
            "b": pa.chunked_array([words[:1], words[1:7], words[7:]]),
        }
    )
    expected = [fnv(word.encode(), fnv(int8(number))) for number, word in zip(numbers, words, strict=True)]
    assert hash_columns(table).tolist() == expected


def test_a_dictionary_behind_another_column_is_hashed_with_each_rows_own_seed() -> None:
    table = pa.table({"a": [1, 2, 3], "b": pa.array(["x", "x", "y"]).dictionary_encode()})
    assert hash_columns(table).tolist() == [fnv(b"x", fnv(int8(1))), fnv(b"x", fnv(int8(2))), fnv(b"y", fnv(int8(3)))]


def test_the_order_of_columns_counts() -> None:
    hashes = hash_columns(pa.table({"a": ["x", "y", "x"], "b": ["y", "x", "y"]}))
    assert hashes[0] != hashes[1]
    assert hashes[0] == hashes[2]


@pytest.mark.parametrize("kind", [pa.int64(), pa.string(), pa.decimal128(20, 2)], ids=str)
def test_any_cut_of_a_large_table_gives_the_same_hashes(kind: pa.DataType) -> None:
    rng = np.random.default_rng(0)
    values = pa.array(rng.integers(0, 10**6, 50_000)).cast(pa.int64() if kind == pa.int64() else pa.string()).cast(kind)
    table = pa.table({"key": values})
    cuts = sorted({0, 1, 16_384, 16_385, *rng.integers(0, 50_000, 20).tolist(), 50_000})
    pieces = [hash_columns(table.slice(a, b - a)) for a, b in itertools.pairwise(cuts)]
    assert np.array_equal(np.concatenate(pieces), hash_columns(table))


def test_nulls_and_empty_tables_do_no_harm() -> None:
    assert one(pa.array([], pa.string())) == []
    assert one(pa.chunked_array([], pa.int64())) == []
    assert one(pa.array([None, 5], pa.int64())) == [fnv(int8(0)), fnv(int8(5))]
    assert one(pa.array([None, "a", None], pa.string())) == [OFFSET_BASIS, fnv(b"a"), OFFSET_BASIS]
    assert one(pa.nulls(2, pa.string())) == [OFFSET_BASIS] * 2
