"""The common part of all readers: the request, the policy for values that do not convert, and the counts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_sklearn.contract.problem_collector import ProblemCollector, let_pass
from airflow_sklearn.worker.data.columns import Layout, folder_values
from airflow_sklearn.worker.data.convert import convert, has_zone, is_number
from airflow_sklearn.worker.data.types import in_words, null_count

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from airflow_sklearn.contract.data import SourceFiles
    from airflow_sklearn.contract.plan import Piece
    from airflow_sklearn.contract.receipt import Consumed
    from airflow_sklearn.storage import Storage
    from airflow_sklearn.worker.data.columns import ReadColumn

WrongTypes = Literal["error", "null", "quarantine"]

#: Additional columns of rows that are set aside.
FILE_COLUMN, REASON_COLUMN, RECORD_COLUMN = "_file", "_reason", "_record"

_EXAMPLES = 5


def rejected_schema(columns: Sequence[ReadColumn]) -> pa.Schema:
    """The schema of rows that are set aside: all requested columns as strings, then file, reason and raw record.

    ``_record`` holds the text of a CSV record with a wrong number of fields; the requested columns are null then.
    """
    names = [*(column.name for column in columns), FILE_COLUMN, REASON_COLUMN, RECORD_COLUMN]
    return pa.schema([(name, pa.string()) for name in names])


@dataclass(frozen=True)
class ReadRequest:
    """A request to read one piece. ``worker.data.registry.read_piece`` documents the parameters."""

    storage: Storage
    files: SourceFiles
    piece: Piece
    columns: Sequence[ReadColumn]
    wrong_types: WrongTypes
    problems: ProblemCollector
    on_rejected: Callable[[pa.Table], None] | None = None
    key: Sequence[str] = ()
    ignored: Collection[str] = field(default=frozenset())
    for_training: bool = False


class PieceReader(ABC):
    """Iterates over the rows of one piece, in ``pa.Table`` blocks with the schema ``schema``.

    Faults that the policy forbids are collected to the end of the piece, added to the request's ``problems``, and
    raised together. Until then blocks are yielded, except for training. Once ``failed`` is true, the blocks serve only
    to find further faults.

    While reading, ``bytes_read`` grows to about the piece's size. At the end ``consumed`` tells what was read, ``rows``
    the number of records, and ``rejected`` how many of these were set aside.
    """

    def __init__(self, request: ReadRequest) -> None:
        self._request = request
        self._uri = request.piece.object.uri
        self._errors = ProblemCollector()
        self.schema = pa.schema([(column.name, column.output_type) for column in request.columns])
        self.consumed: Consumed | None = None
        self.rows = 0
        self.rejected = 0
        self.bytes_read = 0
        self._sources = {column.name: column.source for column in request.columns}
        self._found_types: dict[str, pa.DataType] = {}
        self._types = {column.name: column.type for column in request.columns}
        self._spelled_codes = {c.name for c in request.columns if c.keep_spelling and is_number(c.type)}

    def __iter__(self) -> Iterator[pa.Table]:
        """Yield the blocks.

        :raises DataError: the piece violates the policy; the error carries all problems.
        """
        yield from self.blocks()
        self.finish()

    def blocks(self) -> Iterator[pa.Table]:
        """Yield the blocks without an error at the end. The caller must call ``finish``."""
        for table in self._tables():
            if table.num_rows and not (self.failed and self._request.for_training):
                yield table
        piece = self._request.piece
        self.bytes_read = piece.end - piece.start

    def finish(self) -> None:
        """Raise an error if the piece violates the policy.

        :raises DataError: it does; the error carries all problems.
        """
        piece = self._request.piece
        self._request.problems.merge(self._errors.problems())
        self._errors.raise_if_any(f"Reading {self._uri}, bytes {piece.start:,} to {piece.end:,}:")

    @abstractmethod
    def _tables(self) -> Iterator[pa.Table]:
        """Yield the blocks, and set ``consumed`` at the end. Continues after a fault, to find all faults."""

    @property
    def failed(self) -> bool:
        """Whether the piece has faults that the policy forbids."""
        return bool(self._errors)

    def _folder_values(self) -> Mapping[str, str | None]:
        return folder_values(self._uri) if self._request.files.hive_partitions else {}

    def _fatal(self, kind: str, message: str, *, fix: str, examples: Sequence[str] = (), count: int = 1) -> None:
        self._errors.add(kind, message, file=self._uri, fix=fix, examples=examples, count=count)

    def _assemble(
        self, read: Mapping[str, pa.Array], rows: int, layout: Layout
    ) -> tuple[pa.Table, dict[str, np.ndarray], set[str]]:
        """Put columns into the requested order and types.

        :param read: the columns that the file has, as read.
        :param rows: the number of rows.
        :param layout: where the columns are in the file.
        :return: the table; by column, the rows whose value did not convert; the columns that needed the slow path.
        """
        arrays, bad, slow = [], {}, set()
        for column in self._request.columns:
            if column.name in layout.folder_values:
                values = pa.array([layout.folder_values[column.name]], pa.string()).take(
                    pa.array(np.zeros(rows, np.int64))
                )
            else:
                values = read.get(column.name, pa.nulls(rows))
            if column.unused:
                arrays.append(self._unused(column, values))
                continue
            converted = convert(values, column.output_type, keep_spelling=column.keep_spelling, exact=column.is_output)
            self._found_types[column.name] = values.type
            arrays.append(converted.values)
            if converted.bad is not None:
                bad[column.name] = converted.bad
            if not converted.at_once:
                slow.add(column.name)
        unused = {column.name for column in self._request.columns if column.unused}
        for name in dict.fromkeys(self._sources[name] for name in layout.absent if name not in unused):
            self._request.problems.add(
                "missing_column", "rows without this column, read as null", column=name, file=self._uri, count=rows
            )
        return pa.Table.from_arrays(arrays, schema=self.schema), bad, slow

    def _unused(self, column: ReadColumn, values: pa.Array) -> pa.Array:
        if count := len(values) - null_count(values):
            self._request.problems.add(
                "unused_column",
                "values in a column that was empty in every row of training: the model does not use it",
                column=column.source,
                file=self._uri,
                count=count,
                fix="train again on data that have values there.",
            )
        return pa.nulls(len(values), column.output_type)

    def _settle(
        self,
        table: pa.Table,
        bad: Mapping[str, np.ndarray],
        spelled: Callable[[np.ndarray], pa.Table],
        place: Callable[[int], str],
    ) -> pa.Table:
        """Apply the policy to values that did not convert.

        :param table: the converted rows.
        :param bad: by column, the rows whose value did not convert.
        :param spelled: returns rows (by number) with all requested columns as strings, as the file spells them.
        :param place: the place of a row in the file, as text.
        :return: the rows that remain.
        """
        if not bad:
            return table
        rows = np.flatnonzero(np.logical_or.reduce(list(bad.values())))
        originals = spelled(rows)
        policy = self._request.wrong_types
        for name, flags in {self._sources[name]: (name, flags) for name, flags in bad.items()}.values():
            source, fix = self._sources[name], "correct them in the source; "
            as_null = {} if name in self._request.key else {"null": "read as null"}  # a key cannot be null
            refused = policy == "error" or (policy == "null" and not as_null)
            message = _what_they_are_not(self._found_types[name], self._types[name])
            if name in self._spelled_codes:
                message += ", or would not keep their spelling as one"
                fix += f"if these are codes, train again with Dataset(..., types={{{source!r}: 'string'}}); "
            if self._request.for_training:
                fix += (
                    f"or give SklearnTrainOperator a Dataset(..., types={{{source!r}: 'string'}}) to read them as text."
                )
            else:
                fix += let_pass("wrong_types", **as_null, quarantine="their rows are set aside")
            (self._errors if refused else self._request.problems).add(
                "wrong_type",
                message,
                column=source,
                file=self._uri,
                count=int(flags.sum()),
                examples=self._examples(table, name, np.flatnonzero(flags)[:_EXAMPLES], rows, originals, place),
                fix=fix,
            )
        if policy != "quarantine":
            return table
        reasons = [
            "wrong_type: " + ", ".join(dict.fromkeys(self._sources[n] for n, flags in bad.items() if flags[row]))
            for row in rows
        ]
        self._reject(originals, reasons)
        keep = np.ones(table.num_rows, bool)
        keep[rows] = False
        return table.filter(pa.array(keep))

    def _count_null_keys(self, table: pa.Table, bad: Mapping[str, np.ndarray], place: Callable[[int], str]) -> None:
        """Count rows without a key, except those that have a fault which explains it, or are set aside for another
        one.
        """
        if self._request.wrong_types == "quarantine":
            faulty = list(bad.values())
        else:
            faulty = [flags for name, flags in bad.items() if name in self._request.key]
        for name in (name for name in self._request.key if name in table.column_names and null_count(table[name])):
            values = table[name].combine_chunks()
            flags = np.asarray(pc.is_null(values, nan_is_null=True))
            rows = np.flatnonzero(flags & ~np.logical_or.reduce(faulty) if faulty else flags)
            if len(rows):
                self._request.problems.add(
                    "null_key",
                    "rows without a primary key",
                    column=self._sources[name],
                    file=self._uri,
                    count=len(rows),
                    examples=[f"at {place(row)}" for row in rows[:_EXAMPLES].tolist()],
                    fix="give every row a key, or leave these rows out of the source.",
                )

    def _examples(
        self,
        table: pa.Table,
        name: str,
        wanted: np.ndarray,
        rows: np.ndarray,
        originals: pa.Table,
        place: Callable[[int], str],
    ) -> list[str]:
        values = originals[name].take(pa.array(np.searchsorted(rows, wanted))).to_pylist()
        keys = [
            key for key in self._request.key if key in table.column_names and self._sources[key] != self._sources[name]
        ]
        found = []
        for value, row in zip(values, wanted.tolist(), strict=True):
            where = ", ".join(f"{key}={table[key][row].as_py()}" for key in keys) or place(row)
            found.append(f"{value!r} at {where}")
        return found

    def _reject(self, originals: pa.Table, reasons: Sequence[str], records: Sequence[str | None] | None = None) -> None:
        """Set rows aside.

        :param originals: the requested columns as strings.
        :param reasons: why, for each row.
        :param records: the raw records; None: there are none.
        """
        self.rejected += len(reasons)
        if self._request.on_rejected is None:
            return
        count = len(reasons)
        beside = [pa.array([self._uri] * count), pa.array(reasons), pa.array(records or [None] * count, pa.string())]
        schema = rejected_schema(self._request.columns)
        self._request.on_rejected(pa.Table.from_arrays([*originals.columns, *beside], schema=schema))


def _what_they_are_not(found: pa.DataType, wanted: pa.DataType) -> str:
    if pa.types.is_temporal(found) and pa.types.is_temporal(wanted) and has_zone(found) != has_zone(wanted):
        if has_zone(found):
            return f"times with a zone ({found.tz}), where training had times without one: which clock is meant?"
        return f"times without a zone, where training had a zone ({wanted.tz}): which moments are meant?"
    return f"values that are not {in_words(wanted)}"
