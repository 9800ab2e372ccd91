from __future__ import annotations

from typing import Any

import pytest

from airflow_sklearn.contract.search import Search, as_search, check_search
from airflow_sklearn.exceptions import UserError


def test_a_search_is_given_as_a_value_a_dict_or_a_method() -> None:
    value = Search("grid", {"C": [0.1, 1.0]}, scoring="roc_auc")
    assert as_search(value) is value
    assert as_search({"method": "grid", "params": {"C": [0.1, 1.0]}, "scoring": "roc_auc"}) == value
    assert as_search("hyperband") == Search("hyperband")
    assert as_search(None) is None


def test_a_search_is_read_as_it_was_written() -> None:
    value = Search("halving", {"C": {"loguniform": [0.1, 10]}}, cost={"max_iter": (5, 50)})
    assert Search.model_validate_json(value.model_dump_json()) == value
    assert repr(value) == repr(Search.model_validate_json(value.model_dump_json()))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("random", "method='random': give 'grid', 'randomized', 'halving' or 'hyperband'"),
        ({"method": "grid", "parms": {}}, "there is no 'parms'. Did you mean 'params'?"),
        ({"params": {"C": 1}}, "'C' is 1: give a list of values, or a distribution"),
        ({"params": {"C": []}}, "'C' has no value"),
        (
            {"params": {"C": {"logunifrom": [1, 2]}}},
            "no distribution 'logunifrom'. Did you mean 'loguniform'?",
        ),
        ({"params": {"C": {"uniform": [2, 1]}}}, "uniform takes [low, high]"),
        ({"params": {"C": {"loguniform": [0, 1]}}}, "loguniform takes positive numbers"),
        ({"method": "grid", "params": {"C": {"uniform": [1, 2]}}}, "a grid needs a list of values"),
        ({"method": "grid", "params": {"C": [1]}, "n_iter": 5}, "n_iter=5 is for 'randomized' or 'halving'"),
        ({"method": "randomized", "cost": {"max_iter": [5, 50]}}, "is for 'halving' or 'hyperband'"),
        ({"method": "hyperband", "cost": {"max_iter": [50, 5]}}, "has no range from 50 to 5"),
        ({"cv": 1}, "cv=1: give 2 or more"),
        (7, "search=7: give a Search"),
    ],
    ids=str,
)
def test_what_is_no_search_is_told_in_plain_words(given: Any, said: str) -> None:
    with pytest.raises(UserError) as caught:
        check_search(given)
    assert said in str(caught.value)
    assert "pydantic" not in str(caught.value)
