"""Record starts, against a parser that reads every byte."""

from __future__ import annotations

import io
import random
import sys
from itertools import pairwise

import pytest

from airflow_sklearn.exceptions import DataError
from airflow_sklearn.runs import csv_records
from airflow_sklearn.runs.csv_records import ends_inside_quotes, record_starts, split_record


def slow_record_starts(data: bytes, positions: list[int]) -> list[int]:
    """The definition, byte by byte."""
    starts, state = [0], "begin"  # of a value
    for index, byte in enumerate(data):
        character = chr(byte)
        if state == "quoted":
            state = "maybe closed" if character == '"' else "quoted"
        elif (state == "maybe closed" and character == '"') or (state == "begin" and character == '"'):
            state = "quoted"
        else:
            state = "begin" if character in ",\r\n" else "value"
            if character == "\n":
                starts.append(index + 1)
    return [next((start for start in starts if start >= position), len(data)) for position in positions]


@pytest.fixture(params=["with NumPy", "without NumPy"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without NumPy":
        monkeypatch.setitem(sys.modules, "numpy", None)


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 7, 1 << 22])
def test_record_starts_are_those_of_the_definition_at_every_position(
    block_bytes: int, both_ways: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_records, "_BLOCK_BYTES", block_bytes)
    data = b'a,b\n1,"x\ny"\r\n2,"he said ""hi\n"""\n5" x 6",\n3" pipe,"",\n\n4,last without line feed'
    positions = list(range(len(data) + 3))
    assert record_starts(io.BytesIO(data), positions) == slow_record_starts(data, positions)


def test_record_starts_of_random_files_are_those_of_the_definition(
    both_ways: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(0)
    for _ in range(500):
        monkeypatch.setattr(csv_records, "_BLOCK_BYTES", rng.randint(1, 20))
        data = bytes(rng.choices(b'a,\n"\r', [4, 2, 2, 2, 1], k=rng.randint(0, 60))) + b"\n"
        positions = [rng.randint(0, len(data)) for _ in range(5)]
        assert record_starts(io.BytesIO(data), positions) == slow_record_starts(data, positions)


def test_records_are_those_that_pyarrow_and_the_header_reader_see() -> None:
    pyarrow_csv = pytest.importorskip("pyarrow.csv")
    rng = random.Random(1)
    options = pyarrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
    for _ in range(500):
        values = ["".join(rng.choices('a "\n', [4, 1, 2, 1], k=rng.randint(0, 5))) for _ in range(rng.randint(1, 6))]
        quoted = [f'"{v.replace(chr(34), 2 * chr(34))}"' if "\n" in v or v.startswith('"') else v for v in values]
        data = "".join(f"{value},x\n" for value in quoted).encode()
        parsed = pyarrow_csv.read_csv(
            io.BytesIO(data),
            pyarrow_csv.ReadOptions(column_names=["a", "b"]),
            options,
            pyarrow_csv.ConvertOptions(column_types={"a": "string"}),
        )
        assert parsed["a"].to_pylist() == values
        ends = [record_starts(io.BytesIO(data), [p])[0] for p in range(1, len(data) + 1)]
        borders = [0, *dict.fromkeys(ends)]
        assert len(borders) == len(values) + 1
        for value, (start, end) in zip(values, pairwise(borders), strict=True):
            record = data[start:end].decode()
            assert split_record(record, ",", '"') == ([value, "x"], len(record) - 1)


def test_a_byte_order_mark_is_no_part_of_the_first_value(both_ways: None) -> None:
    data = b'\xef\xbb\xbf"a\nb",c\n1,2\n'
    assert record_starts(io.BytesIO(data), [1, 6, 12]) == [11, 11, 15]


def test_a_quote_that_never_closes_is_an_error_and_not_read_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_records, "_BLOCK_BYTES", 16)
    stream = io.BytesIO(b'1,x\n2,"y\n' + b"3,z\n" * 100)
    with pytest.raises(DataError, match="byte 4 is longer than 64 bytes"):
        record_starts(stream, [9], longest=64)
    assert stream.tell() < 100


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
