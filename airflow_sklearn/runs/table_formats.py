"""Recognising the folders of Delta, Iceberg and Hudi tables by their metadata.

Such a folder also holds files whose rows were deleted or replaced; the metadata say which files count. Read as plain
Parquet files, the deleted rows would come back.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_sklearn.exceptions import StorageError, UserError
from airflow_sklearn.storage import join, parent
from airflow_sklearn.storage.uris import is_pattern, pattern_root

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_sklearn.contract.data import SourceFiles, SourceObject
    from airflow_sklearn.storage import Storage

_LOOKS = 64
"""Folders that are looked at, those nearest to the root first: where there are more, they are parts of one table."""


@dataclass(frozen=True)
class _TableFormat:
    name: str
    metadata: str
    """What such a table has in its folder."""
    ending: str = ""
    live_files: str = ""
    """How to find out which files count."""


_FORMATS = (
    _TableFormat("Delta", "_delta_log/", live_files="DeltaTable(...).file_uris() of the package deltalake"),
    _TableFormat("Iceberg", "metadata/", ".metadata.json", "table.scan().plan_files() of the package pyiceberg"),
    _TableFormat("Hudi", ".hoodie/", live_files="a snapshot query of Spark"),
    _TableFormat("Hudi", ".hoodie_partition_metadata", live_files="a snapshot query of Spark"),
)


def refuse_table_formats(storage: Storage, source: SourceFiles, objects: Sequence[SourceObject]) -> None:
    """Refuse folders and globs that would read all files of a Delta, Iceberg or Hudi table.

    Files that are named one by one are accepted.

    :param storage: where the files are.
    :param source: the source, with its URIs.
    :param objects: the objects that the source stands for.
    :raises UserError: there are such tables; the message lists all of them.
    """
    if source.file_format != "parquet":
        return
    roots = [pattern_root(uri) for uri in source.uris if uri.endswith("/") or is_pattern(uri)]
    folders = sorted(_folders(objects, roots), key=lambda folder: (folder.count("/"), folder))[:_LOOKS]
    pairs = [(folder, kind) for folder in folders for kind in _FORMATS]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda pair: _has_metadata(storage, *pair), pairs))
    faults = [
        f"{folder}/ is part of a table in the {kind.name} format (there is {kind.metadata}). Its files alone also hold "
        "rows that were deleted or replaced. Fix: write the table's current rows into plain Parquet files and name "
        f"those, or name the files that count one by one ({kind.live_files})"
        for (folder, kind), there in zip(pairs, found, strict=True)
        if there
    ]
    if faults:
        raise UserError("\n".join(f"{fault}." for fault in faults))


def _folders(objects: Iterable[SourceObject], roots: Sequence[str]) -> set[str]:
    """The folders that may be a table's root: those of the files, and those above them up to the requested folder.

    Where the source is a folder within a table (``date=1/``, ``data/``), the folders above it are looked at too.
    """
    found = set()
    for folder in {parent(obj.uri) for obj in objects}:
        root = max((root for root in roots if f"{folder}/".startswith(root)), key=len, default=None)
        here, below = folder, ""
        while root and not here.endswith("/") and (f"{here}/".startswith(root) or "=" in below or below == "data"):
            found.add(here)
            here, below = parent(here), here.rpartition("/")[2]
    return found


def _has_metadata(storage: Storage, folder: str, kind: _TableFormat) -> bool:
    try:
        return any(obj.uri.endswith(kind.ending) for obj in storage.list(join(folder, kind.metadata)))
    except StorageError:  # no permission: a file system has said that the object is there, S3 says nothing
        return folder.startswith("file:") and not kind.ending
