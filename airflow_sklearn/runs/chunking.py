"""Cutting source objects into chunks of about equal size.

The objects are laid end to end, and the whole is cut at equal distances. In most cases no object is read for that: a
CSV record or a Parquet row group belongs to the range that holds its first byte, and each worker finds these itself.
Only CSV files that may hold line breaks inside quotes are read here, to cut them at the ends of records.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from airflow_sklearn.contract.plan import Chunk, Piece
from airflow_sklearn.runs.csv_records import record_starts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_sklearn.contract.data import SourceFiles, SourceObject
    from airflow_sklearn.storage import Storage

#: A cut that is closer to an object's border than this share of a chunk moves to the border, so that no chunk opens a
#: file for a few bytes.
_SNAP = 0.05
_LABEL_LENGTH = 200  # Airflow keeps 250 characters of a mapped task's name


def make_chunks(
    storage: Storage, files: SourceFiles, objects: Sequence[SourceObject], *, chunk_size: int, max_chunks: int
) -> tuple[Chunk, ...]:
    """Cut objects into chunks.

    :param storage: where the objects are.
    :param files: the source's format.
    :param objects: the source's objects, in order.
    :param chunk_size: the approximate bytes of source in a chunk. It grows if there would be more than ``max_chunks``.
    :param max_chunks: the largest number of chunks.
    :return: at least one chunk. For an empty source it is one chunk without pieces.
    """
    pieces = [Piece(object=obj, start=0, end=obj.size) for obj in objects]
    count = max(1, min(max_chunks, math.ceil(sum(obj.size for obj in objects) / max(1, chunk_size))))
    groups = split_pieces(storage, files, pieces, count) or [()]
    return tuple(
        Chunk(id=Chunk.make_id(group), label=_label(group, number, len(groups)), pieces=group)
        for number, group in enumerate(groups, 1)
    )


def split_pieces(storage: Storage, files: SourceFiles, pieces: Sequence[Piece], count: int) -> list[tuple[Piece, ...]]:
    """Cut pieces into groups of about equal bytes, in order.

    :param storage: where the pieces' objects are.
    :param files: the source's format.
    :param pieces: the pieces to cut, in order.
    :param count: the largest number of groups.
    :return: groups that cover the pieces exactly; no group is empty.
    """
    width = sum(piece.end - piece.start for piece in pieces) / count
    groups: list[list[Piece]] = [[] for _ in range(count)]
    position = 0
    for piece in pieces:
        for part in _cut(storage, files, piece, _cuts_within(position, piece.end - piece.start, width)):
            middle = position + (part.start + part.end) / 2 - piece.start
            groups[min(count - 1, int(middle / width)) if width else 0].append(part)
        position += piece.end - piece.start
    return [tuple(group) for group in groups if group]


def _cut(storage: Storage, files: SourceFiles, piece: Piece, cuts: list[int]) -> Iterator[Piece]:
    """Cut one piece at byte offsets from its start. A CSV file with line breaks inside quotes is cut at the next
    record ends.
    """
    if not cuts or not files.is_splittable(piece.object.uri):
        yield piece
        return
    exact = files.file_format == "csv" and files.csv.newlines_in_values
    if exact:
        with storage.open(piece.object.uri, start=piece.start, end=piece.end, etag=piece.object.etag) as stream:
            cuts = record_starts(stream, cuts, files.csv.quote, files.csv.delimiter)
    borders = sorted({piece.start, piece.end, *(piece.start + cut for cut in cuts)})
    for start, end in pairwise(borders):
        yield Piece(object=piece.object, start=start, end=end, exact=exact)


def _cuts_within(position: int, size: int, width: float) -> list[int]:
    """The byte offsets of the equally spaced cuts in a piece, without cuts that lie too close to its border.

    :param position: the piece's first byte, counted over all objects.
    :param size: the piece's bytes.
    :param width: bytes between two cuts.
    """
    if not width:
        return []
    first, last = math.floor(position / width) + 1, math.ceil((position + size) / width) - 1
    offsets = (round(i * width) - position for i in range(first, last + 1))
    return [offset for offset in offsets if width * _SNAP < offset < size - width * _SNAP]


def _label(pieces: tuple[Piece, ...], number: int, count: int) -> str:
    """The chunk's name in Airflow's UI: file, range, number of the chunk."""
    place = f"({number} of {count})"
    if not pieces:
        return f"empty source {place}"
    names = [piece.object.uri.rpartition("/")[2] for piece in pieces]
    first = pieces[0]
    if len(pieces) > 1:
        what = f"{names[0]} to {names[-1]}, {len(pieces)} files"
    elif first.start == 0 and first.end == first.object.size:
        what = names[0]
    else:
        what = f"{names[0]} {first.start / 1e6:.1f}-{first.end / 1e6:.1f} MB"
    return f"{what[:_LABEL_LENGTH]} {place}"
