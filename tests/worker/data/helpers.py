"""Files to read, and reading them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from airflow_sklearn.contract.data import CsvOptions, SourceFiles, SourceObject
from airflow_sklearn.contract.plan import Piece
from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.exceptions import DataError
from airflow_sklearn.storage import Storage
from airflow_sklearn.worker.data.registry import PieceReader, ReadColumn, read_piece

STORAGE = Storage()
INT, FLOAT, TEXT, BOOL, DATE, TIME = pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.date32(), pa.timestamp("us")


class Read:
    """What came of reading a piece."""

    def __init__(self, reader: PieceReader, problems: ProblemCollector, rejected: list[pa.Table]) -> None:
        self.reader, self.error = reader, None
        tables: list[pa.Table] = []
        try:
            tables += list(reader)
        except DataError as error:
            self.error = error
        self.table = pa.concat_tables([reader.schema.empty_table(), *tables])
        self.rows = [tuple(row.values()) for row in self.table.to_pylist()]
        self.problems = {problem.kind: problem for problem in problems.problems()}
        self.rejected = [row for table in rejected for row in table.to_pylist()]

    @property
    def fatal(self) -> list[str]:
        return [problem.kind for problem in self.error.problems] if self.error else []


def stored(path: Path, content: bytes) -> SourceObject:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return STORAGE.stat(f"file://{path}")


def columns(**types: pa.DataType) -> list[ReadColumn]:
    return [ReadColumn(name, kind) for name, kind in types.items()]


def read(
    obj: SourceObject,
    wanted: Sequence[ReadColumn],
    *,
    start: int = 0,
    end: int | None = None,
    exact: bool = False,
    wrong_types: Any = "error",
    file_format: Any = "csv",
    hive_partitions: bool = False,
    key: Sequence[str] = (),
    ignored: Sequence[str] = (),
    storage: Storage = STORAGE,
    **csv: Any,
) -> Read:
    files = SourceFiles(
        uris=(obj.uri,), file_format=file_format, csv=CsvOptions(**csv), hive_partitions=hive_partitions
    )
    piece = Piece(object=obj, start=start, end=obj.size if end is None else end, exact=exact)
    problems, rejected = ProblemCollector(), []
    reader = read_piece(
        storage,
        files,
        piece,
        wanted,
        wrong_types=wrong_types,
        problems=problems,
        on_rejected=rejected.append,
        key=key,
        ignored=ignored,
    )
    return Read(reader, problems, rejected)
