"""Parsing blocks of CSV records into columns with pyarrow.

A block is parsed directly into the requested types. If that fails, it is parsed again as text, which the reader
converts value by value to find all bad ones. A column that needed this (``1.0`` among integers) is read as text in all
later blocks.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pa_csv

from airflow_sklearn.contract.data import NULL_SPELLINGS
from airflow_sklearn.worker.data.convert import FALSE_VALUES, TRUE_VALUES, is_number
from airflow_sklearn.worker.data.csv.dialect import parse_options
from airflow_sklearn.worker.data.csv.values import Numerals, null_spellings, with_nulls
from airflow_sklearn.worker.data.types import is_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.contract.data import CsvOptions
    from airflow_sklearn.worker.data.columns import ReadColumn


@dataclass
class Parsed:
    """A parsed block of records.

    :param raw: the columns as the parser gave them, by their position in the file.
    :param rows: the number of records in them.
    :param invalid: records with a wrong number of fields, which are not among the rows.
    :param undecodable: the error if text in the block does not have the declared encoding; else None.
    """

    raw: Mapping[int, pa.Array]
    rows: int
    invalid: list[pa_csv.InvalidRow] = field(default_factory=list)
    undecodable: UnicodeDecodeError | None = None


class BlockParser:
    """Parses the blocks of one file.

    :param positions: the positions of the requested columns in the file, by name.
    :param width: the number of fields of a record.
    """

    def __init__(
        self, options: CsvOptions, columns: Sequence[ReadColumn], positions: Mapping[str, int], width: int
    ) -> None:
        self._csv, self._width = options, width
        self._columns = [column for column in columns if column.name in positions]
        self._positions = positions
        self._numerals = Numerals(options.decimal, options.thousands)
        self._slow: frozenset[str] = frozenset()
        self._parser_nulls = NULL_SPELLINGS if options.null_values is None else options.null_values
        self._nulls = {column.name: null_spellings(column, options) for column in self._columns}
        # pyarrow has one set of null spellings for all columns. Text uses it only if all text columns have this set.
        self._text_nulls = all(
            set(self._nulls[c.name]) == set(self._parser_nulls) for c in self._columns if is_text(c.type)
        )
        self._options: dict[frozenset[str], pa_csv.ConvertOptions] = {}

    def read_slowly(self, names: set[str]) -> None:
        """Read these columns as text from now on."""
        self._slow |= names & self._positions.keys()

    def parse(self, data: pa.Buffer) -> Parsed:
        """Parse a block: the requested columns that the file has. Those that do not parse as the requested type are
        text.
        """
        undecodable = _decoding_error(data)
        try:
            return self._parse(data, self._convert_options(self._slow), undecodable)
        except pa.ArrowInvalid:
            return self._parse_text(data, self._convert_options(frozenset(self._positions)), undecodable)

    def parse_as_text(self, data: pa.Buffer) -> Parsed:
        """Parse a block: all columns of the file as text."""
        options = self._make_options(dict.fromkeys(range(self._width), pa.string()), nulls=False)
        return self._parse_text(data, options, _decoding_error(data))

    def columns(self, raw: Mapping[int, pa.Array]) -> dict[str, pa.Array]:
        """The requested columns by name. Null spellings are null, and numbers have Arrow's spelling."""
        found = {}
        for column in self._columns:
            values = raw[self._positions[column.name]]
            if is_text(values.type):
                if not self._text_nulls:
                    values = with_nulls(values, self._nulls[column.name])
                if is_number(column.type):
                    values = self._numerals.plain(values)
            found[column.name] = values
        return found

    def _parse(self, data: pa.Buffer, options: pa_csv.ConvertOptions, undecodable: UnicodeDecodeError | None) -> Parsed:
        invalid: list[pa_csv.InvalidRow] = []

        def set_aside(row: pa_csv.InvalidRow) -> str:
            invalid.append(row)
            return "skip"

        table = pa_csv.read_csv(
            pa.BufferReader(data),
            pa_csv.ReadOptions(
                use_threads=False,
                block_size=data.size + 1,
                column_names=[str(position) for position in range(self._width)],
            ),
            # pyarrow cannot pass undecodable records to a handler
            parse_options(self._csv, None if undecodable else set_aside),
            options,
        )
        return Parsed({int(name): _single(table[name]) for name in table.column_names}, table.num_rows, invalid)

    def _parse_text(
        self, data: pa.Buffer, options: pa_csv.ConvertOptions, undecodable: UnicodeDecodeError | None
    ) -> Parsed:
        try:
            return self._parse(data, options, undecodable)
        except pa.ArrowInvalid:
            if undecodable is None:
                raise
        replaced = pa.py_buffer(data.to_pybytes().decode("utf-8", "replace").encode())
        parsed = self._parse(replaced, options, None)
        parsed.undecodable = undecodable
        return parsed

    def _convert_options(self, text: frozenset[str]) -> pa_csv.ConvertOptions:
        if text not in self._options:
            # no column is requested, but the rows count
            types = self._reading_types(text) or {0: pa.string()}
            self._options[text] = self._make_options(types, nulls=self._text_nulls)
        return self._options[text]

    def _make_options(self, types: Mapping[int, pa.DataType], *, nulls: bool) -> pa_csv.ConvertOptions:
        return pa_csv.ConvertOptions(
            column_types={str(position): kind for position, kind in types.items()},
            include_columns=[str(position) for position in types],
            null_values=list(self._parser_nulls),
            true_values=list(TRUE_VALUES),
            false_values=list(FALSE_VALUES),
            strings_can_be_null=nulls,
            quoted_strings_can_be_null=True,
            decimal_point=self._csv.decimal,
        )

    def _reading_types(self, text: frozenset[str]) -> dict[int, pa.DataType]:
        """The type in which pyarrow reads each column of the file. A column that is requested as several types is read
        as text.
        """
        types: dict[int, pa.DataType] = {}
        for column in self._columns:
            position = self._positions[column.name]
            as_text = column.name in text or (column.keep_spelling and is_number(column.type))
            wanted = pa.string() if as_text else _reading_type(column.output_type)
            types[position] = wanted if types.get(position, wanted) == wanted else pa.string()
        return types


def _reading_type(wanted: pa.DataType) -> pa.DataType:
    """The type that pyarrow's CSV reader uses for a requested type. It has no half floats and no string views."""
    if is_text(wanted) and not pa.types.is_dictionary(wanted):
        return pa.string()
    return pa.float32() if pa.types.is_float16(wanted) else wanted


def _decoding_error(data: pa.Buffer) -> UnicodeDecodeError | None:
    try:
        codecs.utf_8_decode(memoryview(data), "strict", True)
    except UnicodeDecodeError as error:
        return error
    return None


def _single(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
