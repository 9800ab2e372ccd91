"""Values of rows stay out of messages where the configuration says so."""

from __future__ import annotations

import os
import pickle
import warnings

import pytest

import airflow_sklearn
from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.contract.problems import Problem
from airflow_sklearn.contract.shown import (
    NOT_SHOWN,
    showing_values,
    shown,
    shown_example,
    shown_warning,
    told,
    values_shown,
)
from airflow_sklearn.exceptions import DataError, UserError

PROBLEM = Problem(
    kind="duplicate_key",
    message="rows whose primary key occurred before",
    column="email",
    file="s3://acme/x.csv",
    count=7,
    examples=("ada@example.com 2 times", "'bob' at byte 1,234"),
    fix="remove them",
)


def test_values_are_shown_unless_they_are_hidden() -> None:
    assert values_shown()
    assert "ada@example.com" in str(DataError("no", [PROBLEM]))
    with showing_values(False):
        assert not values_shown()
        with showing_values(True):  # a job cannot show what its machine hides
            assert not values_shown()
    assert values_shown()


def test_a_problem_still_says_what_where_how_many_and_what_to_do() -> None:
    with showing_values(False):
        error = DataError("The chunk cannot be predicted:", [PROBLEM])
        text = str(error)
    for word in ("duplicate_key", "email", "x.csv", "7", "at byte 1,234", "remove them"):
        assert word in text
    assert "ada" not in text
    assert "bob" not in text
    again = pickle.loads(pickle.dumps(error))
    assert "ada" not in str(again)


def test_what_is_collected_has_no_values() -> None:
    problems = ProblemCollector()
    problems.merge([PROBLEM])
    with showing_values(False):
        (found,) = problems.problems()
    assert found.examples == ("at byte 1,234",)
    assert found.count == 7


@pytest.mark.parametrize(
    ("example", "left"),
    [
        ("'a' at row 1,003 of the piece", "at row 1,003 of the piece"),
        ("'a' at row 3", "at row 3"),
        ("at byte 7", "at byte 7"),
        ("'met at Bob'", ""),
        ("'x' at home 3", ""),
        ("17", ""),
    ],
)
def test_of_an_example_its_place_is_left(example: str, left: str) -> None:
    assert shown_example(example) == example
    with showing_values(False):
        assert shown_example(example) == left
        assert shown(example) == NOT_SHOWN


def test_names_of_columns_are_no_values() -> None:
    problem = Problem(kind="extra_column", message="columns that are not used", examples=("'age'",))
    with showing_values(False):
        assert problem.shown() == problem


def test_warnings_of_this_package_are_told_and_those_of_libraries_are_not() -> None:
    def warning(filename: str) -> warnings.WarningMessage:
        return warnings.WarningMessage("Found 'Ada'", UserWarning, filename, 1)

    own = os.path.join(os.path.dirname(airflow_sklearn.__file__), "worker", "run.py")
    with showing_values(False):
        assert shown_warning(warning(own)) == "Found 'Ada'"
        assert shown_warning(warning(warnings.__file__)) == NOT_SHOWN
    assert shown_warning(warning(warnings.__file__)) == "Found 'Ada'"


def raised(hide_cause: bool) -> UserError:
    try:
        try:
            float("Ada Lovelace")
        except ValueError as error:
            raise UserError(f"Model.predict raised ValueError: {error}") from (None if hide_cause else error)
    except UserError as error:
        return error


@pytest.mark.parametrize("hide_cause", [True, False])
def test_what_a_library_says_of_a_value_is_left_out_wherever_it_was_quoted(hide_cause: bool) -> None:
    error = raised(hide_cause)
    assert "Ada Lovelace" in told(error)
    with showing_values(False):
        assert told(error) == f"Model.predict raised ValueError: {NOT_SHOWN}"
        assert told(ValueError("Ada")) == NOT_SHOWN
        assert told(UserError("There is no preset 'x'.")) == "There is no preset 'x'."
