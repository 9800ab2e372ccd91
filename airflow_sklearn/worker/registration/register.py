"""The register job: loads a fitted estimator, learns the schema from a sample, and writes one manifest."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.model import ModelManifest, TrainingSource
from airflow_sklearn.runs.model_store import make_version
from airflow_sklearn.system.sklearn_config import changed_config
from airflow_sklearn.system.threads import users_code
from airflow_sklearn.worker.pages import add_model_page
from airflow_sklearn.worker.registration.expected import check_expected
from airflow_sklearn.worker.registration.fitted import load_fitted
from airflow_sklearn.worker.registration.sample import load_sample, target_of
from airflow_sklearn.worker.training.description import describe, observed
from airflow_sklearn.worker.training.explanation import explain, store_explanation
from airflow_sklearn.worker.training.fitting import keeping_the_model

if TYPE_CHECKING:
    from airflow_sklearn.contract.jobs import RegisterJob
    from airflow_sklearn.contract.schema import Target
    from airflow_sklearn.storage import Storage
    from airflow_sklearn.worker.training.description import LearnedTable

_LOG = logging.getLogger("airflow_sklearn.worker")


def register(job: RegisterJob, storage: Storage) -> tuple[str, str]:
    """Store a fitted estimator as a version of a model, unless this version exists.

    :return: the manifest's URI and the SHA-256 of its bytes.
    :raises UserError: the estimator has another digest, is not fitted, or does not fit the sample.
    :raises DataError: the sample cannot be read, or holds other values than expected; the error carries all problems.
    """
    return make_version(
        storage, job.model, job.version, lambda: observed(lambda: _register(job, storage)), add_model_page
    )


def _register(job: RegisterJob, storage: Storage) -> ModelManifest:
    with users_code():
        estimator = load_fitted(job, storage)
    _LOG.info("Loaded %s from %s", type(estimator).__name__, job.estimator.uri)
    sample = load_sample(job, storage, estimator)
    target = target_of(job, estimator, sample)
    estimator, described = describe(job, storage, estimator, sample, [target], fit_seconds=0.0)
    manifest = ModelManifest(
        source=TrainingSource(
            files=job.source,
            objects=job.objects,
            rows_read=sample.table.num_rows,
            rows_used=sample.table.num_rows,
            snapshot=job.snapshot,
        ),
        cross_validation=0,
        excluded_columns=job.excluded_columns,
        sklearn_config=changed_config(),
        **described,
    )
    check_expected(job, manifest, estimator, sample)
    explained = _explained(job, storage, estimator, sample, target) if job.target else {}
    return manifest.model_copy(update=explained)


def _explained(
    job: RegisterJob, storage: Storage, estimator: Any, sample: LearnedTable, target: Target
) -> dict[str, Any]:
    """The manifest's fields about the explanation."""
    not_made: dict[str, str] = {}

    def make() -> dict[str, Any]:
        return store_explanation(job, storage, [explain(estimator, target, sample)])

    return {**(keeping_the_model("explanation", make, not_made) or {}), "not_made": not_made}
