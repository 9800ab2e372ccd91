"""Folds within a fit, of a search or a calibration, that keep groups together or the past before the future."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_sklearn.models.splits import Split, group_folds, time_folds

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class RowFolds:
    """A splitter of scikit-learn that looks up the group or the time of a row by the frame's index.

    So it splits any part of the training rows, as the folds of a validation fit them.

    :param values: the number of the group, or the time, of each row of the training table, of shape (rows,).
    :param folds: the number of folds. There are fewer if there are fewer groups.
    :param column: the column of the values, for messages.
    :param classifier: whether the target has classes.
    :param gap: of times: rows of this time before a fold are not fitted on, in the unit of ``values``. None: the values
        are groups.
    :param all_scored: score each row once, as calibration needs it: of times, a model of the later rows scores the
        first block, which has no past.
    """

    values: np.ndarray
    folds: int
    column: str
    classifier: bool
    gap: float | None = None
    all_scored: bool = False

    def __deepcopy__(self, memo: Any) -> RowFolds:  # estimators are cloned often, and the values never change
        return self

    def splits(self, rows: np.ndarray, y: np.ndarray) -> list[Split]:
        """The folds of some rows; their numbers are those among these rows.

        :param rows: the rows' numbers in the training table, of shape (rows,).
        :param y: the target of these rows.
        :raises UserError: there are too few groups or moments, in all or of a class.
        """
        values = self.values[rows]
        if self.gap is None:
            folds = max(2, min(self.folds, len(np.unique(values))))
            return group_folds(y, values, folds, self.classifier, self.column)
        found = time_folds(y, values, self.folds, self.gap, self.classifier, self.column)
        if not self.all_scored:
            return found
        first = np.flatnonzero(values < values[found[0].test].min())
        return [Split(np.flatnonzero(values > values[first].max() + self.gap), first), *found]

    def split(self, X: Any, y: np.ndarray, groups: None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The rows to fit on and the rows to score, for each fold."""
        for split in self.splits(X.index.to_numpy(), np.asarray(y)):
            yield split.train, split.test

    def get_n_splits(self, X: Any = None, y: Any = None, groups: None = None) -> int:
        """The number of folds."""
        if X is not None and self.gap is None:
            return max(2, min(self.folds, len(np.unique(self.values[X.index.to_numpy()]))))
        return self.folds + self.all_scored
