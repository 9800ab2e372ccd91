"""UNLOAD: makes a snapshot of a table's or a query's rows, Parquet files in S3 with Redshift's own manifest."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING

from airflow_sklearn.contract.data import SourceFiles
from airflow_sklearn.contract.document import content_id
from airflow_sklearn.contract.tables import Snapshot, TableColumn
from airflow_sklearn.datasets.redshift.database import Statement
from airflow_sklearn.datasets.redshift.sql import iam_role, identifier, inline, qualified, quoted, unload_text
from airflow_sklearn.datasets.redshift.types import is_zone_aware
from airflow_sklearn.datasets.snapshots import find_snapshot, remove_others, rows_folder, store_snapshot
from airflow_sklearn.exceptions import ObjectNotFoundError, RedshiftError, StorageError, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.tables import UnloadSource
    from airflow_sklearn.datasets.redshift.database import Database
    from airflow_sklearn.storage import Storage

log = logging.getLogger(__name__)

_MB = 1_000_000
_FILE_SIZES = (5, 6_200)  # MB, the bounds of UNLOAD's MAXFILESIZE
DEFAULT_FILE_SIZE = 256 * _MB


def describe(database: Database, source: UnloadSource) -> tuple[TableColumn, ...]:
    """The columns of a table or a query. No rows are read.

    :raises UserError: two columns have the same name.
    :raises RedshiftError: there is no such table, or the query is not valid.
    """
    sql = f"SELECT * FROM ({relation(source)}) AS source LIMIT 0"
    columns = database.run([Statement(sql)], step="describe")[0].columns
    names = [column.name for column in columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{source.name} has several columns named {twice}. Give each a name of its own with AS.")
    return columns


def unload(
    database: Database,
    storage: Storage,
    source: UnloadSource,
    columns: Sequence[TableColumn],
    *,
    folder: str,
    attempt: str,
    request: str = "",
    file_size: int = DEFAULT_FILE_SIZE,
) -> Snapshot:
    """Unload columns, unless an earlier attempt has done so. Files of earlier runs of the task are removed.

    :param database: the table's database.
    :param storage: where the files go.
    :param source: the table or query.
    :param columns: the columns to unload, from the result of ``describe``.
    :param folder: the result of ``snapshot_folder``.
    :param attempt: a name of this attempt's own.
    :param request: see ``Snapshot``.
    :param file_size: the approximate most bytes in a file. A chunk's size is best, because row groups are never cut.
    :raises RedshiftError: Redshift cannot unload.
    :raises StorageError: the files are not those in Redshift's manifest.
    """
    query = _query(source, columns)
    if (found := find_snapshot(storage, folder)) is not None and found.query == query and not found.served:
        log.info("An earlier attempt has unloaded %s: %s rows.", source.name, f"{found.rows:,}")
        return found
    remove_others(storage, folder)
    rows = rows_folder(folder, attempt, query)
    sql = (
        f"UNLOAD ({unload_text(query)}) TO {quoted(rows)} IAM_ROLE {iam_role(source.access.iam_role)} "
        f"FORMAT AS PARQUET MANIFEST VERBOSE MAXFILESIZE {_megabytes(file_size)} MB"
    )
    log.info("Unloading %s (%d columns) to %s", source.name, len(columns), rows)
    database.run([Statement(sql)], step=f"unload {content_id(query)}")
    snapshot = _read(storage, source, query, columns, rows, folder).model_copy(update={"request": request})
    store_snapshot(storage, snapshot)
    log.info("Unloaded %s rows of %s.", f"{snapshot.rows:,}", source.name)
    return snapshot


def _megabytes(size: int) -> int:
    smallest, largest = _FILE_SIZES
    return min(max(size // _MB, smallest), largest)


def relation(source: UnloadSource) -> str:
    """The source as a query that can be put into parentheses."""
    if source.sql:
        inner = inline(source.sql, source.parameters)
        return inner if source.limit is None else f"SELECT * FROM ({inner}) AS source LIMIT {source.limit}"
    where = f" WHERE ({inline(source.where, source.parameters)})" if source.where else ""
    limit = f" LIMIT {source.limit}" if source.limit is not None else ""
    return f"SELECT * FROM {qualified(source.table)}{where}{limit}"


def _query(source: UnloadSource, columns: Sequence[TableColumn]) -> str:
    """The unloaded query. A LIMIT is in a subquery, because UNLOAD accepts none outside."""
    return f"SELECT {', '.join(map(_item, columns))} FROM ({relation(source)}) AS source"


def _item(column: TableColumn) -> str:
    """A column in the unloaded query. Timestamps with a zone become UTC, since readers differ in Parquet's timestamp
    types.
    """
    name = identifier(column.name)
    return f"{name} AT TIME ZONE 'UTC' AS {name}" if is_zone_aware(column.type) else name


def _read(
    storage: Storage, source: UnloadSource, query: str, columns: Sequence[TableColumn], rows: str, folder: str
) -> Snapshot:
    """The snapshot of the unloaded files, checked against Redshift's own manifest."""
    uri = f"{rows}manifest"
    try:
        manifest = json.loads(storage.read(uri))
    except ObjectNotFoundError:  # no rows, no files: whether there is a manifest then is not documented
        manifest = {"entries": []}
    listed = {entry["url"]: entry["meta"] for entry in manifest["entries"]}
    there = {obj.uri: obj.size for obj in storage.list(rows) if obj.uri != uri}
    faults = [f"{url} is missing" for url in sorted(set(listed) - set(there))]
    faults += [f"{url} is not in Redshift's manifest" for url in sorted(set(there) - set(listed))]
    faults += [
        f"{url} has {there[url]} bytes, the manifest says {meta['content_length']}"
        for url, meta in listed.items()
        if url in there and there[url] != meta["content_length"]
    ]
    if faults:
        raise StorageError(f"What Redshift has unloaded to {rows} is not whole: {'; '.join(faults[:10])}. Retry.")
    return Snapshot(
        query=query,
        manifest_uri=uri,
        files=SourceFiles(uris=(f"{rows}*.parquet",), file_format="parquet"),
        rows=sum(int(meta["record_count"]) for meta in listed.values()),
        columns=_typed(columns, manifest.get("schema", {}).get("elements", [])),
        folder=folder,
        keep=source.keep_unloaded,
    )


def _typed(columns: Sequence[TableColumn], elements: Sequence[dict[str, object]]) -> tuple[TableColumn, ...]:
    """The columns with the lengths and precisions that only the manifest has.

    :raises RedshiftError: the files have other columns than requested.
    """
    if not elements:
        return tuple(columns)
    names, wanted = [str(element["name"]) for element in elements], [column.name for column in columns]
    if names != wanted:
        raise RedshiftError(
            f"Redshift has unloaded the columns {names} instead of {wanted}. Names with capitals need "
            "enable_case_sensitive_identifier, which this session set to true: is it forbidden by the cluster?"
        )
    return tuple(
        TableColumn(name=column.name, type=_full_type(column.type, element["type"]))
        for column, element in zip(columns, elements, strict=True)
    )


def _full_type(described: str, found: object) -> str:
    """``varchar(64)`` of ``character varying`` and Redshift's ``{"base": ..., "max_length": 64}``."""
    details = found if isinstance(found, dict) else {}
    if re.match(r"(character|char|varchar|bpchar|text)", described) and details.get("max_length"):
        return f"varchar({details['max_length']})"
    if re.match(r"(numeric|decimal)", described) and details.get("precision"):
        return f"numeric({details['precision']},{details.get('scale', 0)})"
    return described
