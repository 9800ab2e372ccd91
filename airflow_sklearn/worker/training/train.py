"""The train job: reads one table, fits one estimator, and writes one manifest."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

from airflow_sklearn.contract.shown import shown_warning
from airflow_sklearn.exceptions import ObjectNotFoundError
from airflow_sklearn.models.factories import with_preprocessing
from airflow_sklearn.runs.model_store import make_latest, store_version
from airflow_sklearn.system.memory import PeakMemory
from airflow_sklearn.system.sklearn_config import changed_config, configured
from airflow_sklearn.system.threads import users_code
from airflow_sklearn.worker.training.estimators import make_estimator
from airflow_sklearn.worker.training.fitting import fit_and_validate
from airflow_sklearn.worker.training.loading import load
from airflow_sklearn.worker.training.version import store_parts

if TYPE_CHECKING:
    from airflow_sklearn.contract.jobs import TrainJob
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.storage import Storage

_LOG = logging.getLogger("airflow_sklearn.worker")


def train(job: TrainJob, storage: Storage) -> tuple[str, str]:
    """Fit a model, and store its artifact and manifest, unless this version exists.

    :return: the manifest's URI and the SHA-256 of its bytes.
    :raises UserError: the estimator cannot be made or fitted as requested.
    :raises DataError: the table cannot be learned from; the error carries all problems.
    """
    found = make_latest(storage, job.model, job.version)
    if found is not None:
        _LOG.info("This version is trained already: %s", found[0])
        return found
    if not store_version(storage, _fit(job, storage)):
        _LOG.info("Another attempt at this version was first; its model counts.")
    found = make_latest(storage, job.model, job.version)
    if found is None:
        raise ObjectNotFoundError(f"The version {job.version} of {job.model} was removed while it was stored.")
    return found


def _fit(job: TrainJob, storage: Storage) -> ModelManifest:
    with PeakMemory() as memory, warnings.catch_warnings(record=True) as caught, configured({}):
        warnings.simplefilter("always")
        with users_code():
            estimator = with_preprocessing(make_estimator(storage, job.estimator), job.preprocessing)
        config = changed_config()
        data = load(job, storage, estimator)
        fitted = fit_and_validate(job, storage, estimator, data)
        manifest = store_parts(job, storage, data, fitted)
    for warning in caught:
        _LOG.warning("%s: %s", warning.category.__name__, shown_warning(warning))
    warned = tuple(dict.fromkeys(f"{w.category.__name__}: {shown_warning(w)}" for w in caught))
    performance = manifest.performance.model_copy(update={"peak_memory_bytes": memory.bytes})
    return manifest.model_copy(update={"sklearn_config": config, "performance": performance, "warnings": warned})
