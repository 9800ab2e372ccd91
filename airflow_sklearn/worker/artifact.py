"""The artifact: the fitted estimator as a file, stored with its digest, and loaded only if the digest matches."""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.model import Artifact
from airflow_sklearn.exceptions import BrokenEnvironmentError, ObjectNotFoundError, UserError
from airflow_sklearn.storage import join
from airflow_sklearn.storage.full_disk import full_disk_error
from airflow_sklearn.system.scratch import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_sklearn.contract.schema import Serializer
    from airflow_sklearn.storage import Storage


def store_estimator(
    storage: Storage, estimator: Any, folder: str, serializer: Serializer = "joblib", trusted: Sequence[str] = ()
) -> tuple[Artifact, Any]:
    """Store a fitted estimator, and load it from the same bytes.

    :param storage: where to store it.
    :param estimator: a fitted estimator.
    :param folder: the URI of the folder.
    :param serializer: the format.
    :param trusted: the types that an artifact in the format skops may contain.
    :return: the artifact, and the estimator as prediction will load it.
    :raises UserError: the estimator cannot be stored in this format, or contains a type that is not trusted.
    """
    with scratch_folder() as scratch:
        path = os.path.join(scratch, f"artifact.{serializer}")
        loaded = _dump_and_load(estimator, path, serializer, trusted)
        sha256 = file_sha256(path)
        uri = join(folder, f"artifact-{sha256[:16]}.{serializer}")
        artifact = Artifact(uri=uri, sha256=sha256, size=os.path.getsize(path), serializer=serializer)
        storage.upload(path, artifact.uri)
    return artifact, loaded


def _dump_and_load(estimator: Any, path: str, serializer: Serializer, trusted: Sequence[str]) -> Any:
    if serializer == "skops":
        from airflow_sklearn.worker import skops_files

        skops_files.dump(estimator, path)
        return skops_files.load(path, trusted, "The fitted model")
    import joblib

    try:
        joblib.dump(estimator, path)
        return joblib.load(path)
    except Exception as error:
        if full_disk_error(error):
            raise
        raise UserError(
            f"The fitted {type(estimator).__name__} cannot be stored ({type(error).__name__}: {error}). "
            "Estimators must survive pickling: replace lambdas and local classes by those of an importable module."
        ) from error


def load_estimator(storage: Storage, artifact: Artifact, scratch: str, trusted: Sequence[str] = ()) -> Any:
    """Load a fitted estimator. Its arrays are memory-mapped from a local copy, so that forked processes share them.

    :param scratch: a local folder that outlives the estimator.
    :param trusted: the types that an artifact in the format skops may contain.
    :raises BrokenEnvironmentError: the bytes do not have the manifest's digest, or cannot be unpickled here.
    :raises UserError: the artifact contains a type that is not trusted.
    """
    return open_estimator(fetch_artifact(storage, artifact, scratch), artifact, trusted)


def fetch_artifact(storage: Storage, artifact: Artifact, scratch: str) -> str:
    """Make a local copy of an artifact.

    :param scratch: a local folder.
    :return: the copy's path. Its digest has been checked.
    :raises BrokenEnvironmentError: the bytes do not have the manifest's digest.
    """
    path = os.path.join(scratch, f"artifact.{artifact.serializer}")
    try:
        storage.download(artifact.uri, path)
    except ObjectNotFoundError:
        raise BrokenEnvironmentError(
            f"The model's artifact is gone: {artifact.uri}. Fix: clear the train task, which fits the model again, and "
            "the plan task with what follows it; or restore the file from a backup."
        ) from None
    found = file_sha256(path)
    if found != artifact.sha256:
        raise BrokenEnvironmentError(
            f"{artifact.uri} has the SHA-256 {found}, but its manifest says {artifact.sha256}: the artifact was "
            "changed or damaged after training. It is not unpickled. Restore it from a backup, or train again."
        )
    return path


def open_estimator(path: str, artifact: Artifact, trusted: Sequence[str] = ()) -> Any:
    """Load a fitted estimator from a local copy.

    :param path: the copy, whose digest has been checked.
    :param artifact: the artifact.
    :param trusted: the types that an artifact in the format skops may contain.
    :raises BrokenEnvironmentError: it cannot be unpickled here.
    :raises UserError: it contains a type that is not trusted.
    """
    if artifact.serializer == "skops":
        from airflow_sklearn.worker import skops_files

        return skops_files.load(path, trusted, artifact.uri)
    import joblib

    try:
        with _one_map():
            return joblib.load(path, mmap_mode="r")
    except MemoryError:
        raise
    except Exception as error:
        if full_disk_error(error):
            raise
        raise BrokenEnvironmentError(
            f"{artifact.uri} cannot be unpickled here ({type(error).__name__}: {error}). {_advice(error)}"
        ) from error


def _advice(error: Exception) -> str:
    if isinstance(error, OSError):
        return "Its bytes are right: the machine could not map the local copy into memory. Fix: see the error."
    if isinstance(error, ImportError | AttributeError):
        return (
            "Fix: install the packages that the model was trained with; the manifest lists them under 'versions'. "
            "Your own modules must be on the worker's PYTHONPATH."
        )
    return "Fix: use the image that trained the model; the manifest lists the packages under 'versions'."


@contextlib.contextmanager
def _one_map() -> Iterator[None]:
    """Let joblib memory-map a file once, for all arrays in it.

    joblib maps each array separately, and each map keeps a file open. A forest of 500 trees has more arrays than a
    process may have open files.
    """
    import numpy as np
    from joblib import numpy_pickle

    maps: dict[str, Any] = {}

    def view(filename: str, dtype: Any, shape: Any, order: Any = "C", mode: str = "r", offset: int = 0) -> Any:
        whole = maps.get(filename)
        if whole is None:
            whole = maps[filename] = np.memmap(filename, dtype=np.uint8, mode="r").view(np.ndarray)
        return np.ndarray(shape, dtype, buffer=whole, offset=offset, order=order)

    before = numpy_pickle.make_memmap
    numpy_pickle.make_memmap = view
    try:
        yield
    finally:
        numpy_pickle.make_memmap = before


def file_sha256(path: str) -> str:
    """The SHA-256 of a local file, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
