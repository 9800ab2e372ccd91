"""Finding models and their versions by what is stored below a folder. Nothing is changed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_sklearn.contract.model import ModelManifest
from airflow_sklearn.exceptions import DocumentError, ObjectNotFoundError
from airflow_sklearn.runs.model_store import is_manifest_of, resolve_model
from airflow_sklearn.storage import join, parent

if TYPE_CHECKING:
    from airflow_sklearn.storage import Storage

_LOG = logging.getLogger(__name__)
_POINTER = "/latest.json"


def models_below(storage: Storage, folder: str) -> list[tuple[str, ModelManifest]]:
    """The models in a folder and below it, each with the URI and the manifest of its latest version, by their URIs.

    :param folder: a folder's URI; a model itself counts too. What cannot be read is left out, with a warning.
    """
    found = []
    for obj in storage.list(join(folder, "")):
        if not obj.uri.endswith(_POINTER):
            continue
        try:
            manifest, uri, _ = resolve_model(storage, parent(obj.uri))
        except (DocumentError, ObjectNotFoundError) as error:
            _LOG.warning("%s is left out: %s", obj.uri, error)
            continue
        found.append((uri, manifest))
    return found


def versions_of(storage: Storage, model: str) -> list[tuple[str, ModelManifest]]:
    """The versions of a model with their manifests' URIs, the newest first.

    :param model: the model's URI.
    """
    uris = [obj.uri for obj in storage.list(join(model, "versions", "")) if is_manifest_of(model, obj.uri)]
    found = [(uri, ModelManifest.from_json(storage.read(uri), where=uri)) for uri in uris]
    return sorted(found, key=lambda pair: pair[1].created_at, reverse=True)
