from __future__ import annotations

import copy

import numpy as np
import pandas as pd
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from airflow_sklearn.models.row_folds import RowFolds


def test_any_part_of_the_rows_is_split_by_group() -> None:
    customers = np.arange(120) // 6
    folds, rows = RowFolds(customers, 5, "customer", classifier=False), np.arange(120)[::3]
    X, y = pd.DataFrame({"x": rows}, index=rows), rows % 2
    splits = list(folds.split(X, y))
    assert len(splits) == folds.get_n_splits(X) == 5
    for train, test in splits:
        assert not set(customers[rows[train]]) & set(customers[rows[test]])
    few = RowFolds(customers // 10, 5, "customer", classifier=False)  # two groups
    assert len(list(few.split(X, y))) == few.get_n_splits(X) == 2
    assert copy.deepcopy(folds) is folds


def test_time_is_kept_and_calibration_scores_each_row_once() -> None:
    times = np.random.default_rng(0).permutation(np.arange(120) // 2)
    y, X = np.arange(120) % 2, pd.DataFrame({"x": np.arange(120.0)})
    past = RowFolds(times, 4, "day", classifier=True, gap=2)
    for train, test in past.split(X, y):
        assert times[train].max() <= times[test].min() - 2
    every = RowFolds(times, 4, "day", classifier=True, gap=2, all_scored=True)
    (train, test), *others = every.split(X, y)
    assert len(others) == 4
    assert times[train].min() > times[test].max() + 2, "the first block has no past"
    assert len(cross_val_predict(KNeighborsClassifier(), X, y, cv=every)) == 120
