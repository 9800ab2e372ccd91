"""Storing the parts of a model's version, and describing them in its manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_sklearn.contract.model import ModelManifest, TrainingSource
from airflow_sklearn.models.schema import learn_target
from airflow_sklearn.models.tasks import task_of, untargeted
from airflow_sklearn.runs.model_store import version_folder
from airflow_sklearn.worker.training.description import describe
from airflow_sklearn.worker.training.metrics import store_metrics
from airflow_sklearn.worker.training.out_of_sample import store_out_of_sample
from airflow_sklearn.worker.training.percentiles import score_percentiles

if TYPE_CHECKING:
    from airflow_sklearn.contract.jobs import TrainJob
    from airflow_sklearn.contract.schema import Target
    from airflow_sklearn.storage import Storage
    from airflow_sklearn.worker.training.fitting import Fitted
    from airflow_sklearn.worker.training.loading import TrainingData


def store_parts(job: TrainJob, storage: Storage, data: TrainingData, fitted: Fitted) -> ModelManifest:
    """Store the artifact, the parity sample and the out-of-sample scores.

    :return: the manifest, which is not stored yet. ``sklearn_config``, ``warnings`` and the peak memory are missing.
    :raises UserError: the estimator cannot be stored, or cannot predict.
    """
    target = _target(fitted.estimator, data)
    estimator, described = describe(job, storage, fitted.estimator, data, target, fit_seconds=fitted.seconds)
    validated = fitted.validated[0] if fitted.validated else None
    validation = validated and validated.validation
    folder = version_folder(job.model, job.version)
    metrics = store_metrics(job, storage, folder, fitted.validated) if fitted.validated else None
    out_of_sample = validated and store_out_of_sample(
        storage,
        folder,
        validated=validated,
        key=job.primary_key,
        target=target,
        estimator=estimator,
    )
    return ModelManifest(
        source=TrainingSource(
            files=job.source,
            objects=job.objects,
            rows_read=data.rows_read,
            rows_used=data.table.num_rows,
            snapshot=job.snapshot,
        ),
        metrics=validation.metrics if validation else {},
        metrics_std=validation.deviations if validation else {},
        metrics_object=metrics,
        out_of_sample=out_of_sample,
        score_percentiles=score_percentiles(estimator, target, validation) if validation else {},
        **described,
        **job.recorded(),
    )


def _target(estimator: Any, data: TrainingData) -> Target:
    """The description of what the fitted estimator predicts."""
    if not data.targets:
        return untargeted(task_of(estimator) or "transformation")
    one = data.targets[0]
    classes = [_plain(value) for value in estimator.classes_] if one.has_classes else []
    return learn_target(data.table[one.name], one.name, one.has_classes, classes)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
