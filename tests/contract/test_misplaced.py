"""The error about an option in the wrong place says where the option belongs."""

from __future__ import annotations

import pytest

from airflow_sklearn.contract.arguments import check_all, check_names
from airflow_sklearn.contract.misplaced import belongs
from airflow_sklearn.contract.search import Search, as_search
from airflow_sklearn.exceptions import UserError


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("unseen_levels", r"policies={'unseen_levels': ...}"),
        ("max_levels", "preprocessing_params={'max_levels': ...}"),
        ("scoring", r"search=Search\(..., scoring=...\)"),
        ("delimiter", r"source=Dataset\(..., delimiter=...\)"),
        ("unfit_columns", r"will_score=WillScore\(..., unfit_columns=...\)"),
    ],
)
def test_an_option_of_another_place_is_told_where_it_belongs(name: str, place: str) -> None:
    with pytest.raises(UserError, match=rf"There is no argument '{name}'. It belongs in {place}"):
        check_names("SklearnTrainOperator", [name], ["target"], belongs)


def test_a_name_of_several_places_or_of_none_is_told_no_place() -> None:
    assert belongs("random_state") == belongs("nothing") == ""


def test_a_dict_of_lists_is_a_grid() -> None:
    assert as_search({"C": [0.1, 1]}) == Search("grid", {"C": [0.1, 1]})
    with pytest.raises(UserError, match="there is no 'kind'"):
        as_search({"kind": "grid", "C": [1]})


def test_faults_are_said_once_and_together() -> None:
    def fail(text: str) -> None:
        raise UserError(text)

    with pytest.raises(UserError) as caught:
        check_all(lambda: fail("a"), lambda: None, lambda: fail("\n  - b\n  - c"), lambda: fail("a"))
    assert str(caught.value) == "\n  - a\n  - b\n  - c"
    with pytest.raises(UserError, match=r"^a$"):
        check_all(lambda: fail("a"))
