"""Validating and fitting the estimator of a job, here or in further containers."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_sklearn.models.fitting import fit
from airflow_sklearn.models.frames import to_frame
from airflow_sklearn.models.validation import Validation, cross_validate
from airflow_sklearn.system.threads import users_code
from airflow_sklearn.worker.training.search import search_containers

if TYPE_CHECKING:
    from airflow_sklearn.contract.jobs import TrainJob
    from airflow_sklearn.worker.training.loading import TrainingData

_LOG = logging.getLogger("airflow_sklearn.worker")


@dataclass(frozen=True)
class Fitted:
    """What fitting has given.

    :param estimator: the fitted estimator.
    :param validation: the result of the validation; None: there was none.
    :param seconds: the time of fitting on all rows.
    """

    estimator: Any
    validation: Validation | None
    seconds: float


def validate_and_fit(job: TrainJob, estimator: Any, data: TrainingData) -> Fitted:
    """Validate the estimator, then fit it in place on all rows.

    :raises UserError: the estimator cannot be fitted or validated on these rows.
    """
    frame = to_frame(data.table, data.features)
    with search_containers(job, estimator), users_code():
        validation = _validate(job, estimator, frame, data)
        started = time.monotonic()
        fit(estimator, frame, data.y, data.sample_weight)
        seconds = time.monotonic() - started
    _LOG.info("Fitted %s in %.1f s", type(estimator).__name__, seconds)
    return Fitted(estimator, validation, seconds)


def _validate(job: TrainJob, estimator: Any, frame: Any, data: TrainingData) -> Validation | None:
    if not job.cross_validation:
        return None
    started = time.monotonic()
    found = cross_validate(estimator, frame, data.y, folds=job.cross_validation, sample_weight=data.sample_weight)
    shown = ", ".join(f"{name} {value:.4f}" for name, value in found.metrics.items() if value is not None)
    _LOG.info("%d-fold cross-validation in %.1f s: %s", job.cross_validation, time.monotonic() - started, shown)
    return found
