"""What the columns of files hold: values that differ (null is one), one value, or none."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from airflow_sklearn.contract.plan import Piece
from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.models.columns import decoded
from airflow_sklearn.worker.data.columns import ReadColumn
from airflow_sklearn.worker.data.registry import read_piece

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_sklearn.contract.data import SourceFiles, SourceObject
    from airflow_sklearn.contract.will_score import ColumnContent
    from airflow_sklearn.storage import Storage

_FILES = 50  # the most files whose beginning is read


@dataclass
class FoundContents:
    """What was found in files.

    :param rows: the number of rows that were looked at.
    :param missing: columns that a file lacks.
    :param extra: some columns that are not looked at.
    :param wrong: by column, what its values are not, such as "are not a number".
    """

    rows: int = 0
    missing: set[str] = field(default_factory=set)
    wrong: dict[str, str] = field(default_factory=dict)
    extra: set[str] = field(default_factory=set)
    _values: dict[str, set[object]] = field(default_factory=dict)

    def of(self, name: str) -> ColumnContent:
        """What a column holds."""
        if len(values := self._values[name]) > 1:
            return "various"
        return "constant" if values - {None} else "null"

    def add(self, table: pa.Table) -> None:
        """Add the values of some rows."""
        self.rows += table.num_rows
        for name in table.column_names:
            if len(known := self._values.setdefault(name, set())) < 2:
                values = pc.unique(decoded(table[name]))
                if pa.types.is_floating(values.type):
                    values = pc.if_else(pc.is_nan(values), None, values)
                known.update(values.slice(0, 3).to_pylist())

    @property
    def undecided(self) -> set[str]:
        """Columns of which more rows may hold another value."""
        return {name for name, values in self._values.items() if len(values) < 2 and name not in self.missing}


def contents_of(
    storage: Storage, files: SourceFiles, objects: Sequence[SourceObject], types: Mapping[str, pa.DataType]
) -> FoundContents:
    """Look at the beginning of files; where a column has only one value there, at all rows of this column.

    :param objects: the files' objects.
    :param types: the columns to look at, with the types of their values.
    :raises DataError: a file cannot be read; the error carries all problems.
    """
    found = FoundContents(_values={name: set() for name in types})
    step = -(-len(objects) // _FILES) or 1
    for obj in objects[::step]:
        for table in _blocks(storage, files, obj, types, found):
            found.add(table)
            break
    for obj in objects:
        if not found.undecided:
            break
        for table in _blocks(storage, files, obj, {name: types[name] for name in found.undecided}, found):
            found.add(table)
            if not found.undecided:
                break
    return found


def _blocks(
    storage: Storage,
    files: SourceFiles,
    obj: SourceObject,
    types: Mapping[str, pa.DataType],
    found: FoundContents,
) -> Iterator[pa.Table]:
    """The rows of a file with the given columns, where it has them and as far as values have their types."""
    columns = [ReadColumn(name, kind, required=False) for name, kind in types.items()]
    problems, piece = ProblemCollector(), Piece(object=obj, start=0, end=obj.size)
    reader = read_piece(storage, files, piece, columns, wrong_types="null", problems=problems)
    for table in reader:
        for problem in problems.problems():
            if problem.kind == "missing_column":
                found.missing.add(str(problem.column))
            elif problem.kind == "extra_column":
                found.extra.update(map(ast.literal_eval, problem.examples))  # names are quoted there
            elif problem.kind == "wrong_type":
                found.wrong.setdefault(str(problem.column), problem.message)
        yield table
