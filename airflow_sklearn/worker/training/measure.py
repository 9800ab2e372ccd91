"""Measuring how fast a fitted model predicts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_sklearn.worker.as_read import as_read
from airflow_sklearn.worker.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

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
    batch = as_read(table.slice(0, batches.rows), schema)
    started = time.perf_counter()
    predictor(batch)
    return (batches.rows if pad else batch.num_rows) / (time.perf_counter() - started)
