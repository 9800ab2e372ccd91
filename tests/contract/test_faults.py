from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field, ValidationError

from airflow_sklearn.contract.document import Value
from airflow_sklearn.contract.faults import either, explain, kind_of, suggestion


class Options(Value):
    word: Literal["auto", "none"] = "auto"
    letter: str = Field(default=",", max_length=1)
    count: int = Field(default=1, ge=0)
    flag: bool = True
    names: tuple[str, ...] = ()
    by_name: dict[str, str] = {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"word": "nome"}, "word='nome': give 'auto' or 'none'. Did you mean 'none'?"),
        ({"letter": ";;"}, "letter=';;': give at most 1 character"),
        ({"letter": 5}, "letter=5: give a text"),
        ({"count": -1}, "count=-1: give 0 or more"),
        ({"count": "x"}, "count='x': give a whole number"),
        ({"flag": "perhaps"}, "flag='perhaps': give True or False"),
        ({"names": 5}, "names=5: give a list"),
        ({"by_name": []}, "by_name=[]: give a dict"),
        ({"wrod": 1}, "there is no 'wrod'. Did you mean 'word'?"),
    ],
)
def test_what_does_not_fit_is_said_in_plain_words(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Options.model_validate(given)
    assert explain(caught.value, Options.model_fields) == [said]


def test_values_are_named_in_words_of_people() -> None:
    assert [kind_of(value) for value in (None, "x", 5, [1], {}, Options())] == [
        "None",
        "a text",
        "a number",
        "a list",
        "a dict",
        "an Options",
    ]
    assert either(["a", "b", "c"]) == "'a', 'b' or 'c'"


@pytest.mark.parametrize(
    ("word", "known", "said"),
    [
        ("stacking_regresser", ["stacking_regressor", "extra_trees_regressor"], " Did you mean 'stacking_regressor'?"),
        (
            "random_forest",
            ["extra_trees_classifier", "random_forest_classifier"],
            " Did you mean 'random_forest_classifier'?",
        ),
        ("naive_bayes_classifier", ["hist_gradient_boosting_classifier", "extra_trees_classifier"], ""),
        ("gird", ["grid", "halving"], " Did you mean 'grid'?"),
    ],
)
def test_a_word_is_suggested_where_it_is_a_sensible_one(word: str, known: list[str], said: str) -> None:
    assert suggestion(word, known) == said
