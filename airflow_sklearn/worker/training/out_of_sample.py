"""Out-of-sample scores, as files beside the model."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_sklearn.contract.arrow_type_names import portable_type
from airflow_sklearn.contract.model import OutOfSample
from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.contract.receipt import KeyHash, OutputPart
from airflow_sklearn.contract.schema import Column
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.outputs import to_arrow
from airflow_sklearn.storage import join
from airflow_sklearn.system.scratch import scratch_folder
from airflow_sklearn.worker.artifact import file_sha256
from airflow_sklearn.worker.data.output_types import OutputTypes
from airflow_sklearn.worker.data.sinks import open_sink
from airflow_sklearn.worker.key_hash import hash_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_sklearn.contract.schema import Method, OutputColumn, Target
    from airflow_sklearn.storage import Storage
    from airflow_sklearn.worker.training.fitting import Validated

FOLDER = "out_of_sample"
FOLD = "fold"

_BATCH_ROWS = 1 << 17
_PART_ROWS = 1 << 22  # the most rows in a file


@dataclass(frozen=True)
class ScoredTarget:
    """The out-of-sample scores of a target.

    :param target: the target.
    :param validated: the scored rows.
    :param outputs: the output columns of the model by method, which name those of the scores.
    """

    target: Target
    validated: Validated
    outputs: Mapping[Method, tuple[OutputColumn, ...]]

    @property
    def answers(self) -> dict[Method, np.ndarray]:
        """The scores by method, of shape (scored,) or (scored, columns)."""
        validation = self.validated.validation
        found: dict[Method, np.ndarray] = {validation.method: validation.answers}
        if validation.decisions is not None:
            found["decision_function"] = validation.decisions
        return found


def store_out_of_sample(
    storage: Storage, folder: str, *, scored: Sequence[ScoredTarget], key: Sequence[str]
) -> OutOfSample:
    """Store the scores of each row that is scored for any target: key; for each target its value, fold, predictions.

    :param storage: where to store them.
    :param folder: the URI of the folder of the model's version.
    :param scored: the targets with their scored rows, all of one table.
    :param key: the primary key's columns.
    :raises UserError: an estimator has other classes than its folds had.
    :raises DataError: a key or a target does not fit into a portable type.
    """
    for one in scored:
        if one.validated.validation.classes != one.target.classes:
            raise UserError(
                f"The model knows the classes {list(one.target.classes)}, its folds knew "
                f"{list(one.validated.validation.classes)}: out-of-sample scores have no columns. Use an estimator "
                "that keeps all classes, or cross_validation=0."
            )
    numbers = functools.reduce(np.union1d, [one.validated.scored_rows for one in scored])
    table = scored[0].validated.table.select([*key, *(one.target.name for one in scored)])
    if len(numbers) < table.num_rows:
        table = table.take(pa.array(numbers))
    writer = _Writer(table, key, scored, numbers)
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
        method=scored[0].validated.validation.method,
    )


class _Writer:
    """Makes the rows batch by batch, so that the table is in memory only once."""

    def __init__(self, table: pa.Table, key: Sequence[str], scored: Sequence[ScoredTarget], rows: np.ndarray) -> None:
        self._table, self._key, self._scored, self._rows = table, list(key), scored, rows
        names = list(self._key)
        for one in scored:
            fold = FOLD if len(scored) == 1 else f"{FOLD}_{one.target.name}"
            taken = [*table.column_names, *names]
            names += [one.target.name, _free_name(fold, taken)]
            for method in one.answers:
                for output in one.outputs.get(method, ()):
                    names.append(_free_name(output.name, [*table.column_names, *names]))
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
        part = self._table.slice(start, rows)
        columns = list(part.select(self._key).columns)
        for one in self._scored:
            columns.append(part[one.target.name])
            columns += [pa.chunked_array([values]) for values in self._scores(one, self._rows[start : start + rows])]
        return columns

    def _scores(self, one: ScoredTarget, rows: np.ndarray) -> list[pa.Array]:
        """The fold and the predictions of some of the table's rows; null where a row is not scored."""
        there = one.validated.scored_rows
        places = np.searchsorted(there, rows)
        places[places == len(there)] = 0
        missing = there[places] != rows if len(there) else np.ones(len(rows), bool)
        found = [pa.array(one.validated.validation.folds[places])]
        for method, values in one.answers.items():
            outputs, taken = one.outputs.get(method, ()), values[places]
            found += to_arrow([taken if o.index is None else taken[:, o.index] for o in outputs], outputs)
        null = pa.array(missing)
        return [pc.if_else(null, None, values) for values in found] if missing.any() else found


def _free_name(name: str, taken: Sequence[str]) -> str:
    """A name that no key or target has: ``fold``, or ``fold_`` if that is taken."""
    while name in taken:
        name += "_"
    return name
