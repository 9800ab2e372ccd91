"""Reading one piece of a Parquet file: whole row groups, the needed columns only, in batches."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_sklearn.contract.receipt import Consumed
from airflow_sklearn.worker.data.columns import match_columns
from airflow_sklearn.worker.data.convert import convert
from airflow_sklearn.worker.data.parquet.file import (
    INT96_UNIT,
    Footer,
    NotParquetError,
    check_unchanged,
    groups_before,
    open_groups,
    read_footer,
)
from airflow_sklearn.worker.data.reader import PieceReader
from airflow_sklearn.worker.data.types import is_text, is_undecodable, plain_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from airflow_sklearn.worker.data.columns import Layout

#: Rows of a batch. Measured with the buffer below: not slower than larger batches and buffers, in half the memory.
_BATCH_ROWS = 1 << 14
#: Bytes of each column's read buffer. Pages are read through it, so that no row group is ever whole in memory.
_BUFFER_BYTES = 1 << 16


class ParquetPieceReader(PieceReader):
    """See ``PieceReader``."""

    def _tables(self) -> Iterator[pa.Table]:
        piece = self._request.piece
        obj = piece.object
        try:
            footer = read_footer(self._request.storage, obj)
        except NotParquetError as error:
            self._errors.merge([error.problem])
            return
        first, last = (groups_before(footer.metadata, at, obj.size) for at in (piece.start, piece.end))
        layout = match_columns(
            self._request.columns,
            footer.schema.names,
            self._folder_values(),
            file=self._uri,
            ignored=self._request.ignored,
            errors=self._errors,
            counted=self._request.problems,
            for_training=self._request.for_training,
        )
        if not self.failed:
            try:
                yield from self._groups(footer, range(first, last), layout)
            except (pa.ArrowException, OSError) as error:
                check_unchanged(self._request.storage, obj)
                if not is_undecodable(error):
                    raise
                self._fatal("not_parquet", f"a page cannot be read: {error}", fix="write the file again.")
        total = footer.metadata.num_row_groups
        self.consumed = Consumed(object=obj, first=first, last=last, total=total, rows=self.rows)

    def _groups(self, footer: Footer, groups: range, layout: Layout) -> Iterator[pa.Table]:
        sources = list(dict.fromkeys(layout.stored.values()))
        leaves = _leaf_columns(footer, sources)
        piece = self._request.piece
        rows = sum(footer.metadata.row_group(group).num_rows for group in groups)
        for path, ready in open_groups(self._request.storage, piece.object, footer, groups, leaves):
            with pq.ParquetFile(
                path,
                metadata=footer.metadata,
                coerce_int96_timestamp_unit=INT96_UNIT,
                read_dictionary=self._as_dictionary(footer, layout),
                pre_buffer=False,
                page_checksum_verification=True,  # only pages that have a checksum are checked
                buffer_size=_BUFFER_BYTES,
            ) as file:
                for batch in file.iter_batches(_BATCH_ROWS, row_groups=ready, columns=sources, use_threads=False):
                    check_unchanged(self._request.storage, piece.object)
                    yield self._read(batch, layout)
                    self.bytes_read = (piece.end - piece.start) * self.rows // rows

    def _as_dictionary(self, footer: Footer, layout: Layout) -> list[str]:
        """String columns that are requested dictionary-encoded, by their names in the file."""
        wanted = [
            layout.stored[c.name]
            for c in self._request.columns
            if c.name in layout.positions and pa.types.is_dictionary(c.output_type)
        ]
        stored = {name: footer.schema.field(name).type for name in wanted}
        return [name for name, kind in stored.items() if pa.types.is_string(kind) or pa.types.is_large_string(kind)]

    def _read(self, batch: pa.RecordBatch, layout: Layout) -> pa.Table:
        start = self.rows
        self.rows += batch.num_rows
        read = {name: plain_values(batch.column(stored)) for name, stored in layout.stored.items()}
        table, bad, _ = self._assemble(read, batch.num_rows, layout)
        spelled = partial(self._spelled, read, layout)

        def place(row: int) -> str:
            return f"row {start + row:,} of the piece"

        self._count_null_keys(table, bad, place)
        return self._settle(table, bad, spelled, place)

    def _spelled(self, read: dict[str, pa.Array], layout: Layout, rows: np.ndarray) -> pa.Table:
        columns = {}
        for column in self._request.columns:
            if column.name in read:
                columns[column.name] = _spell(read[column.name].take(pa.array(rows)))
            else:
                columns[column.name] = pa.array([layout.folder_values.get(column.name)] * len(rows), pa.string())
        return pa.table(columns)


def _spell(values: pa.Array) -> pa.Array:
    """Values as text, for messages."""
    if is_text(values.type):
        return convert(values, pa.string()).values
    try:
        return pc.cast(values, pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array([None if value is None else str(value) for value in values.to_pylist()], pa.string())


def _leaf_columns(footer: Footer, names: list[str]) -> list[int]:
    """The positions of the columns among the file's leaf columns. A nested column has several."""
    wanted = set(names)
    schema = footer.metadata.schema
    paths = [schema.column(position).path for position in range(len(schema))]
    return [i for i, path in enumerate(paths) if path in wanted or any(path.startswith(f"{name}.") for name in wanted)]
