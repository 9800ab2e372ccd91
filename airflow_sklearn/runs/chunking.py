"""Cutting source objects into chunks: contiguous, balanced, never more than asked for.

The objects are laid end to end and the whole is cut at equal distances. Nothing is read for that, whatever the number
of objects: a CSV record or a Parquet row group belongs to the range that holds its first byte, and each worker finds
those itself. Only files that may hold line breaks inside quotes are read here, to cut them at true record ends.
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

#: A cut closer than this share of a chunk to an object's border moves there: no chunk opens a file for a sliver.
_SNAP = 0.05
_LABEL_LENGTH = 200  # Airflow keeps 250 characters of a mapped task's name


def make_chunks(
    storage: Storage, files: SourceFiles, objects: Sequence[SourceObject], *, chunk_size: int, max_chunks: int
) -> tuple[Chunk, ...]:
    """Cut objects into chunks.

    :param objects: the source, in order.
    :param chunk_size: bytes of source a chunk, about; grows when ``max_chunks`` would not suffice.
    :param max_chunks: the most chunks to make.
    :return: at least one chunk; one without pieces for an empty source.
    """
    pieces = [Piece(object=obj, start=0, end=obj.size) for obj in objects]
    count = max(1, min(max_chunks, math.ceil(sum(obj.size for obj in objects) / max(1, chunk_size))))
    groups = split_pieces(storage, files, pieces, count) or [()]
    return tuple(
        Chunk(id=Chunk.make_id(group), label=_label(group, number, len(groups)), pieces=group)
        for number, group in enumerate(groups, 1)
    )


def split_pieces(storage: Storage, files: SourceFiles, pieces: Sequence[Piece], count: int) -> list[tuple[Piece, ...]]:
    """Cut pieces into at most ``count`` groups of about equal bytes that tile them in order; no group is empty."""
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
    """Cut one piece at offsets from its start; at the true record ends next to them where only those are safe."""
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
    """Offsets in a piece that begins at ``position`` at which the equally spaced cuts fall, slivers snapped away."""
    if not width:
        return []
    first, last = math.floor(position / width) + 1, math.ceil((position + size) / width) - 1
    offsets = (round(i * width) - position for i in range(first, last + 1))
    return [offset for offset in offsets if width * _SNAP < offset < size - width * _SNAP]


def _label(pieces: tuple[Piece, ...], number: int, count: int) -> str:
    """What a person sees in the UI: file, range, place."""
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
