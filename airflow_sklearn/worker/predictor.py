"""Calling an estimator in batches of the right shape: a row gets the same bits, however the source was cut."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

import joblib
import pyarrow as pa
from threadpoolctl import ThreadpoolController

from airflow_sklearn.models.fitting import asking
from airflow_sklearn.models.outputs import predict_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.schema import Feature, OutputColumn


@functools.lru_cache(maxsize=1)
def _controller_of(modules: int) -> ThreadpoolController:
    return ThreadpoolController()


def _controller() -> ThreadpoolController:
    """The controller of the loaded numeric libraries; made again when further modules were imported."""
    return _controller_of(len(sys.modules))


class Predictor:
    """Calls a fitted estimator on batches.

    BLAS rounds a row's result differently for batches of different shapes, and threads add up in no fixed order.
    Batches of one shape, one thread in numeric libraries, and estimators without workers of their own give a row the
    same bits in every batch.

    :param features: the features, in training order.
    :param outputs: the columns to predict.
    :param batch_rows: the most rows of a batch; with ``pad`` the exact number, to which the last one is filled up.
    :param filler: the row to fill up with; None: the table's last row.
    """

    def __init__(
        self,
        estimator: Any,
        features: Sequence[Feature],
        outputs: Sequence[OutputColumn],
        batch_rows: int,
        *,
        pad: bool = False,
        filler: pa.Table | None = None,
    ) -> None:
        self.estimator, self.features, self.outputs, self.batch_rows = estimator, features, outputs, batch_rows
        self.pad, self.filler = pad, filler
        self._methods = " and ".join(dict.fromkeys(output.method for output in outputs))
        self._names = [feature.name for feature in features]
        self._threads = _controller()
        empty = pa.table({name: pa.nulls(0) for name in self._names})
        self.schema: pa.Schema = predict_table(estimator, empty, features, outputs, batch_rows).schema

    def __call__(self, table: pa.Table) -> pa.Table:
        """Predict a table.

        :param table: any number of rows, with at least the features' columns.
        :return: shape (rows, outputs).
        :raises UserError: the estimator raised, or its result has another shape.
        """
        features = table.select(self._names)
        with (
            self._threads.limit(limits=1),
            joblib.parallel_config(backend="sequential"),
            asking(self.estimator, self._methods),
        ):
            return predict_table(
                self.estimator,
                features,
                self.features,
                self.outputs,
                self.batch_rows,
                pad=self.pad,
                filler=self.filler,
            )
