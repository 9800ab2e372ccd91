"""Pages from stored documents, wherever they are made: after training, or later by a command."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from airflow_sklearn.contract.document import Document
from airflow_sklearn.contract.explanation import ModelExplanation
from airflow_sklearn.contract.metrics import ModelMetrics
from airflow_sklearn.exceptions import BrokenEnvironmentError, ObjectNotFoundError
from airflow_sklearn.runs.model_store import page_uri_of, resolve_model
from airflow_sklearn.storage.uris import join

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from airflow_sklearn.contract.model import ModelManifest, StoredObject
    from airflow_sklearn.runs.leaderboard import Leaderboard
    from airflow_sklearn.storage import Storage

_Kind = TypeVar("_Kind", bound=Document)


@dataclass(frozen=True)
class ModelDocuments:
    """The documents of one version of a model; None: the version has none."""

    manifest: ModelManifest
    metrics: ModelMetrics | None
    explanation: ModelExplanation | None


def read_model(storage: Storage, model: str | Mapping[str, Any]) -> ModelDocuments:
    """The documents of a version.

    :param model: a model's URI (its latest version), a manifest's URI, or the result of a task that trained.
    :raises ObjectNotFoundError: there is no such model.
    :raises BrokenEnvironmentError: a document is gone, or is no longer the one that the manifest names.
    """
    manifest, _, _ = resolve_model(storage, model)
    return ModelDocuments(
        manifest,
        _read(storage, manifest.metrics_object, ModelMetrics),
        _read(storage, manifest.explanation_object, ModelExplanation),
    )


def write_model_page(storage: Storage, model: str | Mapping[str, Any]) -> str:
    """Write the page of a version, ``report.html``, beside its manifest. A page that exists is replaced.

    :param model: see ``read_model``.
    :return: the page's URI.
    :raises ObjectNotFoundError: there is no such model.
    :raises BrokenEnvironmentError: a document is gone, or is no longer the one that the manifest names.
    """
    from airflow_sklearn.report.model_page import model_page

    found = read_model(storage, model)
    uri = page_uri_of(found.manifest.model, found.manifest.version)
    storage.write(uri, model_page(found.manifest, found.metrics, found.explanation).encode())
    return uri


def write_compare_page(storage: Storage, ranked: Leaderboard) -> str:
    """Write the page that compares the models of a leaderboard, below the best one: ``comparisons/<digest>.html``.

    The same versions, compared by the same metric, have the same page.

    :return: the page's URI.
    :raises BrokenEnvironmentError: a document is gone, or is no longer the one that a manifest names.
    """
    from airflow_sklearn.report.compare_page import compare_page

    models = [read_model(storage, one.model) for one in ranked.models]
    page = compare_page(models, target=ranked.target, metric=ranked.metric, warnings=ranked.warnings)
    compared = [ranked.metric, ranked.target, *(one.model["manifest_sha256"] for one in ranked.models)]
    digest = hashlib.sha256("\n".join(compared).encode()).hexdigest()[:16]
    uri = join(ranked.best.model["model"], "comparisons", f"{digest}.html")
    storage.write(uri, page.encode())
    return uri


def _read(storage: Storage, stored: StoredObject | None, kind: type[_Kind]) -> _Kind | None:
    if stored is None:
        return None
    try:
        data = storage.read(stored.uri)
    except ObjectNotFoundError:
        data = b""
    if hashlib.sha256(data).hexdigest() != stored.sha256:
        raise BrokenEnvironmentError(
            f"{stored.uri} is gone, or is not what training wrote. Fix: restore it from a backup, or train again."
        )
    return kind.from_json(data, where=stored.uri)
