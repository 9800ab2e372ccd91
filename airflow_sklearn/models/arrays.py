"""The arrays inside of a fitted pipeline, made in the batches of prediction."""

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
from airflow_sklearn.models.inspection import unwrapped
from airflow_sklearn.models.outputs import fitting_filler, fixed_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_sklearn.contract.schema import Feature


def final_input(
    estimator: Any, table: pa.Table, features: Sequence[Feature], batch_rows: int, filler: pa.Table | None = None
) -> Any:
    """What the last step of a pipeline gets for some rows; of another estimator, what it gets itself.

    :param estimator: a fitted estimator. Searches and thresholds around a pipeline are looked into.

    The other parameters, and the result, are those of ``in_batches``.
    """
    inner = unwrapped(estimator)
    steps = inner[:-1] if isinstance(inner, Pipeline) and len(inner.steps) > 1 else None

    def make(X: Any) -> Any:
        if steps is None:
            return X.to_pandas() if isinstance(X, pa.Table) else X
        with asking(inner, "transform"):
            return steps.transform(X)

    return in_batches(inner, table, features, batch_rows, filler, make)


def in_batches(
    estimator: Any,
    table: pa.Table,
    features: Sequence[Feature],
    batch_rows: int,
    filler: pa.Table | None,
    make: Callable[[Any], Any],
) -> Any:
    """Make an array of a table in batches, so that a row's bits do not depend on the other rows.

    :param estimator: decides whether ``make`` gets Arrow tables or DataFrames.
    :param table: rows as prediction reads them, with at least the features.
    :param features: the features of the feature schema.
    :param batch_rows: the rows of a batch.
    :param filler: the row that fills up batches of a fixed shape; None: batches may have any shape.
    :param make: takes the estimator's input of shape (rows, features), and gives as many rows.
    :return: an array, a sparse matrix or a DataFrame, of shape (rows, columns).
    """
    table = table.select([feature.name for feature in features])
    groups = [] if accepts_arrow(estimator) else same_dtypes(table, features)
    if len(groups) > 1:
        parts = [in_batches(estimator, table.take(pa.array(g)), features, batch_rows, filler, make) for g in groups]
        order, joined = np.argsort(np.concatenate(groups)), _joined(parts)
        return joined.iloc[order].reset_index(drop=True) if isinstance(joined, pd.DataFrame) else joined[order]
    filler = fitting_filler(estimator, table, features, filler)
    batches = []
    for start in range(0, max(table.num_rows, 1), batch_rows):
        rows = table.slice(start, batch_rows)
        shaped = fixed_shape(rows, batch_rows, filler) if filler is not None and rows.num_rows else rows
        batches.append(make(estimator_input(estimator, shaped, features))[: rows.num_rows])
    return _joined(batches)


def _joined(batches: Sequence[Any]) -> Any:
    if sparse.issparse(batches[0]):
        return sparse.vstack(batches, format="csr")
    if isinstance(batches[0], pd.DataFrame):
        return pd.concat(batches, ignore_index=True)
    return np.concatenate([np.asarray(batch) for batch in batches])
