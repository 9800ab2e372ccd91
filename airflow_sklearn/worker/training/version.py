"""Storing the parts of a model's version, and describing them in its manifest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from airflow_sklearn.contract.model import ModelManifest, Performance, TrainingSource
from airflow_sklearn.contract.schema import Column, FeatureSchema
from airflow_sklearn.models.outputs import shortest_row, usable_outputs
from airflow_sklearn.models.schema import learn_target
from airflow_sklearn.runs.model_store import version_folder
from airflow_sklearn.system.cgroup import image_with_digest
from airflow_sklearn.system.software import record_versions
from airflow_sklearn.system.threads import users_code
from airflow_sklearn.worker.artifact import store_estimator
from airflow_sklearn.worker.batches import learn_batches
from airflow_sklearn.worker.parity import choose_rows, make_sample, rows_of, store_sample
from airflow_sklearn.worker.training.checks import value_type
from airflow_sklearn.worker.training.measure import predict_rate
from airflow_sklearn.worker.training.out_of_sample import store_out_of_sample

if TYPE_CHECKING:
    from airflow_sklearn.contract.jobs import TrainJob
    from airflow_sklearn.storage import Storage
    from airflow_sklearn.worker.training.fitting import Fitted
    from airflow_sklearn.worker.training.loading import TrainingData


def store_parts(job: TrainJob, storage: Storage, data: TrainingData, fitted: Fitted) -> ModelManifest:
    """Store the artifact, the parity sample and the out-of-sample scores.

    :return: the manifest, which is not stored yet. ``sklearn_config``, ``warnings`` and the peak memory are missing:
        they are known when this function has returned.
    :raises UserError: the estimator cannot be stored, or cannot predict.
    """
    estimator, validation = fitted.estimator, fitted.validation
    classifier = is_classifier(estimator)
    folder = version_folder(job.model, job.version)
    artifact, estimator = store_estimator(storage, estimator, folder)
    classes = [_plain(value) for value in estimator.classes_] if classifier else []
    target = learn_target(data.table[job.target], job.target, classifier, classes)
    types = {name: _output_type(kind) for name, kind in data.output_columns.items()}
    schema = FeatureSchema(
        features=data.features,
        targets=(target,),
        primary_key=tuple(Column(name=name, arrow_type=types[name]) for name in job.primary_key),
        policies=job.policies,
    )
    sample = choose_rows(data.table, schema)
    rows = rows_of(sample, schema)
    with users_code():
        by_method = usable_outputs(estimator, target, rows, data.features)
        methods, outputs = tuple(by_method), [output for outputs in by_method.values() for output in outputs]
        batches = learn_batches(estimator, rows, data.features, by_method, fit_seconds=fitted.seconds)
        sample = make_sample(estimator, sample, schema, outputs, batches)
        rate = predict_rate(estimator, data.table, schema, by_method[methods[0]], batches, shortest_row(rows))
    sample, stored_sample = store_sample(storage, sample, folder)
    out_of_sample = validation and store_out_of_sample(
        storage,
        folder,
        table=data.table,
        key=job.primary_key,
        target=target,
        estimator=estimator,
        validation=validation,
    )
    return ModelManifest(
        model=job.model,
        version=job.version,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        estimator=job.estimator,
        estimator_class=_class_name(estimator),
        artifact=artifact,
        feature_schema=schema,
        methods=methods,
        batch_rows=batches.rows,
        batch_shape=batches.shape,
        parity=sample,
        parity_object=stored_sample,
        source=TrainingSource(
            files=job.source,
            objects=job.objects,
            rows_read=data.rows_read,
            rows_used=data.table.num_rows,
            snapshot=job.snapshot,
        ),
        columns=tuple(Column(name=name, arrow_type=kind) for name, kind in types.items()),
        metrics=validation.metrics if validation else {},
        metrics_std=validation.deviations if validation else {},
        out_of_sample=out_of_sample,
        performance=Performance(fit_seconds=fitted.seconds, predict_rows_per_second=rate, peak_memory_bytes=0),
        versions=record_versions(estimator, image_with_digest(job.image)),
        **job.recorded(),
    )


def _output_type(kind: pa.DataType) -> str:
    """The type that a column has in an output; where training saw no value, text can hold whatever comes."""
    return "string" if pa.types.is_null(kind) else str(value_type(kind))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _class_name(estimator: Any) -> str:
    final = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    return f"{type(final).__module__.split('._')[0]}.{type(final).__qualname__}"
