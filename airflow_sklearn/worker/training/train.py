"""The train job: reads one table, fits one estimator, and writes one manifest."""

from __future__ import annotations

import logging
import time
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from airflow_sklearn.contract.faults import counted
from airflow_sklearn.contract.model import ModelManifest, Performance, TrainingSource
from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.contract.schema import Column, FeatureSchema
from airflow_sklearn.contract.shown import shown_warning
from airflow_sklearn.exceptions import ObjectNotFoundError
from airflow_sklearn.models.arrow_types import parse_type
from airflow_sklearn.models.columns import contiguous, numbers
from airflow_sklearn.models.dtypes import pandas_index
from airflow_sklearn.models.factories import with_preprocessing
from airflow_sklearn.models.fitting import fit
from airflow_sklearn.models.frames import accepts_arrow, to_frame
from airflow_sklearn.models.outputs import shortest_row, usable_outputs
from airflow_sklearn.models.schema import learn_features, learn_target, read_columns, target_values
from airflow_sklearn.models.validation import Validation, cross_validate
from airflow_sklearn.runs.model_store import make_latest, store_version, version_folder
from airflow_sklearn.system.cgroup import image_with_digest
from airflow_sklearn.system.memory import PeakMemory
from airflow_sklearn.system.sklearn_config import changed_config, configured
from airflow_sklearn.system.software import record_versions
from airflow_sklearn.system.threads import users_code
from airflow_sklearn.worker.artifact import store_estimator
from airflow_sklearn.worker.batches import Batches, learn_batches
from airflow_sklearn.worker.data.columns import folder_values
from airflow_sklearn.worker.data.convert import convert
from airflow_sklearn.worker.data.doubts import warn_of_null_labels, warn_of_numbers_in_text
from airflow_sklearn.worker.data.training import read_table
from airflow_sklearn.worker.data.types import is_nested, null_count
from airflow_sklearn.worker.parity import choose_rows, make_sample, rows_of, store_sample
from airflow_sklearn.worker.predictor import Predictor
from airflow_sklearn.worker.training.estimators import make_estimator
from airflow_sklearn.worker.training.learned_from import tell_what_is_learned_from
from airflow_sklearn.worker.training.out_of_sample import store_out_of_sample
from airflow_sklearn.worker.training.search import search_containers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.contract.jobs import TrainJob
    from airflow_sklearn.contract.schema import Feature, OutputColumn
    from airflow_sklearn.storage import Storage

_LOG = logging.getLogger("airflow_sklearn.worker")


@dataclass
class _TrainingData:
    table: pa.Table  # rows with a target
    output_columns: Mapping[str, pa.DataType]
    features: tuple[Feature, ...]
    y: np.ndarray
    sample_weight: np.ndarray | None
    rows_read: int


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
        data = _load(job, storage, estimator)
        frame = to_frame(data.table, data.features)
        classifier = is_classifier(estimator)
        with search_containers(job, estimator), users_code():
            validation = _validate(job, estimator, frame, data)
            started = time.monotonic()
            fit(estimator, frame, data.y, data.sample_weight)
            fit_seconds = time.monotonic() - started
        _LOG.info("Fitted %s in %.1f s", type(estimator).__name__, fit_seconds)
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
            batches = learn_batches(estimator, rows, data.features, by_method, fit_seconds=fit_seconds)
            sample = make_sample(estimator, sample, schema, outputs, batches)
            rate = _predict_rate(estimator, data.table, schema, by_method[methods[0]], batches, shortest_row(rows))
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
    for warning in caught:
        _LOG.warning("%s: %s", warning.category.__name__, shown_warning(warning))
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
        sklearn_config=config,
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
        performance=Performance(fit_seconds=fit_seconds, predict_rows_per_second=rate, peak_memory_bytes=memory.bytes),
        warnings=tuple(dict.fromkeys(f"{w.category.__name__}: {shown_warning(w)}" for w in caught)),
        versions=record_versions(estimator, image_with_digest(job.image)),
        **job.recorded(),
    )


def _load(job: TrainJob, storage: Storage, estimator: Any) -> _TrainingData:
    problems = ProblemCollector()
    _check_unloaded(job, problems)
    problems.raise_if_any("The training data cannot be learned from:")
    named = {"target": (job.target,), "primary_key": job.primary_key, "excluded_columns": job.excluded_columns}
    named["sample_weight"] = (job.sample_weight,) if job.sample_weight else ()
    exclude = set(job.excluded_columns) - {job.target, *job.primary_key, job.sample_weight}
    classifier = is_classifier(estimator)
    read = read_table(
        storage,
        job.source,
        job.objects,
        exclude=exclude,
        expected=named,
        keys=job.primary_key,
        labels=(job.target,) if classifier else (),
        problems=problems,
    )
    table = read.table
    problems.raise_if_any("The training data cannot be read:")
    sizes = [counted(table.num_rows, "row"), counted(table.num_columns, "column"), counted(len(job.objects), "object")]
    _LOG.info("Read %s, %s from %s", *sizes)
    _check_snapshot(job, table, problems)
    _check_columns(job, table, problems)
    problems.raise_if_any("The training table is not what the task asks for:")
    rows_read = table.num_rows
    has_target = pc.invert(pc.is_null(table[job.target], nan_is_null=True))
    if (dropped := rows_read - pc.sum(has_target).as_py()) if rows_read else 0:
        warnings.warn(
            f"{dropped:,} of {rows_read:,} rows have no target ({job.target!r} is null) and are left out. In CSV, an "
            "empty value is null, and NA and the like among numbers; null_values says it otherwise.",
            stacklevel=1,
        )
        table = table.filter(has_target)
    _check_rows(job, table, problems)
    problems.raise_if_any("The training table cannot be learned from:")
    not_features = {job.target, *job.primary_key, *job.excluded_columns, job.sample_weight}
    if index := [
        name for name in pandas_index(table.schema) if name in table.column_names and name not in not_features
    ]:
        not_features.update(index)
        warnings.warn(
            f"The columns {index} are the index of the pandas frame that was written, and are not learned from. To "
            "learn from them, write the frame after reset_index().",
            stacklevel=2,
        )
    _warn_of_folders(job, table.column_names)
    names = [name for name in table.column_names if name not in not_features]
    weight = numbers(table[job.sample_weight]) if job.sample_weight else None
    y = target_values(table[job.target], job.target, classifier)
    if classifier:
        warn_of_null_labels(table[job.target], job.target)
    warn_of_numbers_in_text(table.select([name for name in names if name not in job.source.types]))
    features = learn_features(table.select(names), as_pandas=not accepts_arrow(estimator))
    unused = dict.fromkeys(index, "the index of a pandas frame") | dict.fromkeys(job.excluded_columns, "excluded")
    tell_what_is_learned_from(features, table, key=job.primary_key, unused=unused)
    return _TrainingData(table, read.output_columns, features, y, weight, rows_read)


def _warn_of_folders(job: TrainJob, columns: Sequence[str]) -> None:
    """Warn about folders named ``column=value`` that are not read as columns, though other readers would do so."""
    if job.source.hive_partitions:
        return
    values: dict[str, set[str | None]] = {}
    for obj in job.objects:
        for name, value in folder_values(obj.uri).items():
            values.setdefault(name, set()).add(value)
    if left_out := [name for name, found in values.items() if len(found) > 1 and name not in columns]:
        warnings.warn(
            f"The folders have values of {left_out} in their names, which are not learned from. Say "
            "Dataset(..., hive_partitions=True) to have them as columns.",
            stacklevel=2,
        )


def _check_unloaded(job: TrainJob, problems: ProblemCollector) -> None:
    """Refuse a snapshot without rows. A database writes no files for it, so that there are no columns to check."""
    if job.snapshot and not job.snapshot.rows:
        problems.add(
            "too_few_rows", "the query gave no rows", fix=f"check the table, and this query: {job.snapshot.query}"
        )


def _check_snapshot(job: TrainJob, table: pa.Table, problems: ProblemCollector) -> None:
    if job.snapshot and table.num_rows != job.snapshot.rows:
        problems.add(
            "changed_snapshot",
            f"the files hold {table.num_rows:,} rows, but {job.snapshot.rows:,} were unloaded into them "
            f"({job.snapshot.manifest_uri})",
            fix="somebody changed these files. Clear this task, so that the table is unloaded again.",
        )


def _check_columns(job: TrainJob, table: pa.Table, problems: ProblemCollector) -> None:
    roles = (job.target, *job.primary_key, *job.excluded_columns, job.sample_weight)
    if not set(table.column_names) - set(roles):
        problems.add(
            "no_features",
            "no column is left to learn from: each is the target, in the primary key, a weight or excluded",
            fix="exclude fewer columns, or read a source with more.",
        )
    for name in job.primary_key:
        if is_nested(kind := _value_type(table[name].type)):
            problems.add(
                "wrong_type",
                f"a primary key cannot be of type {kind}",
                column=name,
                fix="name columns of numbers, strings, dates or bytes.",
            )
    if job.target in (*job.primary_key, *job.excluded_columns, job.sample_weight):
        problems.add(
            "conflicting_roles", "the target is named in another role as well", column=job.target, fix="name it once."
        )


def _check_rows(job: TrainJob, table: pa.Table, problems: ProblemCollector) -> None:
    if table.num_rows < 2:
        problems.add(
            "too_few_rows",
            f"{table.num_rows} rows with a target; at least 2 are needed",
            column=job.target,
            fix="check the source.",
        )
    for name in job.primary_key:
        if nulls := null_count(table[name]):
            problems.add(
                "null_key",
                "rows without a primary key",
                column=name,
                count=nulls,
                fix="give every row a key. In CSV, an empty value is null, and NA and the like among numbers; "
                "null_values says it otherwise.",
            )
    if job.primary_key and job.policies.duplicate_keys == "error":
        repeated, times = _repeated_keys(table.select(list(job.primary_key)))
        if times:
            examples = [", ".join(map(str, row.values())) for row in repeated.slice(0, 5).to_pylist()]
            problems.add(
                "duplicate_key",
                "rows whose primary key occurred before",
                column=", ".join(job.primary_key),
                count=sum(times) - len(times),
                examples=examples,
                fix="remove them or choose a key that is unique; policies={'duplicate_keys': 'count'} lets them pass.",
            )
    if job.sample_weight:
        _check_weight(job.sample_weight, table[job.sample_weight], problems)


def _repeated_keys(keys: pa.Table) -> tuple[pa.Table, list[int]]:
    """The keys that occur more than once, each once, and how often each occurs."""
    by_place = keys.rename_columns([str(place) for place in range(keys.num_columns)])  # the columns may have any names
    groups = by_place.group_by(by_place.column_names).aggregate([([], "count_all")])
    groups = groups.filter(pc.greater(groups["count_all"], 1))
    return groups.select(by_place.column_names).rename_columns(keys.column_names), groups["count_all"].to_pylist()


def _check_weight(name: str, column: pa.ChunkedArray, problems: ProblemCollector) -> None:
    kind = _value_type(column.type)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        problems.add(
            "wrong_type", f"sample weights must be numbers, not {kind}", column=name, fix="name a numeric column."
        )
        return
    values = column.cast(pa.float64())
    bad = pc.sum(pc.or_kleene(pc.fill_null(pc.less(values, 0), True), pc.is_nan(pc.fill_null(values, 0)))).as_py() or 0
    if bad:
        problems.add(
            "bad_weight",
            "sample weights that are null or negative",
            column=name,
            count=bad,
            fix="correct them in the source, or leave these rows out of it.",
        )


def _validate(job: TrainJob, estimator: Any, frame: Any, data: _TrainingData) -> Validation | None:
    if not job.cross_validation:
        return None
    started = time.monotonic()
    found = cross_validate(estimator, frame, data.y, folds=job.cross_validation, sample_weight=data.sample_weight)
    shown = ", ".join(f"{name} {value:.4f}" for name, value in found.metrics.items() if value is not None)
    _LOG.info("%d-fold cross-validation in %.1f s: %s", job.cross_validation, time.monotonic() - started, shown)
    return found


def _predict_rate(
    estimator: Any,
    table: pa.Table,
    schema: FeatureSchema,
    outputs: Sequence[OutputColumn],
    batches: Batches,
    filler: pa.Table,
) -> float:
    """Predicted rows per second of one process, without reading and writing."""
    pad = batches.shape == "fixed"
    predictor = Predictor(estimator, schema.features, outputs, batches.rows, pad=pad, filler=filler if pad else None)
    columns = [
        convert(
            contiguous(table[name].slice(0, batches.rows)),
            pa.dictionary(pa.int32(), pa.string()) if dictionary else parse_type(kind),
        ).values
        for name, kind, dictionary in read_columns(schema)
    ]
    batch = pa.table(columns, names=list(schema.feature_names))
    started = time.perf_counter()
    predictor(batch)
    return (batches.rows if pad else batch.num_rows) / (time.perf_counter() - started)


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _output_type(kind: pa.DataType) -> str:
    """The type that a column has in an output; where training saw no value, text can hold whatever comes."""
    return "string" if pa.types.is_null(kind) else str(_value_type(kind))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _class_name(estimator: Any) -> str:
    final = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    return f"{type(final).__module__.split('._')[0]}.{type(final).__qualname__}"
