"""The fitted estimator as bytes: stored with its digest, loaded only when the digest is right."""

from __future__ import annotations

import hashlib
import os
import tempfile
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.model import Artifact
from airflow_sklearn.exceptions import BrokenEnvironmentError, UserError
from airflow_sklearn.storage import join

if TYPE_CHECKING:
    from airflow_sklearn.storage import Storage


def store_estimator(storage: Storage, estimator: Any, folder: str) -> tuple[Artifact, Any]:
    """Dump a fitted estimator into ``folder`` and load it back from the same bytes.

    :return: where it lies, and the estimator as prediction will load it.
    :raises UserError: the estimator cannot be pickled.
    """
    import joblib

    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "artifact.joblib")
        try:
            joblib.dump(estimator, path)
            loaded = joblib.load(path)
        except Exception as error:
            raise UserError(
                f"The fitted {type(estimator).__name__} cannot be stored ({type(error).__name__}: {error}). "
                "Estimators must survive pickling: replace lambdas and local classes by those of an importable module."
            ) from error
        sha256 = file_sha256(path)
        artifact = Artifact(
            uri=join(folder, f"artifact-{sha256[:16]}.joblib"), sha256=sha256, size=os.path.getsize(path)
        )
        storage.upload(path, artifact.uri)
    return artifact, loaded


def load_estimator(storage: Storage, artifact: Artifact, scratch: str) -> Any:
    """Load a fitted estimator, its arrays memory-mapped from a local copy, so that forked processes share them.

    :param scratch: a local folder that outlives the estimator.
    :raises BrokenEnvironmentError: the bytes are not those of the manifest, or cannot be unpickled here.
    """
    import joblib

    path = os.path.join(scratch, "artifact.joblib")
    storage.download(artifact.uri, path)
    found = file_sha256(path)
    if found != artifact.sha256:
        raise BrokenEnvironmentError(
            f"{artifact.uri} has the SHA-256 {found}, but its manifest says {artifact.sha256}: the artifact was "
            "changed or damaged after training. It is not unpickled. Restore it from a backup, or train again."
        )
    try:
        return joblib.load(path, mmap_mode="r")
    except Exception as error:
        raise BrokenEnvironmentError(
            f"{artifact.uri} cannot be unpickled here ({type(error).__name__}: {error}). The worker needs the packages "
            "that the model was trained with; the manifest lists them under 'versions'."
        ) from error


def file_sha256(path: str) -> str:
    """SHA-256 of a local file, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
