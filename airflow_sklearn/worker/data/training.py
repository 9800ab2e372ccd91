"""Reading a whole source as one table, for training.

There are two passes. The first finds each column's type over all files: from all values for CSV, from the footers for
Parquet. The second reads with these types, with the same code as prediction.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_sklearn.contract.data import NULL_SPELLINGS
from airflow_sklearn.contract.faults import suggestion
from airflow_sklearn.contract.plan import Piece
from airflow_sklearn.exceptions import DataError
from airflow_sklearn.models.arrow_types import parse_type
from airflow_sklearn.models.dtypes import FILE_FORMAT, STORED_TYPE
from airflow_sklearn.runs.csv_records import delimiter_hint
from airflow_sklearn.worker.data.columns import ReadColumn, folder_values
from airflow_sklearn.worker.data.csv.guess import ColumnGuess
from airflow_sklearn.worker.data.csv.types import guess_columns
from airflow_sklearn.worker.data.parquet.file import NotParquetError, read_footer
from airflow_sklearn.worker.data.registry import PieceReader, read_piece
from airflow_sklearn.worker.data.types import is_text, plain_type

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from airflow_sklearn.contract.data import SourceFiles, SourceObject
    from airflow_sklearn.contract.problem_collector import ProblemCollector
    from airflow_sklearn.storage import Storage

_SUMMARY = "The training data cannot be read:"
#: A string column stays dictionary-encoded if its distinct values are at most this share of its rows.
_DISTINCT_SHARE = 0.5
_NAMES_SHOWN = 30


@dataclass(frozen=True)
class ColumnType:
    """The types of a column.

    :param type: the type in the table.
    :param output: the type in which the column is copied into an output, with the spelling of the files.
    """

    type: pa.DataType
    output: pa.DataType


@dataclass(frozen=True)
class TrainingTable:
    """A source, as read.

    :param output_columns: by column, the type in which it is copied into an output.
    """

    table: pa.Table
    output_columns: Mapping[str, pa.DataType]


def read_table(
    storage: Storage,
    files: SourceFiles,
    objects: Sequence[SourceObject],
    *,
    exclude: Collection[str] = (),
    expected: Mapping[str, Collection[str]] = MappingProxyType({}),
    keys: Collection[str] = (),
    labels: Collection[str] = (),
    problems: ProblemCollector,
    advance: Callable[[int, int], None] | None = None,
) -> TrainingTable:
    """Read all objects as one table, in their order.

    :param storage: where the objects are.
    :param files: how they are written. ``files.types`` overrides types, by column.
    :param objects: the source. Columns are matched by name, in the order of the first file.
    :param exclude: columns not to read.
    :param expected: columns that must exist, also excluded ones, by the parameter that names them.
    :param keys: columns whose spelling identifies rows. A CSV column is text if numbers would not preserve it
        (``250.10``, ``+49151``), and only empty text is null.
    :param labels: columns of classes. Only empty text is null, so that a class may be called ``None``.
    :param problems: collects all faults.
    :param advance: called with the numbers of rows and bytes of each block that was read; None: nobody wants to know.
    :return: strings are ``dictionary<int32, string>`` unless most values are distinct; other columns have the types
        that were found. The metadata describe the dtypes that pandas would give (see ``models.dtypes``).
    :raises DataError: files do not agree on columns or types, or hold no data.
    """
    types = column_types(
        storage, files, objects, exclude=exclude, expected=expected, keys=keys, labels=labels, problems=problems
    )
    noted = _noted_schema(storage, files, objects, types)
    columns = [
        ReadColumn(
            name,
            _plain(kind.type),
            dictionary=is_text(kind.type),
            null_spellings=("",) if name in keys or name in labels else NULL_SPELLINGS,
        )
        for name, kind in types.items()
    ]
    blocks: list[pa.Table] = []
    for obj in objects:
        reader = _whole_reader(storage, files, obj, columns, exclude, problems)
        try:
            blocks += _read(reader, advance)
        except DataError:
            continue  # the file's problems are collected
    problems.raise_if_any(_SUMMARY)
    table = _join(blocks, pa.schema([(column.name, column.output_type) for column in columns]), noted)
    return TrainingTable(table, {name: kind.output for name, kind in types.items()})


def column_types(
    storage: Storage,
    files: SourceFiles,
    objects: Sequence[SourceObject],
    *,
    exclude: Collection[str] = (),
    expected: Mapping[str, Collection[str]] = MappingProxyType({}),
    keys: Collection[str] = (),
    labels: Collection[str] = (),
    problems: ProblemCollector,
) -> dict[str, ColumnType]:
    """The columns of a source and their types, from all its objects. ``read_table`` documents the parameters.

    :raises DataError: see ``read_table``.
    """
    if files.file_format == "csv":
        named = [name for names in expected.values() for name in names]
        guesses = guess_columns(storage, files, objects, exclude, named, problems)
    else:
        guesses = {}
    types = {name: _guessed_type(guess, name in keys, name in labels) for name, guess in guesses.items()}
    if files.file_format == "parquet":
        found = _parquet_types(storage, files, objects, exclude, problems)
        types = {name: ColumnType(kind, kind) for name, kind in found.items()}
    types |= {name: ColumnType(kind, kind) for name, kind in _folder_types(files, objects).items()}
    if types or not problems:  # if no file could be read, the columns are unknown
        _check_expected({"types": files.types, **expected}, types, problems)
    problems.raise_if_any(_SUMMARY)
    declared = {name: ColumnType(kind, kind) for name, kind in ((n, parse_type(k)) for n, k in files.types.items())}
    return {name: declared.get(name, kind) for name, kind in types.items() if name not in exclude}


def _check_expected(
    expected: Mapping[str, Collection[str]], there: Collection[str], problems: ProblemCollector
) -> None:
    shown = ", ".join(list(there)[:_NAMES_SHOWN]) or "none"
    hint = delimiter_hint(there)
    for role, names in expected.items():
        for name in names:
            if name not in there:
                problems.add(
                    "missing_column",
                    f"named in {role}, but no file has such a column; there are {shown}."
                    f"{suggestion(name, there)}{hint}",
                    column=name,
                    fix=f"correct the name in {role}, or the source.",
                )


def _guessed_type(guess: ColumnGuess, is_key: bool, is_label: bool) -> ColumnType:
    if pa.types.is_null(guess.type):  # text may hold values: keys and classes have fewer null spellings
        return ColumnType(pa.string() if is_key or is_label else guess.type, pa.string())
    return ColumnType(guess.key, guess.key) if is_key else ColumnType(guess.type, guess.output)


def _parquet_types(
    storage: Storage,
    files: SourceFiles,
    objects: Sequence[SourceObject],
    exclude: Collection[str],
    problems: ProblemCollector,
) -> dict[str, pa.DataType]:
    found: dict[str, dict[pa.DataType, str]] = {}
    for obj in objects:
        try:
            schema = read_footer(storage, obj).schema
        except NotParquetError as error:
            problems.merge([error.problem])
            continue
        for field in schema:
            found.setdefault(field.name, {}).setdefault(_plain(field.type), obj.uri)
    types: dict[str, pa.DataType] = {}
    for name, kinds in found.items():
        types[name] = _common(list(kinds))
        if types[name] is None and name not in files.types and name not in exclude:
            problems.add(
                "conflicting_types",
                "the files do not agree on the type",
                column=name,
                count=len(kinds),
                examples=[f"{kind} in {uri}" for kind, uri in kinds.items()],
                fix="write the files with one type, say which one in types={...}, or exclude the column.",
            )
    return types


def _folder_types(files: SourceFiles, objects: Sequence[SourceObject]) -> dict[str, pa.DataType]:
    if not files.hive_partitions:
        return {}
    values: dict[str, list[str | None]] = {}
    for obj in objects:
        for name, value in folder_values(obj.uri).items():
            values.setdefault(name, []).append(value)
    guesses: Mapping[str, ColumnGuess] = {name: ColumnGuess() for name in values}
    for name, found in values.items():
        guesses[name].add(pa.array(found, pa.string()))
    return {name: guess.type for name, guess in guesses.items()}


def _noted_schema(
    storage: Storage, files: SourceFiles, objects: Sequence[SourceObject], columns: Mapping[str, ColumnType]
) -> pa.Schema:
    """The columns as pandas finds them in the files (for Parquet in the first one), with pandas' own metadata.

    :param columns: the columns that are read.
    """
    types = {name: column.type for name, column in columns.items()}
    if files.file_format == "csv" or not objects:
        return pa.schema(list(types.items()), metadata={FILE_FORMAT: files.file_format})
    first = read_footer(storage, objects[0]).schema
    there = {field.name: field.type for field in first if pa.types.is_dictionary(field.type)}
    stored = {name: kind if name in files.types else there.get(name, kind) for name, kind in types.items()}
    return pa.schema(list(stored.items()), metadata=first.metadata)


def _whole_reader(
    storage: Storage,
    files: SourceFiles,
    obj: SourceObject,
    columns: Sequence[ReadColumn],
    ignored: Collection[str],
    problems: ProblemCollector,
) -> PieceReader:
    piece = Piece(object=obj, start=0, end=obj.size)
    return read_piece(
        storage,
        files,
        piece,
        columns,
        wrong_types="error",
        problems=problems,
        ignored=frozenset(ignored),
        for_training=True,
    )


def _read(reader: PieceReader, advance: Callable[[int, int], None] | None) -> list[pa.Table]:
    """All blocks of a file."""
    blocks, before = [], 0
    for block in reader:
        blocks.append(block)
        if advance is not None:
            advance(block.num_rows, reader.bytes_read - before)
            before = reader.bytes_read
    return blocks


def _plain(kind: pa.DataType) -> pa.DataType:
    kind = plain_type(kind)
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.string() if is_text(kind) else kind


def _common(kinds: Sequence[pa.DataType]) -> pa.DataType | None:
    """The narrowest type to which all types widen; None if there is none. Numbers do not widen to text."""
    common = kinds[0]
    for kind in kinds[1:]:
        if is_text(common) != is_text(kind) and pa.null() not in (common, kind):
            return None
        try:
            schemas = [pa.schema([("", common)]), pa.schema([("", kind)])]
            common = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            return None
    return common


def _join(blocks: list[pa.Table], schema: pa.Schema, noted: pa.Schema) -> pa.Table:
    """One table of all blocks. It is built column by column, so that no two copies of the whole table are in memory.

    :param noted: the columns' types in the files, which are stored in the table's metadata.
    """
    arrays = [[chunk for block in blocks for chunk in block.column(i).chunks] for i in range(len(schema))]
    blocks.clear()
    columns = []
    for i, field in enumerate(schema):
        column = pa.chunked_array(arrays[i], type=field.type)
        arrays[i] = []
        is_category = pa.types.is_dictionary(noted.field(field.name).type)
        if pa.types.is_dictionary(field.type):
            columns.append(_join_strings(column, is_category))
        else:
            columns.append(column.combine_chunks())
    fields = []
    for name, column in zip(schema.names, columns, strict=True):
        kind = noted.field(name).type
        fields.append(pa.field(name, column.type, metadata=None if kind == column.type else {STORED_TYPE: str(kind)}))
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata=noted.metadata))


def _join_strings(column: pa.ChunkedArray, is_category: bool) -> pa.ChunkedArray:
    """One array of all chunks of a string column.

    :param is_category: the values are declared categories, and those that no row has count as well.
    """
    column = column.unify_dictionaries()
    distinct = len(column.chunk(0).dictionary) if column.num_chunks else 0
    if distinct > len(column) * _DISTINCT_SHARE and not is_category:
        return column.cast(pa.string())
    return pa.chunked_array([column.combine_chunks()])
