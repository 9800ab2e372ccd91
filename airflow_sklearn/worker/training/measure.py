"""Measuring how fast a fitted model predicts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airflow_sklearn.models.arrow_types import parse_type
from airflow_sklearn.models.columns import contiguous
from airflow_sklearn.models.schema import read_columns
from airflow_sklearn.worker.data.convert import convert
from airflow_sklearn.worker.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.schema import FeatureSchema, OutputColumn
    from airflow_sklearn.worker.batches import Batches


def predict_rate(
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
