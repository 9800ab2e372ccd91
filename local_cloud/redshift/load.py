"""Files of one COPY, checked as Redshift checks them, as CSV for PostgreSQL."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from local_cloud.redshift import types
from local_cloud.redshift.errors import BackendError, LoadError, RedshiftError, block
from local_cloud.redshift.options import CopyStatement, names
from local_cloud.redshift.protocol import Column
from local_cloud.redshift.session import Work

_BATCH_ROWS = 65_536
_SPECTRUM = 15007
_TOO_LONG, _NULL = (1204, "String length exceeds DDL length"), (1213, "Missing data for not-null field")
#: What PostgreSQL says of a bad line, and Redshift's number and words for it.
_REASONS = (
    ("too long", *_TOO_LONG),
    ("null value", *_NULL),
    ("extra data", 1202, "Extra column(s) found"),
    ("missing data", 1201, "Delimiter not found"),
    ("integer", 1207, "Invalid digit, Value '{value}', Pos 0, Type: Integer"),
    ("smallint", 1207, "Invalid digit, Value '{value}', Pos 0, Type: Short"),
    ("bigint", 1207, "Invalid digit, Value '{value}', Pos 0, Type: Long"),
    ("numeric", 1207, "Invalid digit, Value '{value}', Pos 0, Type: Decimal"),
    ("date", 1205, "Invalid Date Format - length must be 10 or more"),
    ("timestamp", 1206, "Invalid timestamp format or value [YYYY-MM-DD HH24:MI:SS]"),
    ("boolean", 1210, "Unknown boolean format"),
)


class Load:
    """What one COPY loads.

    :param columns: of the table, in the order of the files' columns.
    """

    def __init__(self, work: Work, statement: CopyStatement, columns: list[Column]) -> None:
        self._work, self.statement, self._columns = work, statement, columns
        self._table, self._required = self._look_up()
        #: The files so far, with the line of the whole load that each begins at.
        self._begins: list[tuple[int, str]] = []
        self._lines = 0

    @property
    def is_parquet(self) -> bool:
        """Whether its files have columns and types of their own."""
        return self.statement.options.format == "PARQUET"

    @cached_property
    def csv_options(self) -> str:
        """For PostgreSQL's COPY."""
        values = self.statement.options.values
        if self.is_parquet:
            return "FORMAT csv"
        if self.statement.options.format != "CSV":
            raise RedshiftError(f"the stand-in loads PARQUET and CSV, not {self.statement.options.format}", "0A000")
        texts = [column.name for column in self._columns if column.oid in types.STRINGS]
        options = ["FORMAT csv", f"DELIMITER {_literal(values.get('DELIMITER', ','))}"]
        options += [f"QUOTE {_literal(values.get('QUOTE', chr(34)))}", f"NULL {_literal(values.get('NULL', ''))}"]
        if texts and "EMPTYASNULL" not in values and "NULL" not in values:
            options.append(f"FORCE_NOT_NULL ({names(texts)})")
        return ", ".join(options)

    def converted(self, url: str, content: bytes, length: int | None) -> Iterator[bytes]:
        """A file as CSV.

        :param length: its size after the manifest.
        :raises RedshiftError: Redshift would not load it.
        """
        self._begins.append((self._lines, url))
        yield from self._parquet(url, content, length) if self.is_parquet else self._csv(content)

    def refused(self, error: BackendError) -> Exception:
        """What Redshift says when PostgreSQL does not take a line."""
        where = re.search(r'line (\d+)(?:, column ([^:]+)(?:: "(.*)")?)?', error.fields.get("W", ""), re.DOTALL)
        if not where or error.fields["C"][:2] not in ("22", "23"):
            return error
        line, column, value = int(where[1]), where[2] or "", where[3] or ""
        begin, file = next((begin for begin in reversed(self._begins) if begin[0] < line), (0, ""))
        said = error.fields["M"]
        number, reason = next(
            ((number, reason) for word, number, reason in _REASONS if word in said), (1214, said.capitalize())
        )
        if found := re.search(r'column "([^"]+)"', said):
            column = found[1]
        skipped = int(self.statement.options.values.get("IGNOREHEADER", 0))
        return self._error(number, reason.format(value=value[:1]), file, column, line - begin + skipped, value)

    def spectrum_error(self, text: str, number: int = _SPECTRUM, *, file: str = "", column: str = "") -> LoadError:
        """What Redshift says of a file that it cannot use."""
        detail = block("Spectrum Scan Error", number, text, self._work.seen.query, self._work.backend.pid)
        return LoadError(
            "Spectrum Scan Error", self._table, text, file=file, number=number, column=column, detail=detail
        )

    def _look_up(self) -> tuple[int, set[str]]:
        """The table's number, and its columns that take no null."""
        attributes = (
            f"SELECT a.attrelid, a.attname, a.attnotnull FROM pg_attribute a "
            f"WHERE a.attrelid = to_regclass({_literal(self.statement.table)}) AND a.attnum > 0"
        )
        rows = self._work.backend.query(attributes).rows
        return int(rows[0][0] or 0), {str(name) for _, name, required in rows if required == "t"}

    def _csv(self, content: bytes) -> Iterator[bytes]:
        options = self.statement.options.values
        content = gzip.decompress(content) if "GZIP" in options else content
        for _ in range(int(options.get("IGNOREHEADER", 0))):
            content = content.partition(b"\n")[2]
        if content and not content.endswith(b"\n"):
            content += b"\n"
        self._lines += content.count(b"\n")
        yield content

    def _parquet(self, url: str, content: bytes, length: int | None) -> Iterator[bytes]:
        if length is not None and length > len(content):
            text = "Error: HTTP response error code: 416 Message: InvalidRange The requested range is not satisfiable"
            raise self.spectrum_error(f"{text}, {url}", 15001, file=url)
        try:
            # Redshift reads the footer where the manifest says that the file ends.
            file = pq.ParquetFile(pa.BufferReader(content[:length]))
        except pa.ArrowException as error:
            text = f"File '{url}' has an invalid version number: {error}"
            raise self.spectrum_error(text, 15001, file=url) from error
        self._check_schema(url, file.schema_arrow)
        row = 0
        for batch in file.iter_batches(_BATCH_ROWS):
            self._check_values(url, batch, row)
            row += batch.num_rows
            sink = pa.BufferOutputStream()
            pacsv.write_csv(_without_dictionaries(batch), sink, pacsv.WriteOptions(include_header=False))
            yield sink.getvalue().to_pybytes()
        self._lines += row

    def _check_schema(self, url: str, schema: pa.Schema) -> None:
        """Columns are matched by position; what they are called does not matter."""
        if len(schema) != len(self._columns):
            counts = f"Table columns: {len(self._columns)}, Data columns: {len(schema)}"
            text = f"Unmatched number of columns between table and file. {counts}, Table name: {self.statement.label}"
            raise self.spectrum_error(text, 15001, file=url)
        for column, found in zip(self._columns, schema, strict=True):
            if not types.loads(column, _plain(found.type)):
                kind = f"Column type: {_ddl(column)}, Parquet schema:\n{types.in_parquet(found)}"
                text = f"File '{url}' has an incompatible Parquet schema for column '{url}.{found.name}'. {kind}"
                raise self.spectrum_error(text, file=url, column=column.name)

    def _check_values(self, url: str, batch: pa.RecordBatch, before: int) -> None:
        for column, values in zip(self._columns, batch.columns, strict=True):
            if values.null_count and column.name in self._required:
                line = before + pc.index(pc.is_null(values), True).as_py() + 1
                raise self._error(*_NULL, url, column.name, line, "")
            limit = types.length(column)
            if limit is None or values.null_count == len(values):
                continue
            lengths = pc.binary_length(values.cast(_plain(values.type)))
            if pc.max(lengths).as_py() > limit:
                first = pc.index(pc.greater(lengths, limit), True).as_py()
                raise self._error(*_TOO_LONG, url, column.name, before + first + 1, values[first].as_py())

    def _error(self, number: int, reason: str, file: str, column: str, line: int, value: str) -> LoadError:
        label = self.statement.label
        message = f"Load into table '{label}' failed.  Check 'sys_load_error_detail' system table for details."
        return LoadError(
            message, self._table, reason, file=file, number=number, column=column, line=line, value=value[:1024]
        )


def _plain(kind: pa.DataType) -> pa.DataType:
    """What a file really holds: that Arrow wants to read it as a dictionary is a note of Arrow's own."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _without_dictionaries(batch: pa.RecordBatch) -> pa.RecordBatch:
    if not any(pa.types.is_dictionary(kind) for kind in batch.schema.types):
        return batch
    arrays = [column.cast(_plain(column.type)) for column in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _ddl(column: Column) -> str:
    if column.oid == types.NUMERIC:
        return "DECIMAL({}, {})".format(*types.precision(column))
    if (limit := types.length(column)) is not None:
        return f"VARCHAR({limit})" if column.oid == types.VARCHAR else f"CHAR({limit})"
    return types.name(column).upper()


def _literal(text: str) -> str:
    """For a session in which backslashes escape."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
