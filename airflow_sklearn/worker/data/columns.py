"""The requested columns, and where a file has them. Columns are matched by name, in any order."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow as pa

from airflow_sklearn.contract.data import NULL_SPELLINGS
from airflow_sklearn.contract.faults import suggestion
from airflow_sklearn.contract.names import Names
from airflow_sklearn.contract.problem_collector import let_pass
from airflow_sklearn.worker.data.types import is_text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow_sklearn.contract.problem_collector import ProblemCollector

_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_NAMES_SHOWN = 20
_NAMED_BY_PANDAS = re.compile(r"Unnamed: \d+(_level_\d+)?")


@dataclass(frozen=True)
class ReadColumn:
    """A column to read.

    :param name: the column's name in the resulting tables.
    :param type: the Arrow type of its values.
    :param dictionary: return strings dictionary-encoded (``dictionary<int32, string>``). For string types only.
    :param required: whether a file without the column is an error. If not, its values are null, and ``missing_column``
        is counted.
    :param is_output: the column is copied into the output, so that null must not replace a value.
    :param keep_spelling: text that a number would not preserve (``0123``) does not convert to a number.
    :param null_spellings: texts that are null in a CSV column of strings, unless the user has declared others.
    :param unused: the column had no value in training. Its values are not looked at: all are read as null and counted
        as ``unused_column``. A file may lack the column.
    :param source_name: the column's name in the header, the Parquet schema, or a folder's ``name=value``; None:
        ``name``. Several columns, with different types, may be read from one.
    """

    name: str
    type: pa.DataType
    dictionary: bool = False
    required: bool = True
    is_output: bool = False
    keep_spelling: bool = False
    null_spellings: tuple[str, ...] = NULL_SPELLINGS
    unused: bool = False
    source_name: str | None = None

    @property
    def source(self) -> str:
        """The column's name in the file."""
        return self.name if self.source_name is None else self.source_name

    @property
    def output_type(self) -> pa.DataType:
        """The column's Arrow type in the resulting tables."""
        return pa.dictionary(pa.int32(), pa.string()) if self.dictionary and is_text(self.type) else self.type


@dataclass(frozen=True)
class Layout:
    """Where the requested columns are in one file. Each ``ReadColumn.name`` is in exactly one of the three mappings."""

    positions: Mapping[str, int]
    """In the file, by its place."""
    stored: Mapping[str, str]
    """What the file calls these."""
    folder_values: Mapping[str, str | None]
    """In the folder's name, one value for all rows."""
    absent: tuple[str, ...]
    """Nowhere: read as nulls."""


def match_columns(
    columns: Sequence[ReadColumn],
    file_names: Sequence[str],
    folder_values: Mapping[str, str | None],
    *,
    file: str,
    ignored: Collection[str],
    errors: ProblemCollector,
    counted: ProblemCollector,
    for_training: bool = False,
) -> Layout:
    """Find the requested columns in a file. A folder's value takes precedence over a column of the same name in the
    file.

    :param columns: the requested columns.
    :param file_names: the columns of the file.
    :param folder_values: the values that the file's folders give; see the function of this name.
    :param file: the file's URI, for messages.
    :param ignored: columns that a file may have without being reported as ``extra_column``.
    :param errors: collects required columns that are missing, and requested columns that the file has twice.
    :param counted: collects ``extra_column``.
    :param for_training: a missing column is always an error.
    """
    positions = {name: position for position, name in enumerate(file_names)}
    asked = {column.source for column in columns}
    look_alikes = Names(name for name in file_names if name not in asked)  # so that one column is not suggested for two
    for column in columns:
        if column.source not in positions and (spelled := look_alikes.find(column.source)) is not None:
            positions[column.source] = positions[spelled]
    in_folder = [column for column in columns if column.source in folder_values]
    in_file = [column for column in columns if column.source in positions and column.source not in folder_values]
    missing = [column for column in columns if column.source not in positions and column.source not in folder_values]
    shown = ", ".join(file_names[:_NAMES_SHOWN]) + (", ..." if len(file_names) > _NAMES_SHOWN else "")
    in_output = {column.source for column in columns if column.is_output}
    for name in dict.fromkeys(column.source for column in missing if column.required):
        or_null = "; " + let_pass("missing_columns", null="read as nulls")
        if for_training:
            or_null = ", leave this file out of it, or name the column in excluded_columns if it is only a feature."
        elif name in in_output:
            or_null = "."
        hint = suggestion(name, [other for other in file_names if other not in asked])
        errors.add(
            "missing_column",
            f"the file does not have this column.{hint} It has: {shown}",
            column=name,
            file=file,
            fix=f"add or rename the column in the source (names are matched exactly){or_null}",
        )
    stored = {column.name: file_names[positions[column.source]] for column in in_file}
    known = Names((*asked, *stored.values(), *ignored))
    for name, count in Counter(file_names).items():
        if count > 1 and name in asked and name not in folder_values:
            errors.add(
                "duplicate_column", f"{count} columns have this name", column=name, file=file, fix="rename all but one."
            )
    extra = [name for name in dict.fromkeys(file_names) if known.find(name) is None and not is_index_name(name)]
    if extra:
        counted.add("extra_column", "columns that are not used", count=len(extra), examples=[repr(n) for n in extra])
    return Layout(
        positions={column.name: positions[column.source] for column in in_file},
        stored=stored,
        folder_values={column.name: folder_values[column.source] for column in in_folder},
        absent=tuple(column.name for column in missing if not column.required),
    )


def is_index_name(name: str) -> bool:
    """Whether a column of a CSV file has no name, or the name that pandas gives to one without: a DataFrame's index."""
    return not name.strip() or _NAMED_BY_PANDAS.fullmatch(name) is not None


def folder_values(uri: str) -> dict[str, str | None]:
    """The values that folders named ``column=value`` give to all rows of an object; None is a null."""
    found: dict[str, str | None] = {}
    for folder in uri.split("/")[:-1]:
        name, separator, value = folder.partition("=")
        if separator and name:
            found[unquote(name)] = None if value == _HIVE_NULL else unquote(value)
    return found
