"""Reading pieces of files as tables with declared types. A new format is a folder, and an entry in this module's
table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.worker.data.columns import ReadColumn
from airflow_sklearn.worker.data.csv.source import CsvPieceReader
from airflow_sklearn.worker.data.parquet.source import ParquetPieceReader
from airflow_sklearn.worker.data.reader import PieceReader, ReadRequest, WrongTypes, rejected_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import pyarrow as pa

    from airflow_sklearn.contract.data import FileFormat, SourceFiles
    from airflow_sklearn.contract.plan import Piece
    from airflow_sklearn.contract.problem_collector import ProblemCollector
    from airflow_sklearn.storage import Storage

_READERS: dict[FileFormat, type[PieceReader]] = {
    "csv": CsvPieceReader,
    "parquet": ParquetPieceReader,
}

__all__ = ["PieceReader", "ReadColumn", "read_piece", "rejected_schema"]


def read_piece(
    storage: Storage,
    files: SourceFiles,
    piece: Piece,
    columns: Sequence[ReadColumn],
    *,
    wrong_types: WrongTypes,
    problems: ProblemCollector,
    on_rejected: Callable[[pa.Table], None] | None = None,
    key: Sequence[str] = (),
    ignored: Collection[str] = (),
    for_training: bool = False,
) -> PieceReader:
    """Read the records of one piece.

    :param storage: where the piece's object is.
    :param files: how it is written.
    :param piece: a byte range. It covers the CSV records or Parquet row groups whose first byte lies in it.
    :param columns: the columns to read, in the order of the result. They are matched by name.
    :param wrong_types: what happens to values that do not convert: raise an error at the piece's end that lists all of
        them, read them as null, or set their rows aside. With null, a record with a wrong number of fields is still an
        error.
    :param problems: collects and counts the faults that the policy permits.
    :param on_rejected: called with rows that are set aside, as tables of ``rejected_schema(columns)``.
    :param key: columns that identify a row in messages. If they are not read, its place in the file does.
    :param ignored: columns that a file may have without being reported as ``extra_column``.
    :param for_training: messages say what helps in training, and no block is yielded after a fault.
    :return: an iterable of ``pa.Table`` blocks. Nothing is read before the iteration.
    """
    request = ReadRequest(
        storage,
        files,
        piece,
        tuple(columns),
        wrong_types,
        problems,
        on_rejected,
        tuple(key),
        frozenset(ignored),
        for_training,
    )
    return _READERS[files.file_format](request)
