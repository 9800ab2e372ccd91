"""Loading an estimator that was fitted elsewhere. Nothing is loaded before its bytes have the given digest."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
from sklearn.utils.validation import check_is_fitted

from airflow_sklearn.exceptions import BrokenEnvironmentError, ObjectNotFoundError, UserError
from airflow_sklearn.storage import join
from airflow_sklearn.system.scratch import scratch_folder
from airflow_sklearn.worker import skops_files
from airflow_sklearn.worker.artifact import file_sha256
from airflow_sklearn.worker.registration.mlflow import ModelFile, model_file, signature_of

if TYPE_CHECKING:
    from airflow_sklearn.contract.jobs import RegisterJob
    from airflow_sklearn.contract.model import RegisteredEstimator
    from airflow_sklearn.storage import Storage


def load_fitted(job: RegisterJob, storage: Storage) -> Any:
    """Load the estimator of a job.

    :raises UserError: the file has another digest, holds no fitted estimator, or has types that are not trusted.
    :raises BrokenEnvironmentError: it cannot be loaded with the packages here, or was written by another scikit-learn.
    """
    spec = job.estimator
    file = _file_of(spec, storage)
    with scratch_folder() as scratch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        path = os.path.join(scratch, "estimator")
        try:
            storage.download(file.uri, path)
        except ObjectNotFoundError:
            raise UserError(f"There is no {file.uri}. Fix: correct fitted=..., or store the model there.") from None
        if (found := file_sha256(path)) != spec.sha256:
            raise UserError(
                f"{file.uri} has the SHA-256 {found}, and {spec.sha256} was given: it is not loaded. Fix: if the file "
                "is the one that you mean, give this digest; else find out who changed it."
            )
        estimator = (
            skops_files.load(path, job.trusted_types, file.uri) if file.form == "skops" else _unpickle(path, file.uri)
        )
    _check_versions(caught, job, file.uri)
    for warning in caught:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    _check_fitted(estimator, file.uri)
    return estimator


def load_signature(spec: RegisteredEstimator, storage: Storage) -> dict[str, str]:
    """The features and their types that the folder of an MLflow model tells; empty: it tells none, or is another file.

    :raises UserError: the folder is no MLflow model.
    """
    return signature_of(_described(_folder(spec), storage)) if spec.form == "mlflow" else {}


def _folder(spec: RegisteredEstimator) -> str:
    return join(spec.uri.rstrip("/"), "")


def _file_of(spec: RegisteredEstimator, storage: Storage) -> ModelFile:
    if spec.form != "mlflow":
        return ModelFile(spec.uri, spec.form)
    return model_file(_described(_folder(spec), storage), _folder(spec))


def _described(folder: str, storage: Storage) -> bytes:
    uri = f"{folder}MLmodel"
    try:
        return storage.read(uri)
    except ObjectNotFoundError:
        raise UserError(
            f"{folder} is no MLflow model: there is no {uri}. Fix: give the folder that mlflow.sklearn.save_model made."
        ) from None


def _unpickle(path: str, where: str) -> Any:
    import joblib

    try:
        return joblib.load(path)  # reads what pickle and cloudpickle wrote, too
    except MemoryError:
        raise
    except Exception as error:
        raise BrokenEnvironmentError(
            f"{where} cannot be unpickled here ({type(error).__name__}: {error}). Fix: register it with an image that "
            "has the packages, in the versions, that it was fitted with; your own modules too."
        ) from error


def _check_versions(caught: list[warnings.WarningMessage], job: RegisterJob, where: str) -> None:
    """Refuse an estimator that another version of scikit-learn has fitted, unless the policy lets it pass.

    :raises BrokenEnvironmentError: another one has.
    """
    others = [one.message for one in caught if isinstance(one.message, InconsistentVersionWarning)]
    if others and job.policies.version_mismatch == "error":
        first = others[0]
        raise BrokenEnvironmentError(
            f"{where} was fitted with scikit-learn {first.original_sklearn_version}, and here is "
            f"{first.current_sklearn_version}; scikit-learn supports no loading across versions. Fix: register it with "
            "an image of that version, fit it again, or let it pass by policies={'version_mismatch': 'warn'}."
        )


def _check_fitted(estimator: Any, where: str) -> None:
    name = type(estimator).__name__
    if not any(callable(getattr(estimator, method, None)) for method in ("predict", "transform")):
        raise UserError(
            f"{where} holds {name}, which can neither predict nor transform. Fix: store the fitted estimator itself."
        )
    try:
        if isinstance(estimator, BaseEstimator):
            check_is_fitted(estimator)
    except NotFittedError:
        raise UserError(f"{where} holds {name}, which is not fitted. Fix: fit it before it is stored.") from None
