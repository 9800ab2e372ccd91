"""The parity sample: training rows and their predictions, which every worker predicts again after it loads the
model.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_sklearn.contract.model import ParitySample, StoredObject, StoredParitySample
from airflow_sklearn.contract.shown import shown
from airflow_sklearn.exceptions import BrokenEnvironmentError, ObjectNotFoundError
from airflow_sklearn.models.arrow_types import parse_type
from airflow_sklearn.models.outputs import shortest_row
from airflow_sklearn.models.schema import read_columns
from airflow_sklearn.storage import join
from airflow_sklearn.system.software import processor
from airflow_sklearn.worker.batches import Batches, relative_difference
from airflow_sklearn.worker.data.convert import convert
from airflow_sklearn.worker.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.schema import Feature, FeatureSchema, OutputColumn
    from airflow_sklearn.storage import Storage

SAMPLE_ROWS = 64
#: Relative difference of a number beyond which a model is refused. Other processors' kernels move the last bits only
#: (1e-15 to 1e-12); a wrong package or a wrong array moves far more.
TOLERANCE = 1e-9
#: A share of a column's largest number. Smaller numbers are only noise, such as decision values near 0.
_SMALL = 1e-6


def choose_rows(table: pa.Table, schema: FeatureSchema) -> ParitySample:
    """Choose training rows, spread over the table, some of them with nulls. They are not predicted yet.

    :param table: the training rows, at least one, with the features' columns.
    :param schema: the feature schema.
    """
    table = table.select(schema.feature_names)
    nulls = [pc.index(pc.is_null(column), True).as_py() for column in table.columns if column.null_count]
    nulls = nulls[: SAMPLE_ROWS // 4]
    spread = np.linspace(0, table.num_rows - 1, SAMPLE_ROWS - len(nulls)).astype(int)
    sample = table.take(pa.array(np.unique([*spread, *nulls]).astype(int)))
    columns = {feature.name: _to_json(sample[feature.name], feature) for feature in schema.features}
    return ParitySample(columns=columns, processor=processor())


def rows_of(sample: ParitySample, schema: FeatureSchema) -> pa.Table:
    """The sample's rows, in the types in which a source is read."""
    return _rebuild(sample.columns, schema)


def make_sample(
    estimator: Any, rows: ParitySample, schema: FeatureSchema, outputs: Sequence[OutputColumn], batches: Batches
) -> ParitySample:
    """Predict the chosen rows by every method of the estimator.

    :param estimator: a fitted estimator.
    :param rows: the result of ``choose_rows``.
    :param schema: the feature schema.
    :param outputs: the output columns of all methods.
    :param batches: how to call the estimator.
    """
    predictions = predict_outputs(estimator, rows_of(rows, schema), schema, outputs, batches)
    return rows.model_copy(update={"outputs": tuple(outputs), "predictions": predictions})


def filler_of(manifest: ModelManifest) -> pa.Table | None:
    """The row with which batches of a fixed shape are filled up; None if batches may have any shape."""
    rows = rows_of(manifest.parity, manifest.feature_schema)
    return shortest_row(rows) if manifest.batch_shape == "fixed" and rows.num_rows else None


def store_sample(storage: Storage, sample: ParitySample, folder: str) -> tuple[ParitySample, StoredObject]:
    """Store a sample in ``folder``. Its name contains its digest.

    :return: the sample without rows, for the manifest; and the stored object.
    """
    data = StoredParitySample(sample=sample).to_json()
    digest = hashlib.sha256(data).hexdigest()
    stored = StoredObject(uri=join(folder, f"parity-{digest[:16]}.json"), sha256=digest, size=len(data))
    storage.write(stored.uri, data)
    return sample.model_copy(update={"columns": {}, "predictions": ()}), stored


def with_sample(storage: Storage, manifest: ModelManifest) -> ModelManifest:
    """The manifest with the rows of the parity sample, wherever they are stored.

    :raises BrokenEnvironmentError: the sample is gone, or does not have the manifest's digest.
    """
    stored = manifest.parity_object
    if stored is None:
        return manifest
    try:
        data = storage.read(stored.uri)
    except ObjectNotFoundError:
        raise BrokenEnvironmentError(
            "The model's parity sample is gone, without which nobody knows whether it predicts here what it did at "
            f"training. Fix: restore it from a backup, or clear the train task. ({stored.uri})"
        ) from None
    if (found := hashlib.sha256(data).hexdigest()) != stored.sha256:
        raise BrokenEnvironmentError(
            f"The model's parity sample has the SHA-256 {found}, but its manifest says {stored.sha256}: it was changed "
            f"or damaged after training. Fix: restore it from a backup, or train again. ({stored.uri})"
        )
    sample = StoredParitySample.from_json(data, where=stored.uri).sample
    return manifest.model_copy(update={"parity": sample, "parity_object": None})


def replay(estimator: Any, manifest: ModelManifest, outputs: Sequence[OutputColumn]) -> float:
    """Predict the parity sample again in this process.

    :param estimator: the loaded estimator.
    :param manifest: the manifest with the sample's rows.
    :param outputs: the columns that are about to be predicted. All columns of their methods are compared.
    :return: the largest relative difference of a number; 0.0 if all bits are equal.
    :raises BrokenEnvironmentError: a label differs, or a number by more than ``TOLERANCE``.
    """
    sample, schema = manifest.parity, manifest.feature_schema
    table = _rebuild(sample.columns, schema)
    asked = {(output.target, output.method) for output in outputs}
    outputs = [output for output in sample.outputs if (output.target, output.method) in asked]
    expected = [sample.predictions[sample.outputs.index(output)] for output in outputs]
    batches = Batches(manifest.batch_rows, manifest.batch_shape)
    found = predict_outputs(estimator, table, schema, outputs, batches)
    worst, faults = 0.0, []
    for output, before, now in zip(outputs, expected, found, strict=True):
        least = _SMALL * max((abs(x) for x in before if isinstance(x, float)), default=0.0)
        for row, (x, y) in enumerate(zip(before, now, strict=True)):
            difference = relative_difference(x, y, least)
            worst = max(worst, difference)
            if difference > TOLERANCE:
                faults.append(f"{output.name}, row {row}: {shown(y)} here, {shown(x)} at training")
    if faults and predict_outputs(estimator, table, schema, outputs, batches) != found:
        raise BrokenEnvironmentError(
            "The model answers randomly: asked twice for the parity sample, it gives other answers each time. Fix: "
            "train it again; training says which step draws random numbers when it predicts."
        )
    if faults:
        raise BrokenEnvironmentError(
            "The model does not predict here what it predicted at training "
            f"({len(faults)} values of the parity sample):\n"
            + "\n".join(f"  - {fault}" for fault in faults[:5])
            + f"\nThe worker has the processor {processor()!r}, training had {sample.processor!r}. "
            "Use the image that trained the model, or train again."
        )
    return worst


def predict_outputs(
    estimator: Any, table: pa.Table, schema: FeatureSchema, outputs: Sequence[OutputColumn], batches: Batches
) -> tuple[tuple[Any, ...], ...]:
    """Predict outputs of any methods, as values for JSON.

    :param estimator: a fitted estimator.
    :param table: rows as prediction reads them, at least one.
    :param outputs: the output columns.
    :param batches: how to call the estimator.
    :return: the values of each output.
    """
    pad = batches.shape == "fixed"
    filler = shortest_row(table) if pad else None
    predicted = Predictor(estimator, schema.features, outputs, batches.rows, pad=pad, filler=filler)(table)
    return tuple(tuple(_scalar(value) for value in predicted[output.name].to_pylist()) for output in outputs)


def _rebuild(columns: dict[str, tuple[Any, ...]], schema: FeatureSchema) -> pa.Table:
    """The sample's rows, in the types in which a source is read."""
    arrays = []
    for feature, (name, read_as, dictionary) in zip(schema.features, read_columns(schema), strict=True):
        kind = parse_type(feature.arrow_type)
        stored = pa.array(columns[name], _json_type(kind))
        typed = convert(stored, kind).values if pa.types.is_string(stored.type) else stored.cast(kind)
        array = convert(typed, parse_type(read_as)).values
        arrays.append(array.dictionary_encode() if dictionary else array)
    return pa.table(arrays, names=list(schema.feature_names))


def _to_json(column: pa.ChunkedArray, feature: Feature) -> tuple[Any, ...]:
    """A feature's values for JSON, not rounded. Values that are no numbers become text."""
    kind = parse_type(feature.arrow_type)
    values = column.cast(kind)
    if pa.types.is_timestamp(kind) and kind.tz:
        values = values.cast(pa.timestamp(kind.unit, "UTC"))
    values = values.cast(_json_type(kind))
    if pa.types.is_timestamp(kind):
        values = pc.replace_substring(values, " ", "T")
    return tuple(_scalar(value) for value in values.to_pylist())


def _json_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return kind
    return pa.float64() if pa.types.is_floating(kind) else pa.string()


def _scalar(value: Any) -> Any:
    """One Arrow value for JSON."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
