"""Models in storage: the URIs of versions, the latest version, and whether a version is complete.

<model>/versions/<version>/manifest.json    a version exists if its manifest and its artifact do
<model>/versions/<version>/artifact-<digest>.joblib
<model>/versions/<version>/parity-<digest>.json    training rows and their predictions; models of 0.1.0 have none
<model>/versions/<version>/metrics-<digest>.json    all metrics of the out-of-sample rows
<model>/versions/<version>/explanation-<digest>.json    coefficients, importances, selected columns
<model>/versions/<version>/report.html      the page for people, made of these documents
<model>/comparisons/<digest>.html           pages that compare this model with others
<model>/latest.json                         the version that was trained, or found to exist, last
"""

from __future__ import annotations

import hashlib
import logging
import re
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.model import ModelManifest, ModelPointer
from airflow_sklearn.exceptions import BrokenEnvironmentError, ObjectExistsError, ObjectNotFoundError, UserError
from airflow_sklearn.storage import join

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_sklearn.storage import Storage

_LOG = logging.getLogger("airflow_sklearn.worker")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*")


def version_folder(model: str, version: str) -> str:
    """The URI of the folder of one version of a model."""
    return join(model, "versions", version)


def manifest_uri_of(model: str, version: str) -> str:
    """The URI of the manifest of one version of a model."""
    return join(version_folder(model, version), "manifest.json")


def page_uri_of(model: str, version: str) -> str:
    """The URI of the page of one version of a model."""
    return join(version_folder(model, version), "report.html")


def is_manifest_of(model: str, uri: str) -> bool:
    """Whether a URI is the manifest of some version of a model."""
    version = uri.removeprefix(join(model, "versions", "")).removesuffix("/manifest.json")
    return _VERSION.fullmatch(version) is not None and uri == manifest_uri_of(model, version)


def find_version(storage: Storage, model: str, version: str) -> tuple[str, str] | None:
    """The manifest's URI and SHA-256, if the version is whole."""
    uri = manifest_uri_of(model, version)
    try:
        data = storage.read(uri)
        if not _is_whole(storage, ModelManifest.from_json(data, where=uri)):
            return None
    except ObjectNotFoundError:  # never trained, or cleaned up since
        return None
    return uri, hashlib.sha256(data).hexdigest()


def make_latest(storage: Storage, model: str, version: str) -> tuple[str, str] | None:
    """Let a version be the model's latest, if it is whole; else nothing is changed.

    :return: as ``find_version``.
    """
    found = find_version(storage, model, version)
    if found is not None:
        pointer = ModelPointer(version=version, manifest_uri=found[0], manifest_sha256=found[1])
        storage.write(join(model, "latest.json"), pointer.to_json())
    return found


def store_version(storage: Storage, manifest: ModelManifest) -> bool:
    """Store a version's manifest, unless another attempt was first. One whose artifact or sample is gone is replaced.

    :return: whether it is this manifest that counts.
    """
    uri = manifest_uri_of(manifest.model, manifest.version)
    storage.remove_abandoned(join(version_folder(manifest.model, manifest.version), ""))
    try:
        storage.create(uri, manifest.to_json())
        return True
    except ObjectExistsError:
        etag = storage.stat(uri).etag
        if _is_whole(storage, ModelManifest.from_json(storage.read(uri, etag=etag), where=uri)):
            return False
        storage.replace(uri, manifest.to_json(), etag=etag)
        return True


def make_version(
    storage: Storage,
    model: str,
    version: str,
    make: Callable[[], ModelManifest],
    made: Callable[[Storage, str], None] = lambda storage, uri: None,
) -> tuple[str, str]:
    """Make and store a version of a model, unless it exists, and let it be the latest.

    :param make: stores the version's parts, and returns its manifest.
    :param made: called with the URI of the manifest after it was stored.
    :return: the manifest's URI and SHA-256.
    :raises ObjectNotFoundError: the version was removed while it was stored.
    """
    found = make_latest(storage, model, version)
    if found is not None:
        _LOG.info("This version exists already: %s", found[0])
        return found
    if store_version(storage, make()):
        made(storage, manifest_uri_of(model, version))
    else:
        _LOG.info("Another attempt at this version was first; its model counts.")
    found = make_latest(storage, model, version)
    if found is None:
        raise ObjectNotFoundError(f"The version {version} of {model} was removed while it was stored.")
    return found


def resolve_model(storage: Storage, model: str | Mapping[str, Any]) -> tuple[ModelManifest, str, str]:
    """Find the version of a model to use.

    :param model: a model's URI (its latest version), a manifest's URI (ending in ``.json``), or the result of training:
        a mapping with ``manifest_uri`` and ``manifest_sha256``.
    :return: the manifest, its URI, and the SHA-256 of its bytes.
    :raises ObjectNotFoundError: there is no such model or manifest.
    :raises BrokenEnvironmentError: the manifest is no longer the one that training returned.
    """
    if isinstance(model, str):
        uri, expected = (model, None) if model.endswith(".json") else _latest(storage, model)
    else:
        try:
            uri, expected = model["manifest_uri"], model.get("manifest_sha256")
        except KeyError:
            raise UserError(f"A model given as a mapping needs 'manifest_uri'; this one has {sorted(model)}.") from None
    data = storage.read(uri)
    digest = hashlib.sha256(data).hexdigest()
    if expected not in (None, digest):
        raise BrokenEnvironmentError(
            f"{uri} has the SHA-256 {digest}, but {expected} was trained. It was overwritten; train again."
        )
    return ModelManifest.from_json(data, where=uri), uri, digest


def _latest(storage: Storage, model: str) -> tuple[str, str]:
    uri = join(model, "latest.json")
    try:
        pointer = ModelPointer.from_json(storage.read(uri), where=uri)
    except ObjectNotFoundError:
        raise ObjectNotFoundError(
            f"No model at {model} (there is no {uri}). Fix: train one there first, or correct model=...."
        ) from None
    return pointer.manifest_uri, pointer.manifest_sha256


def _is_whole(storage: Storage, manifest: ModelManifest) -> bool:
    """Whether the version's artifact and parity sample exist."""
    try:
        return all(storage.stat(one.uri).size == one.size for one in (manifest.artifact, manifest.parity_object) if one)
    except ObjectNotFoundError:
        return False
