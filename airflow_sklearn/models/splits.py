"""The folds of a validation: for each one the rows to fit on and the rows to score. All are deterministic."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from airflow_sklearn.contract.shown import shown
from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RANDOM_STATE = 42


@dataclass(frozen=True)
class Split:
    """One fold.

    :param train: the numbers of the rows to fit on, of shape (rows,).
    :param test: the numbers of the rows to score.
    """

    train: np.ndarray
    test: np.ndarray


def shuffled_folds(y: np.ndarray, folds: int, classifier: bool) -> list[Split]:
    """Folds of shuffled rows, stratified for classes: each row is scored once.

    :param y: the target, of shape (rows,).
    :param folds: the number of folds, at least 2.
    :raises UserError: there are too few rows, in all or of a class.
    """
    if folds < 2:
        raise UserError(f"cross_validation={folds} is too few folds: use 2 or more, or 0 to skip validation.")
    if not classifier:
        if len(y) < 2 * folds:  # R² needs two rows in every fold
            raise UserError(
                f"{len(y)} rows are too few for {folds} folds: lower cross_validation, or use 0 to skip it."
            )
        return _splits(KFold(folds, shuffle=True, random_state=RANDOM_STATE).split(np.zeros(len(y))))
    if rare := {label: count for label, count in Counter(y.tolist()).items() if count < folds}:
        raise UserError(
            f"Classes of the target have fewer rows than the {folds} folds (class: rows): {shown(rare)}. "
            "Lower cross_validation (0 skips it), or merge or drop these classes."
        )
    return _splits(StratifiedKFold(folds, shuffle=True, random_state=RANDOM_STATE).split(np.zeros(len(y)), y))


def group_folds(y: np.ndarray, groups: np.ndarray, folds: int, classifier: bool, column: str) -> list[Split]:
    """Folds of whole groups, with the classes as evenly divided as the groups allow: each row is scored once.

    :param y: the target, of shape (rows,).
    :param groups: the number of each row's group, of shape (rows,).
    :param folds: the number of folds, at least 2.
    :param column: the column of the groups, for messages.
    :raises UserError: there are too few groups, in all or with rows of a class.
    """
    if (count := len(np.unique(groups))) < folds:
        raise UserError(
            f"GroupFolds({column!r}): {count} groups are too few for {folds} folds. Fix: lower its folds, or choose "
            "another column."
        )
    if not classifier:
        splitter = GroupKFold(folds, shuffle=True, random_state=RANDOM_STATE)
        return _splits(splitter.split(np.zeros(len(y)), groups=groups))
    of_class = {label: groups[y == label] for label in np.unique(y).tolist()}
    rare = {label: len(rows) for label, rows in of_class.items() if len(np.unique(rows)) < 2}
    if rare:
        raise UserError(
            f"GroupFolds({column!r}): all rows of a class are in one group (class: rows): {shown(rare)}. The models "
            "that are not fitted on this group cannot know the class. Fix: merge or drop these classes, or choose "
            "another column."
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=RANDOM_STATE)
    found = _splits(splitter.split(np.zeros(len(y)), y, groups))
    _check_classes(y, found, f"GroupFolds({column!r})")
    return found


def time_folds(y: np.ndarray, times: np.ndarray, folds: int, gap: float, classifier: bool, column: str) -> list[Split]:
    """Folds in the order of time: each model is fitted on the past of the block that it is scored on.

    The rows are cut at moments into ``folds + 1`` blocks of about the same size; the first one is not scored.

    :param y: the target, of shape (rows,).
    :param times: the time of each row, of shape (rows,).
    :param folds: the number of blocks to score.
    :param gap: rows of this time before a block are not fitted on; in the unit of ``times``.
    :param column: the column of the times, for messages.
    :raises UserError: there are too few moments, or a model would be fitted on too few rows, or without a class.
    """
    moments, first = np.unique(times, return_index=False), np.sort(times)
    starts = np.unique(first[[len(first) * k // (folds + 1) for k in range(1, folds + 1)]])
    starts = starts[starts > moments[0]]
    if len(starts) < folds:
        raise UserError(
            f"TimeFolds({column!r}): the {len(moments):,} moments of the rows are too few, or too unevenly filled, for "
            f"{folds} folds. Fix: lower its folds, or choose another column."
        )
    splits = []
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        test = (times >= start) & (True if end is None else times < end)
        train = times < start if not gap else times <= start - gap
        splits.append(Split(np.flatnonzero(train), np.flatnonzero(test)))
    for number, split in enumerate(splits, start=1):
        if min(len(split.train), len(split.test)) < 2:
            raise UserError(
                f"TimeFolds({column!r}): fold {number} has {len(split.train):,} rows to fit on and {len(split.test):,} "
                "to score; at least 2 are needed. Fix: lower its folds or its gap."
            )
    if classifier:
        _check_classes(y, splits, f"TimeFolds({column!r})")
    return splits


def _splits(found: Iterable[tuple[np.ndarray, np.ndarray]]) -> list[Split]:
    return [Split(train, test) for train, test in found]


def _check_classes(y: np.ndarray, splits: Sequence[Split], what: str) -> None:
    """Check that each model is fitted on rows of all classes.

    :raises UserError: one is not; the message says the classes with their rows.
    """
    counts: dict[Any, int] = Counter(y.tolist())
    for number, split in enumerate(splits, start=1):
        there = set(np.unique(y[split.train]).tolist())
        if missing := {label: count for label, count in counts.items() if label not in there}:
            raise UserError(
                f"{what}: fold {number} has no row of these classes to fit on (class: rows in all): {shown(missing)}. "
                "Fix: lower its folds, or merge or drop these classes."
            )
