"""Finding columns from which alone a target can be told: most often they hold what is known only after it.

Each column is judged by predictions of rows that were not fitted on: the rows are halved, a decision tree learns each
half from this column alone, and predicts the other. A tree finds any shape, and learns from nulls; text is replaced by
each value's mean target in the learned half (``TargetEncoder``), so that a column of keys tells nothing.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.preprocessing import TargetEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from airflow_sklearn.models.columns import codes, count_levels, kind_of, microseconds, numbers

if TYPE_CHECKING:
    import pyarrow as pa

#: A column with a larger AUC, or r2, predicts suspiciously well.
SUSPICIOUS = 0.99
_ROWS = 5_000  # of a table that are looked at
_LEAST = 10  # rows of a class, and of a target; fewer say nothing
_LEAF = {"min_samples_leaf": 2, "random_state": 0}


def tell_alone(table: pa.Table, y: np.ndarray, has_classes: bool) -> dict[str, float]:
    """How well each column alone predicts a target.

    :param table: the columns.
    :param y: the target, of shape (rows,): classes, or numbers.
    :param has_classes: whether these are classes.
    :return: by column, for classes the area under the ROC curve (of more than two, the mean over the classes, each
        against all others), for numbers r2: of the tree, or the squared correlation if that is larger. Empty if there
        are too few rows.
    """
    rows = _some_rows(y, has_classes)
    if len(rows) < 2 * _LEAST:
        return {}
    few, target = table.take(rows), y[rows]
    if has_classes:
        classes, target = np.unique(target, return_inverse=True)
        if len(classes) < 2:
            return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: _score(few[name], target, has_classes) for name in few.column_names if kind_of(few[name].type)}


def _some_rows(y: np.ndarray, has_classes: bool) -> np.ndarray:
    """The numbers of rows to look at, at random; of each class about the same number, and none of a rare class. Every
    second one is of the same half, with half of each class.
    """
    random = np.random.default_rng(0)
    if not has_classes:
        return random.permutation(len(y))[:_ROWS]
    classes, of_row = np.unique(y, return_inverse=True)
    each = [random.permutation(np.flatnonzero(of_row == number)) for number in range(len(classes))]
    known = [rows[: max(_LEAST, _ROWS // len(classes))] for rows in each if len(rows) >= _LEAST]
    return np.concatenate(known) if known else np.empty(0, np.int64)


def _score(column: pa.ChunkedArray, y: np.ndarray, has_classes: bool) -> float:
    x, is_text = _values(column)
    half = np.arange(len(y)) % 2
    predicted = np.empty((len(y), int(y.max()) + 1 if has_classes else 1))
    for number in (0, 1):
        learned, other = half == number, half != number
        known, asked = x[learned], x[other]
        if is_text:
            kind = ("binary" if y.max() < 2 else "multiclass") if has_classes else "continuous"
            encoder = TargetEncoder(target_type=kind, random_state=0)
            known, asked = encoder.fit_transform(known, y[learned]), encoder.transform(asked)
        if has_classes:
            tree = DecisionTreeClassifier(max_leaf_nodes=64, **_LEAF).fit(known, y[learned])
            predicted[other] = tree.predict_proba(asked)
        else:
            tree = DecisionTreeRegressor(max_leaf_nodes=1024, **_LEAF).fit(known, y[learned])
            predicted[other, 0] = tree.predict(asked)
    if has_classes:
        labels = range(1, 2) if predicted.shape[1] == 2 else range(predicted.shape[1])
        return float(np.mean([roc_auc_score(y == label, predicted[:, label]) for label in labels]))
    return max(float(r2_score(y, predicted[:, 0])), 0.0 if is_text else _squared_correlation(x[:, 0], y))


def _squared_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Of the rows with a value; 0.0 if too few have one, or nothing varies."""
    there = np.isfinite(x)
    if there.sum() < max(_LEAST, len(x) / 2) or np.ptp(x[there]) == 0 or np.ptp(y[there]) == 0:
        return 0.0
    return float(np.corrcoef(x[there], y[there])[0, 1] ** 2)


def _values(column: pa.ChunkedArray) -> tuple[np.ndarray, bool]:
    """A column's values of shape (rows, 1), and whether they are numbers of texts."""
    kind = kind_of(column.type)
    if kind == "string":
        return codes(column, sorted(count_levels(column))).reshape(-1, 1), True
    if kind == "datetime":
        times, nulls = microseconds(column)
        x = np.where(nulls, np.nan, times.astype(np.float64))
    else:
        x = np.array(numbers(column), np.float64)
    x[np.abs(x) > np.finfo(np.float32).max] = np.nan  # trees take no larger numbers
    return x.reshape(-1, 1), False
