"""Levels of categories: which are kept, and numbers that stand for them where a column has too many to expand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat
from sklearn.model_selection import KFold, StratifiedKFold

from airflow_sklearn.models.columns import ArrowColumn, contiguous, decoded, dictionary_of, numbers

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

#: Folds in which ``fit_transform`` encodes rows by the targets of other rows, as in scikit-learn's TargetEncoder.
FOLDS = 5


def kept_levels(counts: Counter[str], column: ArrowColumn, least: float | None, *, all_ordered: bool) -> list[str]:
    """The levels that are kept, sorted as text; ordered categories in their order.

    :param counts: the rows of each level.
    :param column: the column; a dictionary-encoded one may be ordered.
    :param least: the fewest rows of a level, or their share if it is below 1; None: every level is kept.
    :param all_ordered: keep all ordered categories, also those that no row has, so that their numbers tell the order.
    """
    fewest = 0 if least is None else least if least >= 1 else least * len(column)
    kept = {level for level, count in counts.items() if count >= fewest}
    if not is_ordered(column):
        return sorted(kept)
    ordered: list[str] = dictionary_of(column).cast(pa.large_string()).to_pylist()
    return [level for level in ordered if level in kept or all_ordered]


def is_ordered(column: ArrowColumn) -> bool:
    """Whether a column is dictionary-encoded with an order."""
    return bool(pat.is_dictionary(column.type) and column.type.ordered)


def as_levels(column: ArrowColumn) -> ArrowColumn:
    """A column whose values can be levels. Numbers and booleans become text that is the same for ``3`` and ``3.0``."""
    values = decoded(column)
    if pat.is_dictionary(column.type) or not (_is_number(values.type) or pat.is_boolean(values.type)):
        return column
    if not pat.is_integer(values.type):
        values = pa.array(numbers(values), from_pandas=True)
    encoded = contiguous(values).dictionary_encode()
    texts = pa.array([_number_text(value) for value in encoded.dictionary.to_pylist()], pa.large_string())
    return pa.DictionaryArray.from_arrays(encoded.indices, texts)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pat.is_integer(kind) or pat.is_floating(kind) or pat.is_decimal(kind))


def _number_text(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(value)


def words_per_value(column: ArrowColumn, values: int = 1000) -> float:
    """The mean number of words in the first distinct values of a column of strings."""
    distinct = contiguous(pc.unique(decoded(column).slice(0, 20 * values))).drop_null().slice(0, values)
    if not len(distinct):
        return 0.0
    return float(np.mean([len(text.split()) for text in distinct.cast(pa.large_string()).to_pylist()]))


@dataclass(frozen=True)
class TargetNumbers:
    """The target as columns of numbers, of which levels get means.

    :param values: shape (rows, columns): the target of a regression; an indicator of the second of two classes, or of
        each of several.
    :param names: one a column; the class, or "" for a regression.
    :param labels: shape (rows,): the class of each row, by which folds are stratified; None: a regression.
    """

    values: np.ndarray
    names: list[str]
    labels: np.ndarray | None

    @classmethod
    def of(cls, y: Any, kind: str = "auto") -> TargetNumbers | None:
        """The target's numbers; None if there is no target, or several.

        :param y: shape (rows,).
        :param kind: ``classes``, ``numbers``, or ``auto``: floating-point numbers are numbers, others classes.
        """
        target = None if y is None else np.asarray(y)
        if target is None or target.ndim != 1:
            return None
        if kind == "numbers" or (kind == "auto" and target.dtype.kind == "f"):
            return cls(target.astype(np.float64)[:, None], [""], None)
        classes, labels = np.unique(target, return_inverse=True)
        used = range(1, 2) if len(classes) == 2 else range(len(classes))
        values = np.stack([(labels == index).astype(np.float64) for index in used], axis=1)
        return cls(values, [str(classes[index]) for index in used], labels)

    def table(self, codes: np.ndarray, size: int, rows: np.ndarray | None = None) -> np.ndarray:
        """The mean of the target by code, drawn to the mean of all rows the more, the fewer rows a code has.

        The weight of a level's own mean is ``n / (n + v / t)``: n rows, v the variance within the level, t that of the
        target. It is the empirical Bayes estimate of Micci-Barreca (2001), as in scikit-learn's ``TargetEncoder``
        with ``smooth="auto"``.

        :param codes: shape (rows,): the code of each row, below ``size``.
        :param rows: the rows to learn from; None: all.
        :return: shape (size, columns). A code without rows has the mean of all.
        """
        values = self.values if rows is None else self.values[rows]
        codes = codes if rows is None else codes[rows]
        means, variance = values.mean(axis=0), values.var(axis=0)
        count = np.bincount(codes, minlength=size)[:, None]
        n = np.maximum(count, 1)
        sums = np.stack([np.bincount(codes, column, minlength=size) for column in values.T], axis=1)
        own = sums / n
        residuals = (values - own[codes]) ** 2
        within = np.stack([np.bincount(codes, column, minlength=size) for column in residuals.T], axis=1) / n
        with np.errstate(invalid="ignore", divide="ignore"):
            weight = np.where(variance > 0, variance * n / (variance * n + within), 0.0)
        return np.where(count > 0, weight * own + (1 - weight) * means, means)

    def across_folds(self, codes: np.ndarray, size: int, seed: int) -> np.ndarray:
        """For each row the table's entry learned from other rows, so that no row sees its own target.

        :return: shape (rows, columns).
        """
        found = np.empty_like(self.values)
        for others, fold in self._folds(seed):
            found[fold] = self.table(codes, size, others)[codes[fold]]
        return found

    def _folds(self, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rows = len(self.values)
        folds = min(FOLDS, rows)
        if folds < 2:
            return iter([(np.arange(rows), np.arange(rows))])
        if self.labels is not None and np.bincount(self.labels).min() >= folds:
            return StratifiedKFold(folds, shuffle=True, random_state=seed).split(np.zeros(rows), self.labels)
        return KFold(folds, shuffle=True, random_state=seed).split(np.zeros(rows))


def shares(codes: np.ndarray, size: int) -> np.ndarray:
    """The share of rows by code, of shape (size, 1)."""
    return (np.bincount(codes, minlength=size) / max(1, len(codes)))[:, None]
