"""How the predictions of a model without a target are spread over the training rows: the sizes of clusters, the scores
of outliers. Models with a target have out-of-sample scores instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from airflow_sklearn.models.columns import numbers
from airflow_sklearn.models.outputs import shortest_row
from airflow_sklearn.models.schema import quantile_bins
from airflow_sklearn.system.threads import users_code
from airflow_sklearn.worker.as_read import as_read
from airflow_sklearn.worker.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_sklearn.contract.schema import Distribution

_MOST_ROWS = 10_000
_SECONDS = 2.0  # that predicting may take
_MOST_COLUMNS = 50


def training_distributions(estimator: Any, table: pa.Table, described: Mapping[str, Any]) -> dict[str, Distribution]:
    """The bins of the predictions of at most 10,000 training rows, spread over the table, by output column.

    :param estimator: the estimator as prediction loads it.
    :param table: the training rows.
    :param described: the manifest's fields that ``describe`` has returned. Slow estimators predict fewer rows.
    """
    outputs = described["parity"].outputs[:_MOST_COLUMNS]
    schema, pad = described["feature_schema"], described["batch_shape"] == "fixed"
    affordable = int(described["performance"].predict_rows_per_second * _SECONDS)
    count = min(_MOST_ROWS, max(described["batch_rows"] if pad else 1, affordable), table.num_rows)
    chosen = np.unique(np.linspace(0, table.num_rows - 1, count).astype(int))
    rows = as_read(table.take(pa.array(chosen)), schema)
    filler = shortest_row(rows) if pad else None
    with users_code():
        predictor = Predictor(estimator, schema.features, outputs, described["batch_rows"], pad=pad, filler=filler)
        found = predictor(rows)
    spread = {}
    for output in outputs:
        if pat.is_integer(found[output.name].type) or pat.is_floating(found[output.name].type):
            values = numbers(found[output.name])
            spread[output.name] = quantile_bins(values[np.isfinite(values)])
    return {name: bins for name, bins in spread.items() if bins.edges}
