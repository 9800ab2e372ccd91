from __future__ import annotations

import bz2
import gzip
import random
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest

from airflow_sklearn.contract.data import CsvOptions
from airflow_sklearn.exceptions import ObjectChangedError, UserError
from airflow_sklearn.worker.data.csv import blocks as csv_blocks
from airflow_sklearn.worker.data.registry import ReadColumn, rejected_schema
from tests.worker.data.helpers import BOOL, DATE, FLOAT, INT, STORAGE, TEXT, TIME, columns, read, stored


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 16)


# --- cutting


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n1,x\n22,yy\n333,zzz\n",
        b"a,b\r\n1,x\r\n22,yy\r\n333,zzz",
        b"\n\na,b\n\n1,x\n\n\n22,yy\n333,zzz\n\n",
        b"\xef\xbb\xbfa,b\n1,x\n22,yy\n333,\xc3\xa9\n",
        b'a,b\n1,"x,"\n22,"y""y"\n333,zzz\n',
        b"a,b",
        b"a,b\n1,x",
    ],
)
def test_pieces_cut_anywhere_tile_the_file(tmp_path: Path, content: bytes, small_blocks: None) -> None:
    obj = stored(tmp_path / "t.csv", content)
    wanted = columns(a=INT, b=TEXT)
    whole = read(obj, wanted)
    assert whole.error is None
    for first in range(obj.size + 1):
        for second in range(first, obj.size + 1):
            cuts = [0, first, second, obj.size]
            parts = [read(obj, wanted, start=a, end=b) for a, b in pairwise(cuts) if b > a]
            assert [row for part in parts for row in part.rows] == whole.rows
            borders = [(part.reader.consumed.first, part.reader.consumed.last) for part in parts]
            assert [a for a, _ in borders[1:]] == [b for _, b in borders[:-1]]
            assert not parts or (borders[0][0] == 0 and borders[-1][1] == obj.size)


def test_exact_pieces_may_hold_line_breaks_in_values(tmp_path: Path, small_blocks: None) -> None:
    content = b'a,b\n1,"x\ny"\n2,"a ""quoted""\nword"\n3,z\n'
    obj = stored(tmp_path / "t.csv", content)
    cut = content.index(b"2,")
    first = read(obj, columns(a=INT, b=TEXT), end=cut, exact=True, newlines_in_values=True)
    second = read(obj, columns(a=INT, b=TEXT), start=cut, exact=True, newlines_in_values=True)
    assert first.rows == [(1, "x\ny")]
    assert second.rows == [(2, 'a "quoted"\nword'), (3, "z")]


def test_parts_of_a_file_with_line_breaks_in_values_must_be_exact(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"a\n1\n2\n")
    with pytest.raises(UserError, match="one piece"):
        read(obj, columns(a=INT), start=3, newlines_in_values=True)


def test_records_longer_than_a_block_are_read(tmp_path: Path, small_blocks: None) -> None:
    long = b"x" * 1000
    obj = stored(tmp_path / "t.csv", b"a,b\n1," + long + b"\n2,y\n")
    assert read(obj, columns(a=INT, b=TEXT)).rows == [(1, long.decode()), (2, "y")]


def test_a_source_that_changed_is_an_error(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"a\n1\n")
    stored(tmp_path / "t.csv", b"a\n1\n2\n")
    with pytest.raises(ObjectChangedError):
        read(obj, columns(a=INT))


# --- dialects


def test_columns_come_by_name_in_the_order_asked(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"c,b,a\nz,2.5,1\n")
    result = read(obj, columns(a=INT, b=FLOAT))
    assert result.rows == [(1, 2.5)]
    assert result.problems["extra_column"].examples == ("'c'",)


def test_extra_columns_that_are_expected_are_not_reported(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"a,b\n1,2\n")
    assert read(obj, columns(a=INT), ignored=["b"]).problems == {}


def test_delimiters_quotes_and_names_with_spaces(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"'my key';'a;b'\n1;'x;y'\n")
    assert read(obj, columns(**{"my key": INT, "a;b": TEXT}), delimiter=";", quote="'").rows == [(1, "x;y")]


def test_files_without_a_header_take_their_names_from_the_options(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"1,x\n2,y\n")
    assert read(obj, columns(b=TEXT, a=INT), header=False, column_names=("a", "b")).rows == [("x", 1), ("y", 2)]


def test_a_file_without_a_header_needs_names(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"1,x\n")
    with pytest.raises(ValueError, match="header=False needs column_names"):
        read(obj, columns(a=INT), header=False)


@pytest.mark.parametrize(("ending", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_compressed_files_are_read_whole(tmp_path: Path, ending: str, compress: object) -> None:
    data = compress(b"a,b\n" + b"1,x\n" * 5000) + compress(b"2,y\n")  # type: ignore[operator]
    obj = stored(tmp_path / f"t.csv{ending}", data)
    result = read(obj, columns(a=INT, b=TEXT))
    assert (len(result.rows), result.rows[-1]) == (5001, (2, "y"))
    consumed = result.reader.consumed
    assert (consumed.first, consumed.last, consumed.total, consumed.rows) == (0, obj.size, obj.size, 5001)


def test_zstandard_files_are_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.zst"
    with pa.output_stream(path, compression="zstd") as stream:
        stream.write(b"a\n1\n2\n")
    assert read(STORAGE.stat(f"file://{path}"), columns(a=INT)).rows == [(1,), (2,)]


@pytest.mark.parametrize("cut", [30, 200])
def test_a_truncated_compressed_file_is_named(tmp_path: Path, cut: int) -> None:
    content = "a\n" + "\n".join(str(random.Random(i).random()) for i in range(5000))
    data = gzip.compress(content.encode())
    obj = stored(tmp_path / "t.csv.gz", data[:-cut])
    assert read(obj, columns(a=FLOAT)).fatal == ["truncated_file"]


def test_a_fault_of_the_system_is_not_blamed_on_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    obj = stored(tmp_path / "t.csv.gz", gzip.compress(b"a\n1\n"))

    def fail(*_: object, **__: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(STORAGE, "open", fail)
    with pytest.raises(TimeoutError):
        read(obj, columns(a=INT))


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8-sig"])
def test_other_encodings_are_recoded(tmp_path: Path, encoding: str) -> None:
    obj = stored(tmp_path / "t.csv", "clé,b\n1,é\n2,ü\n".encode(encoding))
    assert read(obj, columns(clé=INT, b=TEXT), encoding=encoding).rows == [(1, "é"), (2, "ü")]


def test_a_wrong_encoding_is_named_with_its_fix(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", "a,b\n1,é\n".encode("latin-1"))
    result = read(obj, columns(a=INT, b=TEXT), wrong_types="null")
    assert result.fatal == ["wrong_encoding"]
    assert "latin-1" in result.problems["wrong_encoding"].fix


# --- types


def test_declared_types_hold_whatever_the_block_holds(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"id,zip,x,n\n9007199254740993,00501,1,\n2,10001,,\n")
    result = read(obj, columns(id=INT, zip=TEXT, x=FLOAT, n=FLOAT))
    assert result.rows == [(9007199254740993, "00501", 1.0, None), (2, "10001", None, None)]
    assert result.table.schema.types == [INT, TEXT, FLOAT, FLOAT]


def test_quoted_and_unquoted_null_spellings_are_null_in_every_type(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b'a,b,c\n"",NA,"NULL"\nNaN,"nan",\n')
    wanted = [ReadColumn("a", FLOAT), ReadColumn("b", TEXT), ReadColumn("c", TEXT, dictionary=True)]
    assert read(obj, wanted).rows == [(None, None, None), (None, None, None)]


def test_null_spellings_are_the_declared_ones(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"a,b\n-,NA\n")
    assert read(obj, columns(a=FLOAT, b=TEXT), null_values=("-",)).rows == [(None, "NA")]


def test_strings_come_dictionary_encoded_where_asked(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"a\nx\ny\nx\n")
    result = read(obj, [ReadColumn("a", TEXT, dictionary=True)])
    assert result.table.schema.types == [pa.dictionary(pa.int32(), pa.string())]
    assert result.rows == [("x",), ("y",), ("x",)]


def test_one_column_is_read_as_two_types(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"id\n9007199254740993\n")
    wanted = [
        ReadColumn("feature", FLOAT, source_name="id"),
        ReadColumn("id", INT),
        ReadColumn("text", TEXT, source_name="id"),
    ]
    assert read(obj, wanted).rows == [(9007199254740992.0, 9007199254740993, "9007199254740993")]


@pytest.mark.parametrize(
    ("spelled", "kind", "value"),
    [
        (b"1.0", INT, 1),
        (b"+5", INT, 5),
        (b" 7 ", INT, 7),
        (b"-3.000", INT, -3),
        (b" 1.5", FLOAT, 1.5),
        (b"1e3", FLOAT, 1000.0),
        (b"   ", FLOAT, None),
        (b"TRUE", BOOL, True),
        (b"no", BOOL, False),
        (b"0", BOOL, False),
        (b"1.0", BOOL, True),
        (b" t ", BOOL, True),
        (b"05:06:07", pa.time64("us"), "05:06:07"),
        (b" 05:06:07", pa.time64("us"), "05:06:07"),
    ],
)
def test_usual_spellings_are_understood(tmp_path: Path, spelled: bytes, kind: pa.DataType, value: object) -> None:
    obj = stored(tmp_path / "t.csv", b"a,b\n" + spelled + b",x\n")
    result = read(obj, columns(a=kind))
    assert result.error is None
    found = result.rows[0][0]
    assert (str(found) if pa.types.is_time(kind) else found) == value


def test_a_value_means_the_same_wherever_blocks_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the fast path takes and what the careful path takes: the same values, whatever stands beside them."""
    rng = random.Random(1)
    alphabet = {
        INT: "0123456789+-. x",
        FLOAT: "0123456789.eE+-inaf ",
        BOOL: "truefalsynoTF01. ",
        DATE: "0123-- /",
        TIME: "2013-01 T:.Z",
    }
    starts = {DATE: "2013-01-0", TIME: "2013-01-02 05:0"}
    for kind, letters in alphabet.items():
        values = [starts.get(kind, "") + "".join(rng.choices(letters, k=rng.randint(0, 4))) for _ in range(300)]
        values += ["0x1F", "1_0", "Infinity", "-nan", "1e400", "9223372036854775808", "true", "2013-01-02", "2013-1-2"]
        obj = stored(tmp_path / "t.csv", b"a,b\n" + b"".join(f"{v},x\n".encode() for v in values))
        monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 1 << 20)
        together = read(obj, columns(a=kind), wrong_types="null")
        monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 8)
        apart = [
            read(stored(tmp_path / "one.csv", f"a,b\n{v},x\n".encode()), columns(a=kind), wrong_types="null")
            for v in values
        ]
        assert together.table["a"].to_pylist().__repr__() == [part.rows[0][0] for part in apart].__repr__()
        bad = sum("wrong_type" in part.problems for part in apart)
        assert together.problems["wrong_type"].count == bad


# --- what is wrong


def test_all_bad_values_of_all_columns_are_reported_together(tmp_path: Path, small_blocks: None) -> None:
    rows = b"".join(b"%d,%s,%s\n" % (i, b"oops" if i % 3 == 0 else b"1", b"x" if i == 7 else b"2") for i in range(30))
    obj = stored(tmp_path / "t.csv", b"id,a,b\n" + rows)
    result = read(obj, columns(id=INT, a=FLOAT, b=INT), key=["id"])
    assert result.fatal == ["wrong_type", "wrong_type"]
    first, second = result.error.problems
    assert (first.column, first.count, first.examples[:2]) == ("a", 10, ("'oops' at id=0", "'oops' at id=3"))
    assert (second.column, second.count, second.examples) == ("b", 1, ("'x' at id=7",))
    assert first.file == obj.uri
    assert "quarantine" in first.fix


@pytest.mark.parametrize("newlines_in_values", [False, True])
def test_bad_values_without_a_key_are_placed_by_byte(
    tmp_path: Path, newlines_in_values: bool, small_blocks: None
) -> None:
    content = b"a,b\n1,x\n\n2,y\n1,2,3\noops,z\n"
    obj = stored(tmp_path / "t.csv", content)
    result = read(obj, columns(a=INT), wrong_types="quarantine", newlines_in_values=newlines_in_values)
    assert result.problems["wrong_type"].examples == (f"'oops' at byte {content.index(b'oops')}",)


def test_bad_values_become_null_where_the_policy_says_so(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"a,b\n1,x\noops,y\n")
    result = read(obj, columns(a=INT, b=TEXT), wrong_types="null")
    assert result.rows == [(1, "x"), (None, "y")]
    assert (result.problems["wrong_type"].count, result.error) == (1, None)


def test_rows_are_set_aside_as_they_were_spelled(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"a,b,c\n1.50,oops,1\n2,2,2\n3,3\n")
    wanted = columns(a=FLOAT, b=INT)
    result = read(obj, wanted, wrong_types="quarantine")
    assert result.rows == [(2.0, 2)]
    assert result.error is None
    assert [set(row) for row in result.rejected] == [set(rejected_schema(wanted).names)] * 2
    by_reason = {row["_reason"]: row for row in result.rejected}
    assert by_reason["wrong_type: b"] == {
        "a": "1.50",
        "b": "oops",
        "_file": obj.uri,
        "_reason": "wrong_type: b",
        "_record": None,
    }
    assert by_reason["wrong_field_count: 2 instead of 3"]["_record"] == "3,3"
    reader = result.reader
    assert (reader.rows, reader.rejected, reader.consumed.rows) == (3, 2, 3)


@pytest.mark.parametrize("policy", ["error", "null"])
def test_records_with_a_wrong_number_of_fields_are_an_error(tmp_path: Path, policy: str) -> None:
    obj = stored(tmp_path / "t.csv", b"a,b\n1,x\n2\n3,y,z\n")
    result = read(obj, columns(a=INT), wrong_types=policy)
    assert result.fatal == ["wrong_field_count"]
    problem = result.problems["wrong_field_count"]
    assert (problem.count, problem.examples) == (2, ("'2' has 1, at byte 8", "'3,y,z' has 3, at byte 10"))


def test_missing_columns_are_named_all_at_once(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"a,b\n1,x\n")
    result = read(obj, columns(A=INT, b=TEXT, c=TEXT))
    assert [problem.column for problem in result.error.problems] == ["A", "c"]
    assert "It has: a, b" in result.error.problems[0].message


def test_columns_that_may_be_missing_are_null_and_counted(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"a\n1\n2\n")
    result = read(obj, [ReadColumn("a", INT), ReadColumn("b", TEXT, dictionary=True, required=False)])
    assert result.rows == [(1, None), (2, None)]
    assert (result.problems["missing_column"].column, result.problems["missing_column"].count) == ("b", 2)


def test_a_name_twice_in_the_header_is_an_error_when_it_is_read(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"a,a,b\n1,2,3\n")
    assert read(obj, columns(a=INT)).fatal == ["duplicate_column"]
    assert read(obj, columns(b=INT)).rows == [(3,)]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "no_header"),
        (b"\n\r\n", "no_header"),
        (b"\xef\xbb\xbf", "no_header"),
        (b"PAR1\x15\x04", "not_csv"),
        (b"ORC\x0a\x0b\x00", "not_csv"),
        (bz2.compress(b"a,b\n"), "not_csv"),
        (gzip.compress(b"a,b\n", mtime=0), "not_csv"),
        (b"PK\x03\x04rest", "not_csv"),
        (b"<!DOCTYPE html><html>\n", "not_csv"),
        (b'<?xml version="1.0"?>\n', "not_csv"),
        (b"a,b\n\x00\x01,2\n", "not_csv"),
        (b"1,2.5\n3,4\n", "no_header"),
        (b"a,b\r1,2\r", "lone_carriage_return"),
    ],
)
def test_files_that_are_no_csv_are_named(tmp_path: Path, content: bytes, kind: str) -> None:
    obj = stored(tmp_path / "t.csv", content)
    result = read(obj, columns(a=INT), wrong_types="null")
    assert result.fatal == [kind]
    assert result.error.problems[0].file == obj.uri


def test_a_header_where_none_was_declared_is_an_error(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"a,b\n1,2\n")
    assert read(obj, columns(a=TEXT), header=False, column_names=("a", "b")).fatal == ["header_in_data"]


@pytest.mark.parametrize(
    "content", [b'a,b\n1,"x\ny"\n2,z\n', b'a,b\n"x\ny",1\n', b'a\n1\n"x\n', b'a,b\n1,2\n3,"x\n4,y"\n']
)
def test_undeclared_line_breaks_in_values_are_an_error(tmp_path: Path, content: bytes) -> None:
    obj = stored(tmp_path / "t.csv", content)
    result = read(obj, columns(a=TEXT), wrong_types="quarantine")
    assert result.fatal == ["newline_in_value"]
    assert "newlines_in_values=True" in result.error.problems[0].fix


def test_an_undeclared_line_break_is_found_however_the_file_is_cut(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b'a,b\n1,2\n3,"x\ny"\n5,6\n')
    for cut in range(1, obj.size):
        parts = [read(obj, columns(a=TEXT, b=TEXT), start=a, end=b) for a, b in ((0, cut), (cut, obj.size))]
        assert any(part.error for part in parts), cut


def test_quotes_inside_unquoted_values_are_just_characters(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b'a,b\n1,5" pipe\n2,x\n')
    assert read(obj, columns(a=INT, b=TEXT)).rows == [(1, '5" pipe'), (2, "x")]


def test_a_quote_that_never_closes_is_an_error_not_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_sklearn.worker.data.csv.source.LONGEST_RECORD", 64)
    monkeypatch.setattr(csv_blocks, "LONGEST_RECORD", 64)
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 16)
    obj = stored(tmp_path / "t.csv", b'a,b\n1,"x\n' + b"2,y\n" * 100)
    assert read(obj, columns(a=TEXT), newlines_in_values=True).fatal == ["unbalanced_quotes"]


@pytest.mark.parametrize("newlines_in_values", [False, True])
def test_inch_marks_are_characters_of_names_and_values(
    tmp_path: Path, newlines_in_values: bool, small_blocks: None
) -> None:
    content = b'id,size 5",b\n1,5" pipe,x\n2,6" x 7","y, ""z"""\n3,"a"b"c,8"\n'
    wanted = columns(**{"id": INT, 'size 5"': TEXT, "b": TEXT})
    found = read(stored(tmp_path / "t.csv", content), wanted, newlines_in_values=newlines_in_values)
    assert found.rows == [(1, '5" pipe', "x"), (2, '6" x 7"', 'y, "z"'), (3, 'ab"c', '8"')]


def test_no_rows_after_a_fault_and_the_rest_is_still_checked(tmp_path: Path, small_blocks: None) -> None:
    obj = stored(tmp_path / "t.csv", b"a\n" + b"1\n" * 20 + b"bad\n" + b"1\n" * 20 + b"worse\n")
    result = read(obj, columns(a=INT))
    assert result.error.problems[0].count == 2
    assert len(result.rows) < 30
    assert result.reader.rows == 42


def test_names_that_begin_like_another_format_are_names(tmp_path: Path) -> None:
    for name in ("ORC", "PAR1", "PARE", "BZh", "BZh9", "PK", "%PDF", "Obj", "<error>", "<HTML-code>"):
        obj = stored(tmp_path / "t.csv", f"{name},b\n1,2\n".encode())
        assert read(obj, columns(**{name: INT})).rows == [(1,)], name


def test_names_that_look_the_same_are_the_same(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", "cafe\u0301,b\n1,2\n".encode())
    result = read(obj, columns(**{"caf\u00e9": INT}), ignored=["b"])
    assert (result.rows, result.table.column_names, result.problems) == ([(1,)], ["caf\u00e9"], {})


# --- line ends


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\r1,x\n2,y\n",
        b"a,b\r1,x\r2,y\r3,z\n4,u\n",
        b"a,b\r1,x\r\n2,y\r\n",
        b"a,b\n1,x\r2,y\r",
        b"a,b\n1,x\n2,y\r3,z\n",
        b"a,b\r" + b"1,x\r" * 50_000,
        b'"a\r",b\r1,x\n',
    ],
)
@pytest.mark.parametrize("newlines_in_values", [False, True])
def test_lone_carriage_returns_are_an_error_and_lose_no_row(
    tmp_path: Path, content: bytes, newlines_in_values: bool
) -> None:
    result = read(stored(tmp_path / "t.csv", content), [], newlines_in_values=newlines_in_values)
    assert result.fatal == ["lone_carriage_return"]
    assert "line feeds" in result.error.problems[0].fix


@pytest.mark.parametrize("content", [b"a,b\n1,x\r\n2,y\n", b"a,b\r\n1,x\n2,y\r\n", b"a,b\r\r\n1,x\r\r\n2,y\r\r\n"])
def test_line_ends_may_differ_where_no_row_is_lost(tmp_path: Path, content: bytes) -> None:
    assert read(stored(tmp_path / "t.csv", content), columns(a=INT, b=TEXT)).rows == [(1, "x"), (2, "y")]


def test_carriage_returns_in_quoted_values_are_characters(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b'"a\rb",c\n1,"x\ry"\n')
    assert read(obj, columns(**{"a\rb": INT, "c": TEXT})).rows == [(1, "x\ry")]


# --- files that were put together, or cut off


@pytest.mark.parametrize("policy", ["error", "null", "quarantine"])
@pytest.mark.parametrize(
    ("again", "kinds"),
    [
        (b"id,a,b\n", (TEXT, TEXT, TEXT)),
        (b"id,a,b\r\n", (INT, FLOAT, TEXT)),
        (b'"id","a","b"\n', (INT, FLOAT, TEXT)),
        (b"\xef\xbb\xbfid,a,b\n", (TEXT, TEXT, TEXT)),
        (b"b,id,a\n", (TEXT, TEXT, TEXT)),
        (b"id,a,b\n", (INT, BOOL, DATE)),
    ],
)
def test_a_header_among_the_rows_is_an_error_that_says_where(
    tmp_path: Path, policy: str, again: bytes, kinds: tuple[pa.DataType, ...], small_blocks: None
) -> None:
    first = b"id,a,b\n1,1,2013-01-02\n"
    obj = stored(tmp_path / "t.csv", first + again + b"2,0,2013-01-03\n")
    result = read(obj, columns(**dict(zip(("id", "a", "b"), kinds, strict=True))), wrong_types=policy)
    assert result.fatal == ["repeated_header"]
    problem = result.error.problems[0]
    assert (problem.file, problem.count, problem.examples) == (obj.uri, 1, (f"at byte {len(first)}",))


def test_a_header_among_the_rows_is_found_whatever_is_read_of_them(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"id,a\n1,x\nid,a\n2,y\n")
    wanted = [[ReadColumn("a", TEXT, dictionary=True)], columns(id=TEXT), columns(id=INT), []]
    assert [read(obj, asked, wrong_types="null").fatal for asked in wanted] == [["repeated_header"]] * 4


def test_a_header_that_was_renamed_or_not_declared_is_found_among_the_rows(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"id,a\n1,x\nid,a\n")
    assert read(obj, columns(k=TEXT), column_names=("k", "v")).fatal == ["repeated_header"]
    obj = stored(tmp_path / "t.csv", b"1,x\nid,a\n")
    assert read(obj, columns(id=TEXT), header=False, column_names=("id", "a")).fatal == ["repeated_header"]


def test_values_that_are_names_of_columns_are_values(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"color,shape\ncolor,round\nblue,shape\ncolor,color\n")
    assert len(read(obj, columns(color=TEXT, shape=TEXT)).rows) == 3
    assert len(read(obj, columns(shape=TEXT)).rows) == 3


@pytest.mark.parametrize("policy", ["error", "null", "quarantine"])
@pytest.mark.parametrize(
    "content",
    [
        b"a,b,c\n1,x,2\n2",
        b"a,b,c\n1,x,2\n2,y",
        b"a,b,c\r\n1,x,2\r\n2,y\r",
        b'a,b,c\n1,x,2\n2,"y',
        b'a,b,c\n1,x,2\n2,y,"3',
        b'a,b,c\n1,x,2\n2,y,"3""',
    ],
)
@pytest.mark.parametrize("newlines_in_values", [False, True])
def test_a_file_that_ends_within_its_last_record_is_always_an_error(
    tmp_path: Path, policy: str, content: bytes, newlines_in_values: bool
) -> None:
    obj = stored(tmp_path / "t.csv", content)
    result = read(obj, columns(a=TEXT), wrong_types=policy, newlines_in_values=newlines_in_values)
    assert result.fatal == ["truncated_file"]
    last = content.rindex(b"\n") + 1
    assert result.error.problems[0].examples == (f"{content[last:].decode()!r} at byte {last}",)
    packed = stored(tmp_path / "t.csv.gz", gzip.compress(content))
    assert read(packed, columns(a=TEXT), newlines_in_values=newlines_in_values).fatal == ["truncated_file"]


def test_a_file_cut_off_is_told_by_the_chunk_that_holds_its_end(tmp_path: Path) -> None:
    content = b"a,b\n1,x\n2,y\n3"
    obj = stored(tmp_path / "t.csv", content)
    for cut in range(1, obj.size):
        parts = [read(obj, columns(a=INT), start=a, end=b) for a, b in ((0, cut), (cut, obj.size))]
        assert [kind for part in parts for kind in part.fatal] == ["truncated_file"], cut


def test_a_quote_that_is_open_at_the_end_is_an_error_also_before_a_line_end(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b'a,b\n1,x\n2,"y\n3,z\n')
    assert read(obj, columns(a=INT), newlines_in_values=True).fatal == ["truncated_file"]


def test_a_file_that_ends_in_the_middle_of_a_character_is_cut_off(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", "a,b\n1,x\n2,caf\u00e9".encode()[:-1])
    assert read(obj, columns(a=INT)).fatal == ["truncated_file"]
    assert "truncated_file" in read(obj, columns(b=TEXT), wrong_types="quarantine").fatal


def test_null_values_of_other_letters_are_null(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", "a,b\n\u00e9,x\n\u00e9\u00e9,y\n".encode())
    assert read(obj, columns(a=TEXT), null_values=("\u00e9",)).rows == [(None,), ("\u00e9\u00e9",)]
    wanted = [ReadColumn("a", TEXT, null_spellings=("\u00e9", "NA")), ReadColumn("b", TEXT, null_spellings=("x",))]
    assert read(obj, wanted).rows == [(None, None), ("\u00e9\u00e9", "y")]


def test_a_last_record_without_a_line_end_is_whole_when_it_has_all_fields(tmp_path: Path) -> None:
    for content in (b"a,b\n1,x\n2,", b'a,b\n1,x\n2,""', b"a,b\n1,x\n2,\r"):
        assert read(stored(tmp_path / "t.csv", content), columns(a=INT, b=TEXT)).rows == [(1, "x"), (2, None)]


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".zst"])
def test_a_compressed_file_that_is_cut_anywhere_is_an_error(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t.csv{ending}"
    kind = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}[ending]
    with pa.output_stream(path, compression=kind) as stream:
        stream.write(b"a\n" + b"".join(b"%d\n" % (i * 7919 % 10007) for i in range(3000)))
    data = path.read_bytes()
    for size in [0, 1, 5, len(data) // 2, len(data) - 9, len(data) - 1]:
        result = read(stored(path, data[:size]), columns(a=INT), wrong_types="quarantine")
        assert result.fatal in (["truncated_file"], ["not_csv"]), size


# --- folders


def test_folder_names_become_columns(tmp_path: Path) -> None:
    obj = stored(
        tmp_path / "month=2013-01" / "city=New%20York" / "n=__HIVE_DEFAULT_PARTITION__" / "t.csv", b"a\n1\n2\n"
    )
    wanted = [
        ReadColumn("month", TEXT),
        ReadColumn("a", INT),
        ReadColumn("city", TEXT, dictionary=True),
        ReadColumn("n", INT),
    ]
    result = read(obj, wanted, hive_partitions=True)
    assert result.rows == [("2013-01", 1, "New York", None), ("2013-01", 2, "New York", None)]


def test_a_folder_value_that_does_not_convert_is_reported(tmp_path: Path) -> None:
    obj = stored(tmp_path / "n=x" / "t.csv", b"a\n1\n")
    result = read(obj, columns(a=INT, n=INT), hive_partitions=True)
    assert (result.fatal, result.error.problems[0].column) == (["wrong_type"], "n")


def test_undecodable_records_with_a_wrong_number_of_fields_are_reported_without_noise(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = read(stored(tmp_path / "t.csv", b"a,b\n1,x\n2,\xe9\xff,3\n"), columns(a=INT, b=TEXT))
    assert result.fatal == ["wrong_encoding", "wrong_field_count"]
    assert "invalid continuation byte" in result.problems["wrong_encoding"].message
    assert "ignored" not in capfd.readouterr().err


def test_undecodable_bytes_where_nothing_is_asked_for_do_not_matter(tmp_path: Path) -> None:
    assert read(stored(tmp_path / "t.csv", b"a,b\n1,\xe9\n"), columns(a=INT)).rows == [(1,)]


def test_a_line_break_in_a_quoted_header_must_be_declared(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b'a,"b\nc"\n1,2\n')
    assert read(obj, columns(a=INT)).fatal == ["newline_in_value"]
    assert read(obj, columns(**{"a": INT, "b\nc": INT}), newlines_in_values=True).rows == [(1, 2)]


def test_a_header_of_numbers_or_dates_may_be_declared(tmp_path: Path) -> None:
    obj = stored(tmp_path / "t.csv", b"2020-01-01,2021\n1,2\n")
    assert read(obj, columns(a=INT)).fatal == ["no_header"]
    assert read(obj, columns(**{"2021": INT}), column_names=("2020-01-01", "2021")).rows == [(2,)]


@pytest.mark.parametrize("encoding", ["utf-99", "base64"])
def test_an_unknown_encoding_is_refused_by_name(encoding: str) -> None:
    with pytest.raises(ValueError, match=f"'{encoding}' is no text encoding"):
        CsvOptions(encoding=encoding)


def test_numbers_whose_spelling_must_be_kept_are_no_codes(tmp_path: Path) -> None:
    rows = b"0123,0.5\n 5,0\n-0,1e3\n+5,+49151\n5.0,2.50\n5,-0.25\n,12345678901234567890\n"
    obj = stored(tmp_path / "t.csv", b"a,b\n" + rows)
    wanted = [ReadColumn(name, kind, keep_spelling=True) for name, kind in (("a", INT), ("b", FLOAT))]
    result = read(obj, wanted, wrong_types="null")
    assert [a for a, _ in result.rows] == [None, None, None, None, None, 5, None]
    assert [b for _, b in result.rows] == [0.5, 0.0, 1000.0, None, 2.5, -0.25, None]
    assert [row[0] for row in read(obj, columns(a=INT)).rows] == [123, 5, 0, 5, 5, 5, None]


@pytest.mark.parametrize("newlines_in_values", [False, True])
def test_files_of_any_bytes_are_read_or_refused_and_never_raise_something_else(
    tmp_path: Path, newlines_in_values: bool, small_blocks: None
) -> None:
    rng = random.Random(7)
    for _ in range(400):
        content = b"a,b\n" + bytes(rng.choices(b'a1,"\n\r \xe9', [3, 3, 3, 2, 3, 1, 1, 1], k=rng.randint(0, 40)))
        obj = stored(tmp_path / "t.csv", content)
        wanted = [ReadColumn("a", INT, keep_spelling=True), ReadColumn("b", TEXT, dictionary=True)]
        for policy in ("error", "null", "quarantine"):
            result = read(obj, wanted, wrong_types=policy, newlines_in_values=newlines_in_values)
            assert result.error or len(result.rows) + result.reader.rejected == result.reader.rows, content


def test_a_column_that_is_asked_for_does_not_stand_for_one_that_looks_the_same(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    asked = columns(**{composed: INT, decomposed: INT})
    both = stored(tmp_path / "both.csv", f"{composed},{decomposed}\n1,2\n".encode())
    assert read(both, asked).table.to_pydict() == {composed: [1], decomposed: [2]}
    one = stored(tmp_path / "one.csv", f"{composed},b\n1,2\n".encode())
    assert read(one, asked).fatal == ["missing_column"]
    assert read(one, columns(**{decomposed: INT})).table.to_pydict() == {decomposed: [1]}
