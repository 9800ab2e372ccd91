"""Out-of-sample scores, as files beside the model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from airflow_sklearn.contract.arrow_type_names import portable_type
from airflow_sklearn.contract.model import OutOfSample
from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.contract.receipt import KeyHash, OutputPart
from airflow_sklearn.contract.schema import Column
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.outputs import output_columns, to_arrow
from airflow_sklearn.storage import join
from airflow_sklearn.system.scratch import scratch_folder
from airflow_sklearn.worker.artifact import file_sha256
from airflow_sklearn.worker.data.output_types import OutputTypes
from airflow_sklearn.worker.data.sinks import open_sink
from airflow_sklearn.worker.key_hash import hash_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from airflow_sklearn.contract.schema import Target
    from airflow_sklearn.models.validation import Validation
    from airflow_sklearn.storage import Storage
    from airflow_sklearn.worker.training.fitting import Validated

FOLDER = "out_of_sample"
FOLD = "fold"

_BATCH_ROWS = 1 << 17
_PART_ROWS = 1 << 22  # the most rows in a file


def store_out_of_sample(
    storage: Storage, folder: str, *, validated: Validated, key: Sequence[str], target: Target, estimator: Any
) -> OutOfSample:
    """Store the scores of each validated row: key, target, fold, predictions.

    :param storage: where to store them.
    :param folder: the URI of the folder of the model's version.
    :param validated: the scored rows, in the source's order.
    :param key: the primary key's columns.
    :param target: the target.
    :param estimator: fitted on all rows. It names the columns, as for new rows.
    :raises UserError: the estimator has other classes than the folds had.
    :raises DataError: a key or a target does not fit into a portable type.
    """
    validation = validated.validation
    if validation.classes != target.classes:
        raise UserError(
            f"The model knows the classes {list(target.classes)}, its folds knew {list(validation.classes)}: "
            "out-of-sample scores have no columns. Use an estimator that keeps all classes, or cross_validation=0."
        )
    table, scored = validated.table, validated.scored_rows
    table = table.select([*key, target.name])
    if len(scored) < table.num_rows:
        table = table.take(pa.array(scored))
    writer = _Writer(table, key, target, estimator, validation)
    parts = []
    with scratch_folder() as scratch:
        path = os.path.join(scratch, "part.parquet")
        for start in range(0, table.num_rows, _PART_ROWS):
            rows = min(_PART_ROWS, table.num_rows - start)
            with open_sink(path, writer.schema, "parquet") as sink:
                for batch in writer.batches(start, rows):
                    sink.write(batch)
            sha256 = file_sha256(path)
            uri = join(folder, FOLDER, f"{sha256}.parquet")
            etag = storage.upload(path, uri)
            parts.append(OutputPart(uri=uri, sha256=sha256, size=os.path.getsize(path), rows=rows, etag=etag))
    return OutOfSample(
        parts=tuple(parts),
        columns=tuple(Column(name=field.name, arrow_type=str(field.type)) for field in writer.schema),
        rows=table.num_rows,
        key_hash=KeyHash(value=writer.key_sum),
        method=validation.method,
    )


class _Writer:
    """Makes the rows batch by batch, so that the table is in memory only once."""

    def __init__(
        self, table: pa.Table, key: Sequence[str], target: Target, estimator: Any, validation: Validation
    ) -> None:
        self._table, self._key, self._validation = table, list(key), validation
        self._outputs = output_columns(estimator, target, validation.method)
        if validation.decisions is not None:
            self._outputs += output_columns(estimator, target, "decision_function")
        names = self._table.column_names
        for name in (FOLD, *(output.name for output in self._outputs)):
            names.append(_free_name(name, names))
        found = dict(zip(names, (values.type for values in self._columns(0, 0)), strict=True))
        portable = {name: portable_type(str(kind)) for name, kind in found.items()}
        self._types = OutputTypes({name: kind for name, kind in portable.items() if kind is not None}, found)
        self.schema = pa.schema([(name, self._types.of(name, kind)) for name, kind in found.items()])
        self.key_sum = 0

    def batches(self, start: int, rows: int) -> Iterator[pa.Table]:
        problems = ProblemCollector()
        for at in range(start, start + rows, _BATCH_ROWS):
            columns = self._columns(at, min(_BATCH_ROWS, start + rows - at))
            written = [
                self._types.convert(name, values, file="the training data", problems=problems)
                for name, values in zip(self.schema.names, columns, strict=True)
            ]
            problems.raise_if_any("The out-of-sample scores cannot be written:")
            batch = pa.table(written, schema=self.schema)
            if self._key:
                self.key_sum += int(hash_columns(batch.select(self._key)).sum(dtype=np.uint64))
                self.key_sum %= 2**64
            yield batch

    def _columns(self, start: int, rows: int) -> list[pa.ChunkedArray]:
        part = slice(start, start + rows)
        by_method = {self._validation.method: self._validation.answers[part]}
        if self._validation.decisions is not None:
            by_method["decision_function"] = self._validation.decisions[part]
        predicted = [
            by_method[output.method] if output.index is None else by_method[output.method][:, output.index]
            for output in self._outputs
        ]
        ours = [pa.array(self._validation.folds[part]), *to_arrow(predicted, self._outputs)]
        return [*self._table.slice(start, rows).columns, *(pa.chunked_array([values]) for values in ours)]


def _free_name(name: str, taken: Sequence[str]) -> str:
    """A name that no key or target has: ``fold``, or ``fold_`` if that is taken."""
    while name in taken:
        name += "_"
    return name
