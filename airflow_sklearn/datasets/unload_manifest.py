"""Manifests of UNLOAD as sources: the files that a query of Redshift has written, no more and no fewer."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from airflow_sklearn.exceptions import StorageError, UserError
from airflow_sklearn.storage.uris import parent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_sklearn.contract.data import SourceFiles
    from airflow_sklearn.storage import Storage

_LOG = logging.getLogger(__name__)
_SHOWN = 10


def files_of_manifests(storage: Storage, source: SourceFiles) -> SourceFiles:
    """A source of files, from one whose URIs are manifests.

    :param source: a source; one without manifests is returned as it is.
    :raises UserError: an object is no manifest of UNLOAD, or names files outside of its own folder.
    :raises StorageError: files are missing, or have another size than the manifest says.
    """
    if not source.manifest:
        return source
    uris = tuple(uri for manifest in storage.expand(source.uris) for uri in _files(storage, manifest.uri))
    return source.model_copy(update={"uris": uris, "manifest": False})


def _files(storage: Storage, uri: str) -> Iterator[str]:
    folder, entries = f"{parent(uri)}/", _entries(storage.read(uri), uri)
    if foreign := [entry["url"] for entry in entries if not entry["url"].startswith(folder)]:
        raise UserError(
            f"The manifest {uri} names files outside of its folder, such as {foreign[0]}. UNLOAD writes both into one "
            "folder. Fix: name these files by their own URIs."
        )
    there = {obj.uri: obj.size for obj in storage.list(folder)}
    faults = []
    for entry in entries:
        url, size = entry["url"], entry.get("meta", {}).get("content_length")
        if url not in there:
            if entry.get("mandatory", True):
                faults.append(f"{url} is missing")
            else:
                _LOG.warning("%s is missing, which its manifest allows.", url)
            continue
        if size is not None and there[url] != size:
            faults.append(f"{url} has {there[url]:,} bytes, the manifest says {size:,}")
        yield url
    if faults:
        listed = "; ".join(faults[:_SHOWN])
        raise StorageError(f"The files of the manifest {uri} are not those that were unloaded: {listed}.")


def _entries(data: bytes, uri: str) -> list[dict[str, Any]]:
    try:
        entries = json.loads(data)["entries"]
        if all(isinstance(entry["url"], str) for entry in entries):
            return list(entries)
    except (ValueError, KeyError, TypeError):
        pass
    raise UserError(
        f"{uri} is no manifest of UNLOAD: a JSON object with 'entries' was expected, each with a 'url'. Fix: give the "
        "file that UNLOAD ... MANIFEST wrote; or leave manifest=True out, if this is a file of rows."
    )
