from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_sklearn.contract.data import SourceFiles, SourceObject
from airflow_sklearn.contract.plan import Piece
from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.exceptions import ObjectChangedError
from airflow_sklearn.storage import Storage
from airflow_sklearn.worker.data.parquet import file as parquet_file
from airflow_sklearn.worker.data.parquet.file import group_offset, open_groups, read_footer
from airflow_sklearn.worker.data.registry import ReadColumn, read_piece
from tests.worker.data.helpers import BOOL, DATE, FLOAT, INT, STORAGE, TEXT, TIME, columns, read


def written(path: Path, table: pa.Table, **options: Any) -> SourceObject:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return STORAGE.stat(f"file://{path}")


def numbers(rows: int) -> pa.Table:
    return pa.table({"a": range(rows), "b": [f"b{i % 3}" for i in range(rows)], "c": [i / 7 for i in range(rows)]})


def test_pieces_cut_anywhere_tile_the_row_groups(tmp_path: Path) -> None:
    obj = written(tmp_path / "t.parquet", numbers(50), row_group_size=7)
    wanted = columns(c=FLOAT, a=INT)
    whole = read(obj, wanted, file_format="parquet")
    assert len(whole.rows) == 50
    metadata = pq.read_metadata(tmp_path / "t.parquet")
    offsets = [group_offset(metadata, group) for group in range(metadata.num_row_groups)]
    positions = sorted({0, 1, 3, 4, 5, *(o + d for o in offsets for d in (-1, 0, 1)), obj.size - 1, obj.size})
    for cut in positions[1:-1]:
        parts = [read(obj, wanted, start=a, end=b, file_format="parquet") for a, b in ((0, cut), (cut, obj.size))]
        assert parts[0].rows + parts[1].rows == whole.rows
        first, second = (part.reader.consumed for part in parts)
        assert (first.first, first.last, second.last, second.total) == (0, second.first, 8, 8)
        assert first.rows + second.rows == 50


def test_columns_come_by_name_dictionary_encoded_where_asked(tmp_path: Path) -> None:
    obj = written(tmp_path / "t.parquet", numbers(4))
    wanted = [
        ReadColumn("b", TEXT, dictionary=True),
        ReadColumn("a", FLOAT),
        ReadColumn("b as text", TEXT, source_name="b"),
    ]
    result = read(obj, wanted, file_format="parquet")
    assert result.table.schema.types == [pa.dictionary(pa.int32(), pa.string()), FLOAT, TEXT]
    assert result.rows == [("b0", 0.0, "b0"), ("b1", 1.0, "b1"), ("b2", 2.0, "b2"), ("b0", 3.0, "b0")]
    assert result.problems["extra_column"].examples == ("'c'",)


@pytest.mark.parametrize(
    ("stored_as", "values", "asked", "expected"),
    [
        (pa.int32(), [1, None], INT, [1, None]),
        (pa.float64(), [1.0, float("nan"), None], INT, [1, None, None]),
        (pa.int64(), [2**53 + 1], FLOAT, [float(2**53)]),
        (pa.decimal128(5, 2), [Decimal("1.50")], FLOAT, [1.5]),
        (pa.bool_(), [True, None], FLOAT, [1.0, None]),
        (pa.int8(), [0, 1], BOOL, [False, True]),
        (pa.large_string(), ["x", None], TEXT, ["x", None]),
        (pa.dictionary(pa.int8(), pa.string()), ["x", None], TEXT, ["x", None]),
        (pa.dictionary(pa.int8(), pa.int64()), [3, None], FLOAT, [3.0, None]),
        (pa.int64(), [501], TEXT, ["501"]),
        (pa.string(), ["1.5", " 2 "], FLOAT, [1.5, 2.0]),
        (pa.timestamp("ns"), [dt.datetime(2013, 1, 2)], TIME, [dt.datetime(2013, 1, 2)]),
        (pa.date32(), [dt.date(2013, 1, 2)], TIME, [dt.datetime(2013, 1, 2)]),
        (pa.null(), [None, None], TEXT, [None, None]),
        (pa.null(), [None], FLOAT, [None]),
    ],
)
def test_stored_types_become_the_asked_ones(
    tmp_path: Path, stored_as: pa.DataType, values: list[Any], asked: pa.DataType, expected: list[Any]
) -> None:
    obj = written(tmp_path / "t.parquet", pa.table({"a": pa.array(values, stored_as)}))
    result = read(obj, columns(a=asked), file_format="parquet")
    assert result.error is None
    assert result.table["a"].to_pylist() == expected
    assert result.table.schema.types == [asked]


@pytest.mark.parametrize("arrow_schema", [True, False], ids=["by_arrow", "by_others"])
def test_int96_moments_of_all_years_are_read_as_they_were_written(tmp_path: Path, arrow_schema: bool) -> None:
    moments = [
        dt.datetime(9999, 12, 31),
        dt.datetime(1, 1, 1),
        # Arrow before 26 reads such a moment right, but cannot write it.
        *([dt.datetime(1969, 12, 31, 23, 59, 59, 999_999)] if int(pa.__version__.split(".")[0]) >= 26 else []),
        dt.datetime(2262, 4, 11, 23, 47, 17),
        None,
    ]
    path = tmp_path / "t.parquet"
    with pq.ParquetWriter(
        path, pa.schema({"a": TIME}), use_deprecated_int96_timestamps=True, store_schema=arrow_schema
    ) as writer:
        writer.write_table(pa.table({"a": pa.array(moments, TIME)}))
    assert pq.ParquetFile(path).schema.column(0).physical_type == "INT96"
    obj = STORAGE.stat(f"file://{path}")
    assert read_footer(STORAGE, obj).schema.field("a").type == TIME
    result = read(obj, columns(a=TIME), file_format="parquet")
    assert result.table["a"].to_pylist() == moments


@pytest.mark.parametrize(
    ("stored_as", "values", "asked"),
    [
        (pa.float64(), [1.0, 1.5], INT),
        (pa.int64(), [1, 300], pa.int8()),
        (pa.string(), ["1", "x"], FLOAT),
        (pa.float64(), [None, 1.0], TEXT),
        (pa.int64(), [1, 2], BOOL),
    ],
)
def test_values_that_do_not_convert_are_reported_and_can_be_null(
    tmp_path: Path, stored_as: pa.DataType, values: list[Any], asked: pa.DataType
) -> None:
    obj = written(tmp_path / "t.parquet", pa.table({"a": pa.array(values, stored_as)}))
    assert read(obj, columns(a=asked), file_format="parquet").fatal == ["wrong_type"]
    lenient = read(obj, columns(a=asked), file_format="parquet", wrong_types="null")
    assert lenient.problems["wrong_type"].count == 1
    assert lenient.table["a"].to_pylist()[1] is None


def test_a_column_of_another_kind_is_refused_whole(tmp_path: Path) -> None:
    obj = written(tmp_path / "t.parquet", pa.table({"a": [dt.date(2013, 1, 2)] * 3}))
    result = read(obj, columns(a=FLOAT), file_format="parquet")
    assert (result.fatal, result.error.problems[0].count) == (["wrong_type"], 3)


def test_rows_are_set_aside_with_what_they_held(tmp_path: Path) -> None:
    obj = written(tmp_path / "t.parquet", pa.table({"k": [7, 8], "a": [1.5, 2.0]}))
    result = read(obj, columns(k=INT, a=INT), file_format="parquet", wrong_types="quarantine", key=["k"])
    assert result.rows == [(8, 2)]
    assert result.rejected == [{"k": "7", "a": "1.5", "_file": obj.uri, "_reason": "wrong_type: a", "_record": None}]
    assert result.problems["wrong_type"].examples == ("'1.5' at k=7",)


def test_missing_columns_and_folder_columns(tmp_path: Path) -> None:
    obj = written(tmp_path / "day=2013-01-02" / "t.parquet", pa.table({"a": [1]}))
    assert read(obj, columns(x=INT, y=INT), file_format="parquet").fatal == ["missing_column", "missing_column"]
    wanted = [ReadColumn("day", DATE), ReadColumn("x", INT, required=False), ReadColumn("a", INT)]
    result = read(obj, wanted, file_format="parquet", hive_partitions=True)
    assert result.rows == [(dt.date(2013, 1, 2), None, 1)]


def test_names_that_look_the_same_are_the_same(tmp_path: Path) -> None:
    pq.write_table(pa.table({"cafe\u0301": ["x", None]}), tmp_path / "t")
    obj = STORAGE.stat(f"file://{tmp_path / 't'}")
    result = read(obj, [ReadColumn("caf\u00e9", pa.string(), dictionary=True)], file_format="parquet")
    assert result.rows == [("x",), (None,)]


def test_names_with_dots_are_names(tmp_path: Path) -> None:
    obj = written(tmp_path / "t.parquet", pa.table({"a.b": [1], "a": [2]}))
    assert read(obj, columns(**{"a.b": INT}), file_format="parquet").rows == [(1,)]


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"a,b\n1,2\n" * 5, "not_parquet"), (b"", "not_parquet"), (b"PAR1" + b"\0" * 50, "truncated_file")],
)
def test_files_that_are_no_parquet_are_named(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "t.parquet").write_bytes(content)
    obj = STORAGE.stat(f"file://{tmp_path / 't.parquet'}")
    result = read(obj, columns(a=INT), file_format="parquet")
    assert (result.fatal, result.error.problems[0].file) == ([kind], obj.uri)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    written(tmp_path / "t.parquet", numbers(1000))
    data = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(data[: len(data) // 2])
    assert read(STORAGE.stat(f"file://{tmp_path / 't.parquet'}"), columns(a=INT), file_format="parquet").fatal == [
        "truncated_file"
    ]


def test_a_damaged_page_is_named(tmp_path: Path) -> None:
    written(tmp_path / "t.parquet", numbers(5000), compression="zstd", use_dictionary=False)
    data = bytearray((tmp_path / "t.parquet").read_bytes())
    data[40:4000] = b"\xff" * 3960
    (tmp_path / "t.parquet").write_bytes(bytes(data))
    assert read(STORAGE.stat(f"file://{tmp_path / 't.parquet'}"), columns(a=INT), file_format="parquet").fatal == [
        "not_parquet"
    ]


def test_a_source_that_changed_is_an_error(tmp_path: Path) -> None:
    obj = written(tmp_path / "t.parquet", numbers(10))
    written(tmp_path / "t.parquet", numbers(11))
    with pytest.raises(ObjectChangedError):
        read(obj, columns(a=INT), file_format="parquet")


class LocalAsRemote(Storage):
    """Local files under s3:// names, with a log of the ranges that were read."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[tuple[int, int]] = []

    def open(self, uri: str, *, start: int = 0, end: int | None = None, etag: str | None = None) -> Any:
        assert end is not None
        self.ranges.append((start, end))
        return super().open(uri.replace("s3://", "file:///"), start=start, end=end, etag=etag)


def test_remote_files_are_fetched_by_the_ranges_of_the_needed_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_file, "_GAP_BYTES", 100)
    monkeypatch.setattr(parquet_file, "_TAIL_BYTES", 64)
    monkeypatch.setattr(parquet_file, "_FETCH_BYTES", 20_000)
    local = written(tmp_path / "t.parquet", numbers(20_000), row_group_size=3000, use_dictionary=["b"])
    remote = local.model_copy(update={"uri": local.uri.replace("file:///", "s3://")})
    storage = LocalAsRemote()
    result = read(remote, columns(c=FLOAT), file_format="parquet", storage=storage)
    assert result.table["c"].to_pylist() == numbers(20_000)["c"].to_pylist()
    fetched = sum(end - start for start, end in storage.ranges)
    metadata = pq.read_metadata(tmp_path / "t.parquet")
    needed = sum(metadata.row_group(group).column(2).total_compressed_size for group in range(metadata.num_row_groups))
    assert needed <= fetched < needed + 20_000 < local.size


def test_remote_row_groups_use_little_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "_FETCH_BYTES", 1)
    local = written(tmp_path / "t.parquet", numbers(50_000), row_group_size=10_000)
    remote = local.model_copy(update={"uri": local.uri.replace("file:///", "s3://")})
    storage = LocalAsRemote()
    footer = read_footer(storage, remote)
    sizes = [Path(path).stat().st_blocks * 512 for path, _ in open_groups(storage, remote, footer, range(5), range(3))]
    assert len(sizes) == 5
    assert max(sizes) < local.size / 2


@pytest.mark.parametrize("in_place", [True, False])
def test_a_file_that_changes_while_it_is_read_is_an_error_and_never_a_mixture(tmp_path: Path, in_place: bool) -> None:
    path = tmp_path / "t.parquet"
    obj = written(path, numbers(100_000), row_group_size=20_000)
    files = SourceFiles(uris=(obj.uri,), file_format="parquet")
    piece = Piece(object=obj, start=0, end=obj.size)
    blocks = iter(read_piece(STORAGE, files, piece, columns(a=INT), wrong_types="error", problems=ProblemCollector()))
    next(blocks)
    data = path.read_bytes()
    if in_place:
        with open(path, "r+b") as file:
            file.write(data[:4] + bytes(len(data) // 2))
    else:
        STORAGE.write(obj.uri, data)
    with pytest.raises(ObjectChangedError, match=r"t\.parquet has changed"):
        list(blocks)


def test_a_page_that_was_damaged_is_found_by_its_checksum(tmp_path: Path) -> None:
    plain: dict[str, Any] = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    written(tmp_path / "t.parquet", pa.table({"a": range(1000)}), **plain)
    data = bytearray((tmp_path / "t.parquet").read_bytes())
    data[500] ^= 1  # another number, which decodes as well
    (tmp_path / "t.parquet").write_bytes(data)
    result = read(STORAGE.stat(f"file://{tmp_path}/t.parquet"), columns(a=INT), file_format="parquet")
    assert result.fatal == ["not_parquet"]
    assert "checksum" in str(result.error)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([bytes(range(16)), None], pa.uuid()), ["00010203-0405-0607-0809-0a0b0c0d0e0f", None]),
        (pa.array([b"x" * 16, b"y" * 16, None], pa.uuid())[1:], ["79797979-7979-7979-7979-797979797979", None]),
        (pa.array([None], pa.uuid()), [None]),
        (pa.array(['{"a": 1}', None], pa.json_()), ['{"a": 1}', None]),
    ]
    if hasattr(pa, "json_")  # pyarrow before 19 has no such types
    else [],
)
def test_a_uuid_is_its_text(tmp_path: Path, values: pa.Array, expected: list[str | None]) -> None:
    obj = written(tmp_path / "t.parquet", pa.table({"a": values}))
    assert read(obj, columns(a=TEXT), file_format="parquet").table["a"].to_pylist() == expected
