"""The train job: reads one table, fits one estimator, and writes one manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.runs.model_store import make_version
from airflow_sklearn.system.sklearn_config import changed_config
from airflow_sklearn.system.threads import users_code
from airflow_sklearn.worker.pages import add_model_page
from airflow_sklearn.worker.training.decisions import as_asked, searched
from airflow_sklearn.worker.training.description import observed
from airflow_sklearn.worker.training.estimators import make_estimators
from airflow_sklearn.worker.training.fitting import fit_and_validate
from airflow_sklearn.worker.training.loading import load
from airflow_sklearn.worker.training.version import store_parts

if TYPE_CHECKING:
    from airflow_sklearn.contract.jobs import TrainJob
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.storage import Storage


def train(job: TrainJob, storage: Storage) -> tuple[str, str]:
    """Fit a model, and store its artifact and manifest, unless this version exists.

    :return: the manifest's URI and the SHA-256 of its bytes.
    :raises UserError: the estimator cannot be made or fitted as requested.
    :raises DataError: the table cannot be learned from; the error carries all problems.
    """
    return make_version(storage, job.model, job.version, lambda: observed(lambda: _fit(job, storage)), add_model_page)


def _fit(job: TrainJob, storage: Storage) -> ModelManifest:
    with users_code():
        estimators = make_estimators(job, storage)
        for name, estimator in estimators.items():
            searched(job, estimator, name)  # it raises its errors before the table is read
    config = changed_config()
    data = load(job, storage, estimators)
    with users_code():
        unfitted = as_asked(job, estimators, data)
    fitted = fit_and_validate(job, storage, unfitted, data)
    return store_parts(job, storage, data, fitted).model_copy(update={"sklearn_config": config})
