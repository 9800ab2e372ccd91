"""UNLOAD: the rows of a query as files in S3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing as closing_context
from typing import Any

from local_cloud.redshift import objects, types
from local_cloud.redshift.dialect import translate
from local_cloud.redshift.errors import RedshiftError
from local_cloud.redshift.files import File, csv_files, parquet_files
from local_cloud.redshift.lexer import quoted
from local_cloud.redshift.options import UnloadStatement, has_outer_limit, unload_statement
from local_cloud.redshift.protocol import Column
from local_cloud.redshift.session import Work

_NOT_EMPTY = (
    "Specified unload destination on S3 is not empty. Consider using a different bucket / prefix, manually removing "
    "the target files in S3, or using the ALLOWOVERWRITE option."
)


class Unload:
    """The statement.

    :param s3: a boto3 client.
    :param slices: that write at the same time, each files of its own.
    """

    def __init__(self, s3: Any, slices: int) -> None:
        self._s3, self._slices = s3, slices

    def __call__(self, work: Work) -> None:
        """:raises RedshiftError: Redshift would refuse, or S3 does."""
        statement = unload_statement(work.translation.original)
        if has_outer_limit(statement.query):
            raise RedshiftError("Limit clause is not supported in the outer SELECT of UNLOAD", "0A000")
        query = translate(statement.query, case_sensitive=work.case_sensitive).sql
        columns = work.backend.describe(query)
        if not work.case_sensitive:
            columns = [Column(column.name.lower(), column.oid, column.modifier) for column in columns]
        if statement.options.format == "PARQUET":
            _check_types(columns)
        bucket, prefix = objects.location(statement.location)
        self._check_destination(statement, bucket, prefix)
        rows = work.backend.copy_out(_copy(query, columns, statement))
        with closing_context(rows), objects.pool() as pool:
            uploads = [
                (file, pool.submit(objects.write, self._s3, bucket, prefix + file.name, file.content))
                for file in self._files(rows, columns, statement)
            ]
            for _, upload in uploads:
                upload.result()
        files = [file for file, _ in uploads]
        if statement.options.manifest:
            manifest = json.dumps(_manifest(files, columns, statement), indent=2).encode()
            objects.write(self._s3, bucket, f"{prefix}manifest", manifest)
        work.seen.rows = sum(file.rows for file in files)
        work.last = {"unload_id": work.seen.query, "unload_count": work.seen.rows}
        work.notices.append(f"UNLOAD completed, {work.seen.rows} record(s) unloaded successfully.")

    def _files(self, rows: Iterator[list[bytes]], columns: list[Column], statement: UnloadStatement) -> Iterator[File]:
        slices = self._slices if statement.options.on("PARALLEL", True) else 1
        write = parquet_files if statement.options.format == "PARQUET" else csv_files
        return write(rows, columns, statement.options, slices)

    def _check_destination(self, statement: UnloadStatement, bucket: str, prefix: str) -> None:
        options = statement.options.values
        if "CLEANPATH" in options and "ALLOWOVERWRITE" in options:
            raise RedshiftError("CLEANPATH and ALLOWOVERWRITE cannot be specified together", "42601")
        if "ALLOWOVERWRITE" in options or not (found := objects.listed(self._s3, bucket, prefix)):
            return
        if "CLEANPATH" not in options:
            raise RedshiftError(_NOT_EMPTY)
        objects.remove(self._s3, bucket, found)


def _check_types(columns: list[Column]) -> None:
    refused = [column.name for column in columns if types.arrow_type(column) is None]
    if refused:
        names = ", ".join(refused)
        raise RedshiftError(f"UNLOAD to PARQUET does not support the data type of column(s) {names}", "0A000")
    if len({column.name for column in columns}) < len(columns):
        raise RedshiftError("UNLOAD to PARQUET: column names are not unique", "42701")


def _copy(query: str, columns: list[Column], statement: UnloadStatement) -> str:
    """PostgreSQL's statement that gives the rows as CSV."""
    if any(column.oid == types.NUMERIC and column.modifier < 0 for column in columns):
        # Sums and quotients have any number of digits in PostgreSQL.
        names = [quoted(f"column {number}").text for number in range(len(columns))]
        selected = ", ".join(
            f"CAST({name} AS NUMERIC(38, 10))" if column.oid == types.NUMERIC and column.modifier < 0 else name
            for name, column in zip(names, columns, strict=True)
        )
        query = f"SELECT {selected} FROM ({query}) AS unloaded ({', '.join(names)})"
    if statement.options.format in ("PARQUET", "CSV"):
        return f"COPY ({query}) TO STDOUT WITH (FORMAT csv)"
    raise RedshiftError(f"the stand-in unloads PARQUET and CSV, not {statement.options.format}", "0A000")


def _manifest(files: list[File], columns: list[Column], statement: UnloadStatement) -> dict[str, Any]:
    entries = []
    for file in files:
        meta = {"content_length": len(file.content)}
        if statement.options.verbose or statement.options.format == "PARQUET":
            meta["record_count"] = file.rows
        entries.append({"url": statement.location + file.name, "meta": meta})
    if not statement.options.verbose:
        return {"entries": entries}
    return {
        "entries": entries,
        "schema": {"elements": [types.manifest_element(column) for column in columns]},
        "meta": {
            "content_length": sum(len(file.content) for file in files),
            "record_count": sum(file.rows for file in files),
        },
        "author": {"name": "Amazon Redshift", "version": "1.0.0"},
    }
