"""Rows that a user of the client gives: files, or a DataFrame or a pyarrow Table, which is stored first."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_sklearn.contract.data import SourceFiles
from airflow_sklearn.contract.faults import kind_of
from airflow_sklearn.contract.jobs import JobIdentity
from airflow_sklearn.datasets.base import Attempt, WantedColumns
from airflow_sklearn.datasets.registry import as_source
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.storage import join
from airflow_sklearn.storage.uris import source_uris

if TYPE_CHECKING:
    from airflow_sklearn.storage import Storage

_FILES = (str, list, tuple, Mapping)


def is_table(rows: Any) -> bool:
    """Whether rows are in memory: a DataFrame or a pyarrow Table."""
    return isinstance(rows, pd.DataFrame | pa.Table)


def as_files(storage: Storage, rows: Any, folder: str) -> SourceFiles:
    """The files of a user's rows.

    :param rows: a DataFrame, whose index is left out; a pyarrow Table; or a source of files.
    :param folder: the URI of the folder in which rows in memory are stored, named by their content.
    :raises UserError: the rows are a table of a database, or have names that Parquet cannot hold.
    """
    if is_table(rows):
        return _stored(storage, rows, folder)
    if isinstance(rows, pd.Series) or not (isinstance(rows, _FILES) or hasattr(rows, "to_source")):
        raise UserError(
            f"The rows are {kind_of(rows)}: give a DataFrame, a pyarrow Table, or files (a URI, a list of URIs, or a "
            "Dataset)."
        )
    source = as_source(source_uris(rows))
    if not source.is_in_place:
        raise UserError("The client reads files, DataFrames and Tables. Tables of Redshift are read by the operators.")
    return source.resolve(Attempt(storage, JobIdentity()), WantedColumns({})).files


def _stored(storage: Storage, rows: pd.DataFrame | pa.Table, folder: str) -> SourceFiles:
    if isinstance(rows, pd.DataFrame):
        rows = pa.Table.from_pandas(rows.rename(columns=str), preserve_index=False)
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    data = sink.getvalue().to_pybytes()
    uri = join(folder, f"{hashlib.sha256(data).hexdigest()[:32]}.parquet")
    if not storage.exists(uri):
        storage.write(uri, data)
    return SourceFiles(uris=(uri,), file_format="parquet")


def column_names_of(rows: Any) -> list[str]:
    """The columns of rows in memory."""
    return [str(name) for name in rows.columns] if isinstance(rows, pd.DataFrame) else list(rows.column_names)


def read_parts(storage: Storage, uris: list[str]) -> pd.DataFrame:
    """The rows of Parquet files, one after another."""
    tables = [pq.read_table(pa.BufferReader(storage.read(uri))) for uri in uris]
    return pa.concat_tables(tables).to_pandas() if tables else pd.DataFrame()


def with_defaults(settings: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """A user's values of settings, with the defaults of the others as a user would write them.

    :param settings: the class of the settings.
    :param given: values by the settings' names.
    """
    fields = settings.model_fields
    plain = {name: None if field.is_required() else field.get_default() for name, field in fields.items()}
    return {**plain, "policies": None, **given}
