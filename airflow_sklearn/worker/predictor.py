"""One estimator, asked in batches of the shape it needs: the same row gives the same bits however a source is cut."""

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
    """The numeric libraries that are loaded; looked for again when more modules are."""
    return _controller_of(len(sys.modules))


class Predictor:
    """Calls a fitted estimator on batches of at most, or of just, ``batch_rows`` rows.

    BLAS rounds a row's result differently by the shape of the batch it stands in, and threads add up in no fixed
    order. Batches of one shape, numeric libraries at one thread and estimators without workers of their own give a row
    the same bits in every batch.

    :param features: in training order.
    :param outputs: the columns to produce.
    :param batch_rows: rows of every call: the last one is filled to just that many, where ``pad`` says so.
    :param filler: the row to fill with. None: the last one.
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
        self._names = [feature.name for feature in features]
        self._threads = _controller()
        empty = pa.table({name: pa.nulls(0) for name in self._names})
        self.schema: pa.Schema = predict_table(estimator, empty, features, outputs, batch_rows).schema

    def __call__(self, table: pa.Table) -> pa.Table:
        """Predict.

        :param table: the features' columns at least; any number of rows.
        :return: one row a row, one column an output.
        :raises UserError: the estimator raised, or answered with another shape.
        """
        features = table.select(self._names)
        with (
            self._threads.limit(limits=1),
            joblib.parallel_config(backend="sequential"),
            asking(self.estimator, self.outputs[0].method),
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
