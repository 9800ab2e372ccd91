from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from airflow_sklearn.contract.data import CsvOptions, SourceFiles, SourceObject
from airflow_sklearn.contract.plan import Chunk
from airflow_sklearn.runs.chunking import make_chunks, split_pieces
from airflow_sklearn.storage import Storage

CSV = SourceFiles(uris=("file:///x/",), file_format="csv")


def objects(*sizes: int, ending: str = ".csv") -> list[SourceObject]:
    return [SourceObject(uri=f"file:///x/{i:05d}{ending}", etag="e", size=size) for i, size in enumerate(sizes)]


def assert_tiles(chunks: tuple[Chunk, ...], source: list[SourceObject]) -> None:
    """Every byte of every object is in one piece, and pieces come in order."""
    pieces = [piece for chunk in chunks for piece in chunk.pieces]
    by_uri: dict[str, list[tuple[int, int]]] = {}
    for piece in pieces:
        by_uri.setdefault(piece.object.uri, []).append((piece.start, piece.end))
    for obj in source:
        ranges = by_uri[obj.uri]
        assert ranges[0][0] == 0
        assert ranges[-1][1] == obj.size
        assert all(before[1] == after[0] for before, after in pairwise(ranges))
    assert [piece.object.uri for piece in pieces] == sorted(piece.object.uri for piece in pieces)


@pytest.mark.parametrize("chunk_size", [1, 99, 1_000, 10_000, 10**9])
@pytest.mark.parametrize("sizes", [(1000,), (1000, 3, 0, 5000), (7,) * 50, (100_000, 1)])
def test_chunks_tile_the_source(sizes: tuple[int, ...], chunk_size: int) -> None:
    source = objects(*sizes)
    chunks = make_chunks(Storage(), CSV, source, chunk_size=chunk_size, max_chunks=40)
    assert_tiles(chunks, source)
    assert len(chunks) <= 40
    assert len({chunk.id for chunk in chunks}) == len(chunks)


def test_chunks_are_balanced() -> None:
    chunks = make_chunks(Storage(), CSV, objects(1_000_000, 10, 500_000), chunk_size=100_000, max_chunks=100)
    assert len(chunks) == 16
    assert max(chunk.size for chunk in chunks) <= 1.06 * 100_000


def test_chunks_grow_when_there_would_be_too_many() -> None:
    chunks = make_chunks(Storage(), CSV, objects(1_000_000), chunk_size=100, max_chunks=7)
    assert [chunk.size for chunk in chunks] == pytest.approx([1_000_000 / 7] * 7, rel=0.01)


def test_ten_thousand_small_objects_are_packed() -> None:
    source = objects(*[100] * 10_000)
    chunks = make_chunks(Storage(), CSV, source, chunk_size=10_000, max_chunks=256)
    assert len(chunks) == 100
    assert_tiles(chunks, source)


def test_no_chunk_opens_a_file_for_a_sliver() -> None:
    chunks = make_chunks(Storage(), CSV, objects(1_010, 990), chunk_size=1_000, max_chunks=10)
    assert [[piece.object.size for piece in chunk.pieces] for chunk in chunks] == [[1_010], [990]]


def test_compressed_files_are_not_cut() -> None:
    source = objects(1_000_000, 5, ending=".csv.gz")
    chunks = make_chunks(Storage(), CSV, source, chunk_size=1_000, max_chunks=100)
    assert [(p.start, p.end) for chunk in chunks for p in chunk.pieces] == [(0, 1_000_000), (0, 5)]


def test_an_empty_source_is_one_empty_chunk() -> None:
    (chunk,) = make_chunks(Storage(), CSV, [], chunk_size=1_000, max_chunks=10)
    assert chunk.pieces == ()
    assert "empty" in chunk.label


def test_files_with_line_breaks_in_values_are_cut_at_true_record_ends(tmp_path: Path) -> None:
    records = [f'{i},"line one\nline, two ""{i}"""\n'.encode() for i in range(1_000)]
    (tmp_path / "x.csv").write_bytes(b"".join(records))
    files = SourceFiles(uris=(f"file://{tmp_path}/",), file_format="csv", csv=CsvOptions(newlines_in_values=True))
    storage = Storage()
    source = storage.expand(files.uris)
    chunks = make_chunks(storage, files, source, chunk_size=500, max_chunks=100)
    assert_tiles(chunks, list(source))
    starts = {sum(len(record) for record in records[:i]) for i in range(1_001)}
    pieces = [piece for chunk in chunks for piece in chunk.pieces]
    assert len(pieces) > 50
    assert all(piece.exact and piece.start in starts and piece.end in starts for piece in pieces)
    again = [piece for group in split_pieces(storage, files, chunks[0].pieces, 3) for piece in group]
    assert all(piece.start in starts and piece.end in starts for piece in again)


def test_the_id_of_a_chunk_does_not_depend_on_what_comes_before_it() -> None:
    source = objects(1_000, 1_000, 1_000)
    all_chunks = make_chunks(Storage(), CSV, source, chunk_size=1_000, max_chunks=10)
    last_two = make_chunks(Storage(), CSV, source[1:], chunk_size=1_000, max_chunks=10)
    assert [chunk.id for chunk in all_chunks[1:]] == [chunk.id for chunk in last_two]


def test_labels_say_file_range_and_place() -> None:
    labels = [c.label for c in make_chunks(Storage(), CSV, objects(4_000_000, 10), chunk_size=2_100_000, max_chunks=9)]
    assert labels == ["00000.csv 0.0-2.0 MB (1 of 2)", "00000.csv to 00001.csv, 2 files (2 of 2)"]
