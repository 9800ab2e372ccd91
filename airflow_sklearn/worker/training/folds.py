"""The folds of a job's validation."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_sklearn.contract.validation import GroupFolds, HeldOutRows, TimeFolds
from airflow_sklearn.models.columns import contiguous, decoded, kind_of, microseconds, numbers
from airflow_sklearn.models.row_folds import RowFolds
from airflow_sklearn.models.splits import Split, group_folds, shuffled_folds, time_folds

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from airflow_sklearn.contract.jobs import TrainJob
    from airflow_sklearn.worker.training.loading import TargetRows


def make_folds(job: TrainJob, table: pa.Table, target: TargetRows, classifier: bool) -> list[Split]:
    """The folds of the rows of a target. The numbers of rows are those among the target's rows.

    :param table: the training table.
    :return: an empty list if there is no validation, or one on rows of another source.
    :raises UserError: there are too few rows, groups or moments, in all or of a class.
    """
    way = job.validation
    if not job.cross_validation or isinstance(way, HeldOutRows):
        return []
    if way is None:
        return shuffled_folds(target.y, job.cross_validation, classifier)
    column = table[way.column].take(target.rows)
    if isinstance(way, GroupFolds):
        return group_folds(target.y, _groups(column), way.folds, classifier, way.column)
    return time_folds(target.y, _times(column), way.folds, _gap(way), classifier, way.column)


def inner_folds(
    job: TrainJob, table: pa.Table, folds: int, classifier: bool, *, all_scored: bool = False
) -> RowFolds | None:
    """The folds within each fit, of a search or a calibration: they keep to groups or time as the validation does.

    :param table: the training table.
    :param all_scored: whether each row must be scored.
    :return: None if the validation shuffles rows, or is on rows of another source.
    """
    way = job.validation
    if isinstance(way, GroupFolds):
        return RowFolds(_groups(table[way.column]), folds, way.column, classifier)
    if isinstance(way, TimeFolds):
        return RowFolds(_times(table[way.column]), folds, way.column, classifier, _gap(way), all_scored)
    return None


def _groups(column: pa.ChunkedArray) -> np.ndarray:
    """The number of each row's group, of shape (rows,)."""
    return contiguous(decoded(column).combine_chunks().dictionary_encode().indices).to_numpy()


def _times(column: pa.ChunkedArray) -> np.ndarray:
    """Dates as microseconds since 1970, numbers as they are; of shape (rows,)."""
    return microseconds(column)[0] if kind_of(decoded(column).type) == "datetime" else numbers(column)


def _gap(way: TimeFolds) -> float:
    """The gap in the unit of ``_times``."""
    return way.gap / timedelta(microseconds=1) if isinstance(way.gap, timedelta) else way.gap or 0
