"""Storing a fitted estimator, and finding out how it predicts: the same for trained and for registered models."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline

from airflow_sklearn.contract.model import Performance
from airflow_sklearn.contract.schema import Column, FeatureSchema
from airflow_sklearn.contract.shown import shown_warning
from airflow_sklearn.models.outputs import shortest_row
from airflow_sklearn.models.several_targets import outputs_of_targets
from airflow_sklearn.runs.model_store import version_folder
from airflow_sklearn.system.cgroup import image_with_digest
from airflow_sklearn.system.memory import PeakMemory
from airflow_sklearn.system.sklearn_config import configured
from airflow_sklearn.system.software import record_versions
from airflow_sklearn.system.threads import users_code
from airflow_sklearn.worker.artifact import store_estimator
from airflow_sklearn.worker.batches import learn_batches
from airflow_sklearn.worker.parity import choose_rows, make_sample, rows_of, store_sample
from airflow_sklearn.worker.training.checks import value_type
from airflow_sklearn.worker.training.measure import predict_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_sklearn.contract.jobs import VersionJob
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.schema import Feature, Target
    from airflow_sklearn.storage import Storage


_LOG = logging.getLogger("airflow_sklearn.worker")


@dataclass(frozen=True)
class LearnedTable:
    """A table, and what is known of its columns.

    :param table: the rows, with at least the features' columns and the primary key.
    :param output_columns: by column, the type in which it is copied into an output.
    :param features: the features, in the order in which the estimator takes them.
    """

    table: pa.Table
    output_columns: Mapping[str, pa.DataType]
    features: tuple[Feature, ...]


def describe(
    job: VersionJob,
    storage: Storage,
    estimator: Any,
    rows: LearnedTable,
    targets: Sequence[Target],
    *,
    fit_seconds: float,
) -> tuple[Any, dict[str, Any]]:
    """Store the artifact and the parity sample, and learn how to call the estimator.

    :param job: the job that makes the version.
    :param estimator: a fitted estimator.
    :param rows: the rows that it was fitted on, or a sample of rows as it will predict.
    :param targets: the targets. Several have a ``SeveralTargets``.
    :param fit_seconds: the seconds that fitting took; 0.0: it was fitted elsewhere.
    :return: the estimator as prediction will load it; and the manifest's fields, without those that describe the source
        and the training. The peak memory is missing.
    :raises UserError: the estimator cannot be stored, or cannot predict.
    """
    folder = version_folder(job.model, job.version)
    artifact, estimator = store_estimator(storage, estimator, folder, job.persistence, job.trusted_types)
    types = {name: _output_type(kind) for name, kind in rows.output_columns.items()}
    schema = FeatureSchema(
        features=rows.features,
        targets=tuple(targets),
        primary_key=tuple(Column(name=name, arrow_type=types[name]) for name in job.primary_key),
        policies=job.policies,
    )
    sample = choose_rows(rows.table, schema)
    read = rows_of(sample, schema)
    with users_code():
        by_method = outputs_of_targets(estimator, targets, read, rows.features)
        methods, outputs = tuple(by_method), [output for outputs in by_method.values() for output in outputs]
        batches = learn_batches(estimator, read, rows.features, by_method, fit_seconds=fit_seconds)
        sample = make_sample(estimator, sample, schema, outputs, batches)
        rate = predict_rate(estimator, rows.table, schema, by_method[methods[0]], batches, shortest_row(read))
    sample, stored_sample = store_sample(storage, sample, folder)
    return estimator, {
        "model": job.model,
        "version": job.version,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "estimator": job.estimator,
        "estimator_class": _class_name(estimator),
        "artifact": artifact,
        "feature_schema": schema,
        "methods": methods,
        "batch_rows": batches.rows,
        "batch_shape": batches.shape,
        "parity": sample,
        "parity_object": stored_sample,
        "columns": tuple(Column(name=name, arrow_type=kind) for name, kind in types.items()),
        "performance": Performance(fit_seconds=fit_seconds, predict_rows_per_second=rate, peak_memory_bytes=0),
        "versions": record_versions(estimator, image_with_digest(job.image)),
    }


def observed(make: Callable[[], ModelManifest]) -> ModelManifest:
    """Call a function that makes a manifest, and add what only an observer knows: the warnings and the peak memory.

    Settings of scikit-learn that are changed within the call are set back.
    """
    with PeakMemory() as memory, warnings.catch_warnings(record=True) as caught, configured({}):
        warnings.simplefilter("always")
        manifest = make()
    times = Counter(f"{warning.category.__name__}: {shown_warning(warning)}" for warning in caught)
    for text, count in times.items():  # the fit, and each fold, may give the same one
        _LOG.warning("%s%s", text, f" [{count:,} times]" if count > 1 else "")
    warned = tuple(times)
    performance = manifest.performance.model_copy(update={"peak_memory_bytes": memory.bytes})
    return manifest.model_copy(update={"performance": performance, "warnings": warned})


def _output_type(kind: pa.DataType) -> str:
    """The type that a column has in an output; where training saw no value, text can hold whatever comes."""
    return "string" if pa.types.is_null(kind) else str(value_type(kind))


def _class_name(estimator: Any) -> str:
    """The class that a person knows the estimator by: the last step's, without a decision threshold around it."""
    if isinstance(estimator, FixedThresholdClassifier | FrozenEstimator):
        return _class_name(estimator.estimator)
    final = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    return f"{type(final).__module__.split('._')[0]}.{type(final).__qualname__}"
