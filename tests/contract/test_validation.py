from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_sklearn.contract.train_settings import RecordedSettings
from airflow_sklearn.contract.validation import GroupFolds, HeldOut, TimeFolds, check_validation, folds_and_way
from airflow_sklearn.exceptions import UserError


@pytest.mark.parametrize(
    "way",
    [GroupFolds("customer"), TimeFolds("date", folds=3, gap=timedelta(days=7)), TimeFolds("year", gap=1.5)],
    ids=str,
)
def test_a_way_to_validate_survives_being_stored(way: Any) -> None:
    settings = RecordedSettings(validation=way)
    assert RecordedSettings.model_validate_json(settings.model_dump_json()).validation == way


def test_settings_without_a_way_are_written_as_before() -> None:
    assert "validation" not in RecordedSettings().model_dump()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (None, (4, None)),
        (5, (5, None)),
        ("none", (0, None)),
        ("3", (3, None)),
        ("{{ params.folds }}", (4, None)),
        (GroupFolds("customer", folds=3), (3, GroupFolds("customer", folds=3))),
    ],
    ids=str,
)
def test_the_number_of_folds_is_said_once(given: Any, meant: Any) -> None:
    assert folds_and_way({"validation": given, "cross_validation": 4}) == meant


def test_two_numbers_of_folds_contradict_each_other() -> None:
    with pytest.raises(UserError, match="cross_validation=2 and validation=5 contradict"):
        folds_and_way({"validation": 5, "cross_validation": 2})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("non", "Did you mean 'none'"),
        (1, r"GroupFolds\('customer'\)"),
        (True, "give a number of folds"),
        (GroupFolds, "is the class: give an object"),
        (HeldOut, "is the class: give an object"),
    ],
    ids=str,
)
def test_what_is_no_way_to_validate_is_refused(given: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_validation(given)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GroupFolds("customer", folds=1), "folds=1: give 2 or more"),
        (lambda: TimeFolds("date", gap=timedelta(days=-1)), "negative"),
        (lambda: TimeFolds("date", gpa=3), "Did you mean 'gap'"),
        (lambda: GroupFolds(), "column is missing"),
    ],
    ids=["folds", "gap", "misspelled", "column"],
)
def test_a_wrong_value_is_named_in_our_own_words(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
