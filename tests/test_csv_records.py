"""Record starts, against a parser that reads every byte."""

from __future__ import annotations

import io
import random

import pytest

from airflow_sklearn import csv_records
from airflow_sklearn.csv_records import ends_inside_quotes, record_starts
from airflow_sklearn.exceptions import DataError


def slow_record_starts(data: bytes, positions: list[int]) -> list[int]:
    """The definition, byte by byte."""
    starts, quoted = [0], False
    for index, byte in enumerate(data):
        if byte == ord('"'):
            quoted = not quoted
        elif byte == ord("\n") and not quoted:
            starts.append(index + 1)
    return [next((start for start in starts if start >= position), len(data)) for position in positions]


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 7, 1 << 22])
def test_record_starts_are_those_of_the_definition_at_every_position(
    block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_records, "_BLOCK_BYTES", block_bytes)
    data = b'a,b\n1,"x\ny"\r\n2,"he said ""hi\n"""\n\n3,"",\n4,last without line feed'
    positions = list(range(len(data) + 3))
    assert record_starts(io.BytesIO(data), positions) == slow_record_starts(data, positions)


def test_record_starts_of_random_files_are_those_of_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)
    for _ in range(300):
        monkeypatch.setattr(csv_records, "_BLOCK_BYTES", rng.randint(1, 20))
        data = bytes(rng.choices(b'a,\n"\r', [4, 2, 2, 2, 1], k=rng.randint(0, 60))) + b"\n"
        positions = [rng.randint(0, len(data)) for _ in range(5)]
        assert record_starts(io.BytesIO(data), positions) == slow_record_starts(data, positions)


def test_positions_are_answered_in_the_order_they_were_asked() -> None:
    assert record_starts(io.BytesIO(b"aa\nbb\ncc\n"), [9, 4, 0, 4, 1]) == [9, 6, 0, 6, 3]


def test_without_a_quote_every_line_feed_ends_a_record() -> None:
    assert record_starts(io.BytesIO(b'"a\nb"\nc\n'), [1], quote="") == [3]


def test_files_of_lone_carriage_returns_are_refused() -> None:
    with pytest.raises(DataError, match="carriage returns"):
        record_starts(io.BytesIO(b"a,b\r1,2\r"), [2])


@pytest.mark.parametrize(
    ("record", "inside"),
    [
        (b'1,"open\n', True),
        (b'1,"closed"\n', False),
        (b'1,"doubled "" quote, still open\n', True),
        (b'1,5" pipe\n', False),
        (b'1,5" pipe,"open\n', True),
        (b'"a,b",5" pipe\n', False),
        (b'"', True),
        (b"", False),
    ],
)
def test_an_open_quote_at_the_end_is_seen(record: bytes, inside: bool) -> None:
    assert ends_inside_quotes(record, b",", b'"') is inside
