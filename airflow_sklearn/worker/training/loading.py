"""Loading the training data of a job: the table, its features, the target and the weights."""

from __future__ import annotations

import functools
import logging
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.base import is_classifier

from airflow_sklearn.contract.faults import counted
from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.models.columns import decoded, kind_of, numbers
from airflow_sklearn.models.dtypes import pandas_index
from airflow_sklearn.models.fitting import FitParams
from airflow_sklearn.models.frames import accepts_arrow
from airflow_sklearn.models.schema import learn_features, target_values
from airflow_sklearn.worker.data.columns import folder_values
from airflow_sklearn.worker.data.doubts import warn_of_null_labels, warn_of_numbers_in_text
from airflow_sklearn.worker.data.training import read_table
from airflow_sklearn.worker.training.checks import check_columns, check_rows, check_snapshot, check_unloaded
from airflow_sklearn.worker.training.columns import named_columns, not_learned_from, used_columns
from airflow_sklearn.worker.training.description import LearnedTable
from airflow_sklearn.worker.training.learned_from import tell_what_is_learned_from
from airflow_sklearn.worker.training.memory import check_memory
from airflow_sklearn.worker.training.progress import ReadingProgress
from airflow_sklearn.worker.training.will_score import unfit_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.contract.jobs import TrainJob
    from airflow_sklearn.storage import Storage

_LOG = logging.getLogger("airflow_sklearn.worker")


@dataclass(frozen=True)
class TargetRows:
    """A target's values.

    :param name: the target's column.
    :param has_classes: whether the values are classes, not numbers.
    :param rows: the numbers of the table's rows that have a value, of shape (rows,).
    :param y: the values of these rows, as an estimator takes them.
    """

    name: str
    has_classes: bool
    rows: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class TrainingData(LearnedTable):
    """The rows that a model is fitted on: those with a target, with all columns that were read.

    :param targets: the targets' values.
    :param params: further parameters of ``fit``, for all rows.
    :param rows_read: the number of rows of the source.
    :param unfit: columns that are left out because of the table that will be scored, each with the reason.
    """

    targets: tuple[TargetRows, ...]
    params: FitParams
    rows_read: int
    unfit: Mapping[str, str] = field(default_factory=dict)


def load(job: TrainJob, storage: Storage, estimators: Mapping[str, Any]) -> TrainingData:
    """Read the table, check it, and learn its features. The log says what is learned from.

    :param estimators: the unfitted estimators with their preprocessing, by target.
    :raises DataError: the table cannot be read or learned from; the error carries all problems.
    :raises OutOfMemoryError: the table does not fit into memory.
    :raises UserError: no column is left to learn from, or columns cannot be features or targets.
    """
    problems = ProblemCollector()
    check_unloaded(job, problems)
    problems.raise_if_any("The training data cannot be learned from:")
    left_out = set(job.excluded_columns) - used_columns(job)
    check_memory(job, storage, left_out)
    read = read_table(
        storage,
        job.source,
        job.objects,
        exclude=left_out,
        expected=named_columns(job),
        keys=job.primary_key,
        labels=[name for name in job.targets if is_classifier(estimators[name])],
        problems=problems,
        advance=ReadingProgress(sum(obj.size for obj in job.objects)).advance,
    )
    table = read.table
    problems.raise_if_any("The training data cannot be read:")
    sizes = [counted(table.num_rows, "row"), counted(table.num_columns, "column"), counted(len(job.objects), "object")]
    _LOG.info("Read %s, %s from %s", *sizes)
    check_snapshot(job, table, problems)
    check_columns(job, table, problems)
    problems.raise_if_any("The training table is not what the task asks for:")
    rows_read = table.num_rows
    table = with_target(job.targets, table)
    check_rows(job, table, problems)
    problems.raise_if_any("The training table cannot be learned from:")
    index = _index_columns(job, table)
    _warn_of_folders(job, table.column_names)
    names = [name for name in table.column_names if name not in {*not_learned_from(job), *index}]
    targets = tuple(target_rows(table, name, is_classifier(estimators[name])) for name in job.targets)
    unfit = unfit_columns(job, storage, table, names, targets)
    names = [name for name in names if name not in unfit]
    warn_of_numbers_in_text(table.select([name for name in names if name not in job.source.types]))
    features = learn_features(table.select(names), as_pandas=not all(map(accepts_arrow, estimators.values())))
    unused = {**dict.fromkeys(index, "the index of a pandas frame"), **dict.fromkeys(job.excluded_columns, "excluded")}
    unused |= unfit
    tell_what_is_learned_from(features, table, key=job.primary_key, unused=unused)
    return TrainingData(table, read.output_columns, features, targets, fit_params(job, table), rows_read, unfit)


def fit_params(job: TrainJob, table: pa.Table, *, only_weights: bool = False) -> FitParams:
    """The further parameters of ``fit`` that a table's columns hold.

    :param only_weights: leave out all but the weights.
    """
    columns = {} if only_weights else dict(job.fit_params)
    if job.sample_weight:
        columns["sample_weight"] = job.sample_weight
    return FitParams({name: _parameter_values(table[column]) for name, column in columns.items()})


def _parameter_values(column: pa.ChunkedArray) -> np.ndarray:
    """Numbers as float64, other values as Python's objects; of shape (rows,)."""
    if kind_of(decoded(column).type) in ("numeric", "boolean"):
        return numbers(column)
    return np.array(column.to_pylist(), dtype=object)


def with_target(targets: Sequence[str], table: pa.Table) -> pa.Table:
    """The rows that have a value of a target. The others are counted in a warning."""
    if not targets:
        return table
    missing = [pc.is_null(table[name], nan_is_null=True) for name in targets]
    none = functools.reduce(pc.and_, missing)
    if dropped := pc.sum(none).as_py() or 0:
        names = " and ".join(map(repr, targets))
        warnings.warn(
            f"{dropped:,} of {table.num_rows:,} rows have no target ({names} {'is' if len(missing) == 1 else 'are'} "
            "null) and are left out. In CSV, an empty value is null, and NA and the like among numbers; null_values "
            "says it otherwise.",
            stacklevel=1,
        )
        table = table.filter(pc.invert(none))
    return table


def target_rows(table: pa.Table, name: str, has_classes: bool, *, held_out: bool = False) -> TargetRows:
    """The values of a target.

    :param table: a table with the target's column.
    :param name: the column.
    :param has_classes: whether the values are classes, not numbers.
    :param held_out: the rows are only scored, so that one class is enough.
    :raises UserError: the values are none for a model.
    """
    rows = np.flatnonzero(~pc.is_null(table[name], nan_is_null=True).to_numpy(zero_copy_only=False))
    column = table[name] if len(rows) == table.num_rows else table[name].take(pa.array(rows))
    if has_classes and not held_out:
        warn_of_null_labels(column, name)
    return TargetRows(name, has_classes, rows, target_values(column, name, has_classes, least=1 if held_out else 2))


def _index_columns(job: TrainJob, table: pa.Table) -> list[str]:
    """The columns that are the index of a pandas frame, with a warning."""
    index = [
        name for name in pandas_index(table.schema) if name in table.column_names and name not in not_learned_from(job)
    ]
    if index:
        warnings.warn(
            f"The columns {index} are the index of the pandas frame that was written, and are not learned from. To "
            "learn from them, write the frame after reset_index().",
            stacklevel=2,
        )
    return index


def _warn_of_folders(job: TrainJob, columns: Sequence[str]) -> None:
    """Warn about folders named ``column=value`` that are not read as columns, though other readers would do so."""
    if job.source.hive_partitions:
        return
    values: dict[str, set[str | None]] = {}
    for obj in job.objects:
        for name, value in folder_values(obj.uri).items():
            values.setdefault(name, set()).add(value)
    if left_out := [name for name, found in values.items() if len(found) > 1 and name not in columns]:
        warnings.warn(
            f"The folders have values of {left_out} in their names, which are not learned from. Say "
            "Dataset(..., hive_partitions=True) to have them as columns.",
            stacklevel=2,
        )
