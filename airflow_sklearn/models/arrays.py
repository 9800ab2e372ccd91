"""The arrays that the last step of a fitted estimator gets, as prediction makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import sparse
from sklearn.pipeline import Pipeline

from airflow_sklearn.models.dtypes import same_dtypes
from airflow_sklearn.models.fitting import asking
from airflow_sklearn.models.frames import accepts_arrow, estimator_input
from airflow_sklearn.models.outputs import fixed_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.schema import Feature


def final_input(
    estimator: Any, table: pa.Table, features: Sequence[Feature], batch_rows: int, filler: pa.Table | None = None
) -> Any:
    """What the last step of a pipeline gets for some rows; of another estimator, what it gets itself.

    :param estimator: a fitted estimator. Searches and thresholds around a pipeline are looked into.
    :param table: rows as prediction reads them, with at least the features.
    :param features: the features of the feature schema.
    :param batch_rows: the rows of a batch.
    :param filler: the row that fills up batches of a fixed shape; None: batches may have any shape.
    :return: an array, a sparse matrix or a DataFrame, of shape (rows, columns).
    """
    inner = _pipeline_in(estimator)
    groups = [] if accepts_arrow(inner) else same_dtypes(table, features)
    if len(groups) > 1:
        parts = [final_input(inner, table.take(pa.array(rows)), features, batch_rows, filler) for rows in groups]
        order = np.argsort(np.concatenate(groups))
        joined = _joined(parts)
        return joined.iloc[order].reset_index(drop=True) if isinstance(joined, pd.DataFrame) else joined[order]
    batches = []
    for start in range(0, max(table.num_rows, 1), batch_rows):
        rows = table.slice(start, batch_rows)
        shaped = fixed_shape(rows, batch_rows, filler) if filler is not None and rows.num_rows else rows
        X = estimator_input(inner, shaped, features)
        if isinstance(inner, Pipeline) and len(inner.steps) > 1:
            with asking(inner, "transform"):
                X = inner[:-1].transform(X)
        batches.append(X[: rows.num_rows] if not isinstance(X, pa.Table) else X.slice(0, rows.num_rows).to_pandas())
    return _joined(batches)


def _pipeline_in(estimator: Any) -> Any:
    while not isinstance(estimator, Pipeline):
        inner = getattr(estimator, "best_estimator_", None) or getattr(estimator, "estimator_", None)
        if inner is None:
            return estimator
        estimator = inner
    return estimator


def _joined(batches: Sequence[Any]) -> Any:
    if sparse.issparse(batches[0]):
        return sparse.vstack(batches, format="csr")
    if isinstance(batches[0], pd.DataFrame):
        return pd.concat(batches, ignore_index=True)
    return np.concatenate([np.asarray(batch) for batch in batches])
