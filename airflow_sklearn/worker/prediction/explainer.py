"""Explaining predicted rows: columns with the features that moved a row's score most, and by how much."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from airflow_sklearn.contract.explanation import ModelExplanation, TargetExplanation
from airflow_sklearn.exceptions import BrokenEnvironmentError, ObjectNotFoundError
from airflow_sklearn.models.arrays import in_batches
from airflow_sklearn.models.fitting import asking
from airflow_sklearn.models.outputs import estimator_of
from airflow_sklearn.models.reasons import Reasons, strongest
from airflow_sklearn.system.software import threads_limited

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.schema import OutputColumn
    from airflow_sklearn.storage import Storage


def read_explanation(
    storage: Storage, manifest: ModelManifest, outputs: Sequence[OutputColumn]
) -> tuple[TargetExplanation, ...]:
    """The explanations that output columns need, compared with the manifest's digest; empty: none.

    :raises BrokenEnvironmentError: the explanation is gone, or was changed.
    """
    stored = manifest.explanation_object
    if stored is None or all(output.reason is None for output in outputs):
        return ()
    try:
        data = storage.read(stored.uri)
    except ObjectNotFoundError:
        data = b""
    if hashlib.sha256(data).hexdigest() != stored.sha256:
        raise BrokenEnvironmentError(
            f"The model's explanation is gone, or was changed after training. Fix: restore it from a backup, train "
            f"again, or predict without explain. ({stored.uri})"
        )
    return ModelExplanation.from_json(data, where=stored.uri).targets


class Explainer:
    """Makes the columns of reasons for batches of rows.

    :param estimator: the fitted estimator.
    :param manifest: the model's manifest.
    :param explanations: the result of ``read_explanation``.
    :param outputs: the columns of reasons.
    :param batch_rows: the rows of a batch.
    :param filler: the row that fills up batches of a fixed shape; None: batches may have any shape.
    """

    def __init__(
        self,
        estimator: Any,
        manifest: ModelManifest,
        explanations: Sequence[TargetExplanation],
        outputs: Sequence[OutputColumn],
        batch_rows: int,
        filler: pa.Table | None,
    ) -> None:
        self._features, self._outputs = manifest.feature_schema.features, outputs
        self._batch_rows, self._filler = batch_rows, filler
        first = manifest.feature_schema.targets[0].name
        by_target = {one.target: one for one in explanations}
        self._reasons = {
            target: Reasons(estimator_of(estimator, target), by_target[target or first])
            for target in dict.fromkeys(output.target for output in outputs)
        }
        self._estimators = {target: estimator_of(estimator, target) for target in self._reasons}
        types = {"string": pa.string(), "double": pa.float64()}
        self.schema = pa.schema([(output.name, types[output.arrow_type]) for output in outputs])

    def __call__(self, table: pa.Table) -> pa.Table:
        """The columns of reasons.

        :param table: rows with at least the features.
        :return: shape (rows, outputs).
        """
        most = max(output.reason or 0 for output in self._outputs)
        found = {target: self._strongest(target, table, most) for target in self._reasons} if table.num_rows else {}
        arrays = [self._column(output, found) for output in self._outputs]
        return pa.table(arrays, schema=self.schema)

    def _strongest(self, target: str, table: pa.Table, most: int) -> tuple[np.ndarray, np.ndarray]:
        reasons, estimator = self._reasons[target], self._estimators[target]
        with threads_limited(1), asking(estimator, "transform"):
            effects = in_batches(estimator, table, self._features, self._batch_rows, self._filler, reasons)
        return strongest(effects, min(most, len(reasons.features)))

    def _column(self, output: OutputColumn, found: dict[str, tuple[np.ndarray, np.ndarray]]) -> pa.Array:
        kind = self.schema.field(output.name).type
        if not found:
            return pa.array([], kind)
        order, effects = found[output.target]
        place = (output.reason or 1) - 1
        if place >= order.shape[1]:  # the model has fewer features
            return pa.nulls(len(order), kind)
        if output.arrow_type == "double":
            return pa.array(np.ascontiguousarray(effects[:, place]))
        names = pa.array(self._reasons[output.target].features, pa.string())
        return names.take(pa.array(np.ascontiguousarray(order[:, place])))
