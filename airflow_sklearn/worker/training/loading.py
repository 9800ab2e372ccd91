"""Loading the training data of a job: the table, its features, the target and the weights."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
from sklearn.base import is_classifier

from airflow_sklearn.contract.faults import counted
from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.models.columns import numbers
from airflow_sklearn.models.dtypes import pandas_index
from airflow_sklearn.models.frames import accepts_arrow
from airflow_sklearn.models.schema import learn_features, target_values
from airflow_sklearn.worker.data.columns import folder_values
from airflow_sklearn.worker.data.doubts import warn_of_null_labels, warn_of_numbers_in_text
from airflow_sklearn.worker.data.training import read_table
from airflow_sklearn.worker.training.checks import check_columns, check_rows, check_snapshot, check_unloaded
from airflow_sklearn.worker.training.description import LearnedTable
from airflow_sklearn.worker.training.learned_from import tell_what_is_learned_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from airflow_sklearn.contract.jobs import TrainJob
    from airflow_sklearn.storage import Storage

_LOG = logging.getLogger("airflow_sklearn.worker")


@dataclass(frozen=True)
class TrainingData(LearnedTable):
    """The rows that a model is fitted on: those with a target, with all columns that were read.

    :param y: the target, of shape (rows,).
    :param sample_weight: shape (rows,); None: no weights.
    :param rows_read: the number of rows of the source.
    """

    y: np.ndarray
    sample_weight: np.ndarray | None
    rows_read: int


def load(job: TrainJob, storage: Storage, estimator: Any) -> TrainingData:
    """Read the table, check it, and learn its features. The log says what is learned from.

    :param estimator: the unfitted estimator with its preprocessing.
    :raises DataError: the table cannot be read or learned from; the error carries all problems.
    :raises UserError: no column is left to learn from, or columns cannot be features or targets.
    """
    problems = ProblemCollector()
    check_unloaded(job, problems)
    problems.raise_if_any("The training data cannot be learned from:")
    named = {"target": (job.target,), "primary_key": job.primary_key, "excluded_columns": job.excluded_columns}
    named["sample_weight"] = (job.sample_weight,) if job.sample_weight else ()
    exclude = set(job.excluded_columns) - {job.target, *job.primary_key, job.sample_weight}
    classifier = is_classifier(estimator)
    read = read_table(
        storage,
        job.source,
        job.objects,
        exclude=exclude,
        expected=named,
        keys=job.primary_key,
        labels=(job.target,) if classifier else (),
        problems=problems,
    )
    table = read.table
    problems.raise_if_any("The training data cannot be read:")
    sizes = [counted(table.num_rows, "row"), counted(table.num_columns, "column"), counted(len(job.objects), "object")]
    _LOG.info("Read %s, %s from %s", *sizes)
    check_snapshot(job, table, problems)
    check_columns(job, table, problems)
    problems.raise_if_any("The training table is not what the task asks for:")
    rows_read = table.num_rows
    has_target = pc.invert(pc.is_null(table[job.target], nan_is_null=True))
    if (dropped := rows_read - pc.sum(has_target).as_py()) if rows_read else 0:
        warnings.warn(
            f"{dropped:,} of {rows_read:,} rows have no target ({job.target!r} is null) and are left out. In CSV, an "
            "empty value is null, and NA and the like among numbers; null_values says it otherwise.",
            stacklevel=1,
        )
        table = table.filter(has_target)
    check_rows(job, table, problems)
    problems.raise_if_any("The training table cannot be learned from:")
    not_features = {job.target, *job.primary_key, *job.excluded_columns, job.sample_weight}
    if index := [
        name for name in pandas_index(table.schema) if name in table.column_names and name not in not_features
    ]:
        not_features.update(index)
        warnings.warn(
            f"The columns {index} are the index of the pandas frame that was written, and are not learned from. To "
            "learn from them, write the frame after reset_index().",
            stacklevel=2,
        )
    _warn_of_folders(job, table.column_names)
    names = [name for name in table.column_names if name not in not_features]
    weight = numbers(table[job.sample_weight]) if job.sample_weight else None
    y = target_values(table[job.target], job.target, classifier)
    if classifier:
        warn_of_null_labels(table[job.target], job.target)
    warn_of_numbers_in_text(table.select([name for name in names if name not in job.source.types]))
    features = learn_features(table.select(names), as_pandas=not accepts_arrow(estimator))
    unused = dict.fromkeys(index, "the index of a pandas frame") | dict.fromkeys(job.excluded_columns, "excluded")
    tell_what_is_learned_from(features, table, key=job.primary_key, unused=unused)
    return TrainingData(table, read.output_columns, features, y, weight, rows_read)


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
