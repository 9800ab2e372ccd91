from __future__ import annotations

import numpy as np
import pytest

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.splits import group_folds, shuffled_folds, time_folds


def labels(rows: int = 200) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, rows)


@pytest.mark.parametrize("classifier", [True, False], ids=["classes", "numbers"])
def test_no_group_is_on_both_sides_and_each_row_is_scored_once(classifier: bool) -> None:
    y, groups = labels(), np.arange(200) // 7
    splits = group_folds(y, groups, 4, classifier, "customer")
    assert np.sort(np.concatenate([split.test for split in splits])).tolist() == list(range(200))
    for split in splits:
        assert not set(groups[split.train]) & set(groups[split.test])


def test_folds_of_groups_are_the_same_in_each_call_and_shuffled() -> None:
    y, groups = labels(), np.arange(200) // 7
    first, again = (group_folds(y, groups, 4, True, "customer") for _ in range(2))
    assert [split.test.tolist() for split in first] == [split.test.tolist() for split in again]
    assert first[0].test.tolist() != list(range(len(first[0].test)))


def test_too_few_groups_are_counted() -> None:
    with pytest.raises(UserError, match=r"GroupFolds\('customer'\): 3 groups are too few for 4 folds"):
        group_folds(labels(), np.arange(200) % 3, 4, True, "customer")


def test_a_class_in_one_group_only_is_named_with_its_rows() -> None:
    y, groups = labels().astype(str).astype(object), np.arange(200) // 10
    y[30:34] = "rare"
    with pytest.raises(UserError, match=r"all rows of a class are in one group .*\{'rare': 4\}"):
        group_folds(y, groups, 4, True, "customer")


def test_models_are_fitted_on_the_past_of_what_they_are_scored_on() -> None:
    times = np.random.default_rng(1).permutation(np.arange(200) // 2)  # two rows of each moment
    splits = time_folds(labels(), times, 4, 0, True, "date")
    assert len(splits) == 4
    for split in splits:
        assert times[split.train].max() < times[split.test].min()
        assert len(split.test) == 40
    scored = np.concatenate([split.test for split in splits])
    assert sorted(times[scored].tolist()) == sorted(times[times >= 20].tolist())


def test_rows_within_the_gap_are_not_fitted_on() -> None:
    times = np.arange(200)
    for split in time_folds(labels(), times, 3, 10, True, "date"):
        assert times[split.test].min() - times[split.train].max() == 10


def test_a_class_that_begins_later_is_named_with_its_rows() -> None:
    y = labels().astype(str).astype(object)
    y[150:153] = "new"
    with pytest.raises(UserError, match=r"TimeFolds\('date'\): fold 1 has no row .*\{'new': 3\}"):
        time_folds(y, np.arange(200), 4, 0, True, "date")


@pytest.mark.parametrize(
    ("times", "gap", "message"),
    [(np.arange(200) // 100, 0, "2 moments of the rows are too few"), (np.arange(200), 60, "fold 1 has 0 rows")],
    ids=["moments", "gap"],
)
def test_folds_by_time_without_rows_to_fit_on_are_refused(times: np.ndarray, gap: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        time_folds(labels(), times, 4, gap, False, "date")


def test_a_rare_class_is_named_with_its_rows() -> None:
    y = labels().astype(str).astype(object)
    y[:3] = "rare"
    with pytest.raises(UserError, match=r"\{'rare': 3\}"):
        shuffled_folds(y, 4, True)
