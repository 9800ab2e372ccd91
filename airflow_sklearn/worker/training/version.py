"""Storing the parts of a model's version, and describing them in its manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_sklearn.contract.model import ModelManifest, TrainingSource
from airflow_sklearn.models.schema import learn_target
from airflow_sklearn.models.tasks import task_of, untargeted
from airflow_sklearn.runs.model_store import version_folder
from airflow_sklearn.worker.training.description import describe
from airflow_sklearn.worker.training.fitting import keeping_the_model
from airflow_sklearn.worker.training.metrics import store_metrics
from airflow_sklearn.worker.training.out_of_sample import store_out_of_sample
from airflow_sklearn.worker.training.percentiles import score_percentiles

if TYPE_CHECKING:
    from airflow_sklearn.contract.jobs import TrainJob
    from airflow_sklearn.contract.schema import Target
    from airflow_sklearn.storage import Storage
    from airflow_sklearn.worker.training.fitting import Fitted, FittedTarget
    from airflow_sklearn.worker.training.loading import TrainingData


def store_parts(job: TrainJob, storage: Storage, data: TrainingData, fitted: Fitted) -> ModelManifest:
    """Store the artifact, the parity sample and the out-of-sample scores.

    :return: the manifest, which is not stored yet. ``sklearn_config``, ``warnings`` and the peak memory are missing.
    :raises UserError: the estimator cannot be stored, or cannot predict.
    """
    one, not_made = fitted.targets[0], dict(fitted.not_made)
    target = _learned(data, one)
    estimator, described = describe(job, storage, one.estimator, data, target, fit_seconds=fitted.seconds)
    validated = one.validated
    validation = validated and validated.validation
    folder = version_folder(job.model, job.version)
    metrics = out_of_sample = None
    if validated:
        metrics = keeping_the_model("metrics", lambda: store_metrics(job, storage, folder, [validated]), not_made)
        out_of_sample = keeping_the_model(
            "out-of-sample scores",
            lambda: store_out_of_sample(
                storage, folder, validated=validated, key=job.primary_key, target=target, estimator=estimator
            ),
            not_made,
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
        not_made=not_made,
        thresholds={one.rows.name: one.threshold for one in fitted.targets if one.rows and one.threshold is not None},
        search_results=tuple(one.search_results for one in fitted.targets if one.search_results),
        out_of_sample=out_of_sample,
        score_percentiles=score_percentiles(estimator, target, validation) if validation else {},
        **described,
        **job.recorded(),
    )


def _learned(data: TrainingData, one: FittedTarget) -> Target:
    """The description of what the fitted estimator predicts."""
    if one.rows is None:
        return untargeted(task_of(one.estimator) or "transformation")
    name, has_classes = one.rows.name, one.rows.has_classes
    classes = [_plain(value) for value in one.estimator.classes_] if has_classes else []
    return learn_target(data.table[name], name, has_classes, classes)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
