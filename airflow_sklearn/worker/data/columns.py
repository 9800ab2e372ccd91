"""Which columns are asked for, and where a file has them: by name, in any order."""

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
    """One column to read.

    :param name: of the column in the tables handed over.
    :param type: what its values become.
    :param dictionary: hand strings over dictionary-encoded (``dictionary<int32, string>``); for string types only.
    :param required: false: where a file lacks the column, it is read as nulls, and counted as ``missing_column``.
    :param carried: goes into the output as it is, so that nulls cannot stand for it.
    :param keep_spelling: text that a number would not keep (``0123``) is no number.
    :param null_spellings: text that is null in a CSV column of text, unless the user has said what is.
    :param unused: training saw no value of it, so that its values are not looked at: whatever they are, they are read
        as nulls, and counted as ``unused_column``; a file may lack it.
    :param source_name: as in the header, the Parquet schema, or a folder's ``name=value``; default: ``name``.
        Columns of different names and types may come from one.
    """

    name: str
    type: pa.DataType
    dictionary: bool = False
    required: bool = True
    carried: bool = False
    keep_spelling: bool = False
    null_spellings: tuple[str, ...] = NULL_SPELLINGS
    unused: bool = False
    source_name: str | None = None

    @property
    def source(self) -> str:
        """The column's name where it is stored."""
        return self.name if self.source_name is None else self.source_name

    @property
    def output_type(self) -> pa.DataType:
        """The type of the column in the tables handed over."""
        return pa.dictionary(pa.int32(), pa.string()) if self.dictionary and is_text(self.type) else self.type


@dataclass(frozen=True)
class Layout:
    """Where the asked columns are in one file: each ``ReadColumn.name`` is in exactly one of the three."""

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
    """Find the asked columns in a file. A folder's value goes before a column of the same name in the file.

    :param ignored: names that are no news in a file, though not asked for.
    :param errors: takes required columns that are missing, and asked columns that the file has twice.
    :param counted: takes ``extra_column``.
    :param for_training: no policy reads a missing column as nulls.
    """
    positions = {name: position for position, name in enumerate(file_names)}
    asked = {column.source for column in columns}
    look_alikes = Names(name for name in file_names if name not in asked)  # no column stands for two
    for column in columns:
        if column.source not in positions and (spelled := look_alikes.find(column.source)) is not None:
            positions[column.source] = positions[spelled]
    in_folder = [column for column in columns if column.source in folder_values]
    in_file = [column for column in columns if column.source in positions and column.source not in folder_values]
    missing = [column for column in columns if column.source not in positions and column.source not in folder_values]
    shown = ", ".join(file_names[:_NAMES_SHOWN]) + (", ..." if len(file_names) > _NAMES_SHOWN else "")
    carried = {column.source for column in columns if column.carried}
    for name in dict.fromkeys(column.source for column in missing if column.required):
        or_null = "; " + let_pass("missing_columns", null="read as nulls")
        if for_training:
            or_null = ", leave this file out of it, or name the column in excluded_columns if it is only a feature."
        elif name in carried:
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
    """Whether a column of a CSV file has no name, or that which pandas gives to such: the index of a DataFrame."""
    return not name.strip() or _NAMED_BY_PANDAS.fullmatch(name) is not None


def folder_values(uri: str) -> dict[str, str | None]:
    """The values that folders named ``column=value`` give to all rows of an object."""
    found: dict[str, str | None] = {}
    for folder in uri.split("/")[:-1]:
        name, separator, value = folder.partition("=")
        if separator and name:
            found[unquote(name)] = None if value == _HIVE_NULL else unquote(value)
    return found
