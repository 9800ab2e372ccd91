"""One estimator, asked in calls of one fixed shape: the same row gives the same bits however the source was cut."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import joblib
import pyarrow as pa
from threadpoolctl import threadpool_limits

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.frames import estimator_input
from airflow_sklearn.models.outputs import fixed_shape, predict_arrays, to_arrow
from airflow_sklearn.worker.data.types import parse_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.schema import Feature, OutputColumn


class Predictor:
    """Calls a fitted estimator on tables of at most ``batch_rows`` rows, padded to just that many.

    BLAS rounds a row's result differently by the shape of the batch it stands in, and threads add up in no fixed
    order. Batches of one shape, numeric libraries at one thread and estimators without workers of their own give a row
    the same bits in every batch.

    :param features: in training order.
    :param outputs: the columns to produce.
    :param batch_rows: rows of every call.
    """

    def __init__(
        self, estimator: Any, features: Sequence[Feature], outputs: Sequence[OutputColumn], batch_rows: int
    ) -> None:
        self.estimator, self.features, self.outputs, self.batch_rows = estimator, features, outputs, batch_rows
        self.schema = pa.schema([(output.name, parse_type(output.arrow_type)) for output in outputs])
        self._names = [feature.name for feature in features]

    def __call__(self, table: pa.Table) -> pa.Table:
        """Predict.

        :param table: the features' columns at least, 0 to ``batch_rows`` rows.
        :return: one row a row, one column an output.
        :raises UserError: the estimator raised, or returned another number of rows.
        """
        rows = table.num_rows
        if rows == 0:
            return self.schema.empty_table()
        padded = fixed_shape(table.select(self._names), self.batch_rows)
        with ExitStack() as stack:
            stack.enter_context(threadpool_limits(1))
            stack.enter_context(joblib.parallel_config(backend="sequential"))
            try:
                arrays = predict_arrays(
                    self.estimator, estimator_input(self.estimator, padded, self.features), self.outputs
                )
            except Exception as error:
                method = self.outputs[0].method
                raise UserError(
                    f"{type(self.estimator).__name__}.{method} raised {type(error).__name__}: {error}"
                ) from error
        wrong = {len(array) for array in arrays} - {self.batch_rows}
        if wrong:
            raise UserError(f"The estimator was given {self.batch_rows} rows and answered with {wrong.pop()}.")
        columns = [to_arrow(array[:rows], output) for array, output in zip(arrays, self.outputs, strict=True)]
        return pa.Table.from_arrays(columns, schema=self.schema)
