"""Computing the metrics of a version from its out-of-sample rows, and storing them as a document."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from airflow_sklearn.contract.metrics import ModelMetrics
from airflow_sklearn.contract.model import StoredObject
from airflow_sklearn.contract.validation import GroupFolds
from airflow_sklearn.models.columns import decoded
from airflow_sklearn.models.metrics.intervals import CONFIDENCE, interval_method
from airflow_sklearn.models.metrics.report import target_metrics
from airflow_sklearn.models.metrics.scored import Scored, scored_classes, scored_numbers
from airflow_sklearn.storage import join
from airflow_sklearn.worker.training.out_of_sample import FOLDER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.jobs import TrainJob
    from airflow_sklearn.contract.schema import Scalar
    from airflow_sklearn.storage import Storage
    from airflow_sklearn.worker.training.fitting import Validated


def store_metrics(job: TrainJob, storage: Storage, folder: str, validated: Sequence[Validated]) -> StoredObject:
    """Store the metrics of all targets in ``folder``. The object's name contains its digest."""
    groups = job.validation.column if isinstance(job.validation, GroupFolds) else None
    document = ModelMetrics(
        model=job.model,
        version=job.version,
        folds=job.cross_validation,
        validation=job.validation,
        confidence=CONFIDENCE,
        interval_method=interval_method(groups is not None),
        targets=tuple(
            target_metrics(
                replace(_scored(one), groups=_segments(one, groups)[0] if groups else None),
                target=one.target.name,
                labels=one.validation.classes,
                weighted=one.weight is not None,
                segments={name: _segments(one, name) for name in job.metrics_by},
                table=join(folder, FOLDER),
            )
            for one in validated
        ),
    )
    data = document.to_json()
    digest = hashlib.sha256(data).hexdigest()
    stored = StoredObject(uri=join(folder, f"metrics-{digest[:16]}.json"), sha256=digest, size=len(data))
    storage.write(stored.uri, data)
    return stored


def _scored(one: Validated) -> Scored:
    found = one.validation
    y = one.target.y[found.rows]
    if not one.target.has_classes:
        return scored_numbers(y, found.answers, one.weight)
    probabilities = found.answers if found.method == "predict_proba" else None
    return scored_classes(
        y,
        found.labels,
        found.classes,
        scores=found.decisions if probabilities is None else probabilities,
        is_probability=probabilities is not None,
        weight=one.weight,
    )


def _segments(one: Validated, column: str) -> tuple[np.ndarray, list[Scalar]]:
    """For each scored row the number of its value in a column, and the values."""
    values = decoded(one.table[column]).take(pa.array(one.scored_rows)).combine_chunks()
    encoded = values.dictionary_encode(null_encoding="encode")
    return encoded.indices.to_numpy(), [_scalar(value) for value in encoded.dictionary.to_pylist()]


def _scalar(value: Any) -> Scalar:
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
