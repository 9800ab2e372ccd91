"""The training log says what was learned from, and warnings what should be looked at."""

from __future__ import annotations

import logging
import warnings

import pyarrow as pa
import pytest

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.schema import learn_features
from airflow_sklearn.worker.training.learned_from import tell_what_is_learned_from

ROWS = 30


def _told(table: pa.Table, key: tuple[str, ...] = ("id",), unused: dict[str, str] | None = None) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        features = learn_features(table)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tell_what_is_learned_from(features, table, key=key, unused=unused or {})
    return [str(warning.message) for warning in caught]


def test_features_are_listed_by_kind_and_unused_columns_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    table = pa.table(
        {
            "age": [i % 7 + 0.5 for i in range(ROWS)],
            "city": ["Rome", "Oslo"] * (ROWS // 2),
            "member": [True, False] * (ROWS // 2),
            "empty": pa.nulls(ROWS, pa.float64()),
        }
    )
    assert _told(table, unused={"note": "excluded"}) == []
    for line in ("4 columns", "2 numbers: age, empty", "1 category: city", "1 boolean: member"):
        assert line in caplog.text
    assert "not used: note (excluded)" in caplog.text
    assert "not used: empty (no value in any row)" in caplog.text


@pytest.mark.parametrize("values", [[f"k{i}" for i in range(ROWS)], list(range(ROWS))], ids=["text", "integers"])
def test_a_different_value_in_every_row_is_warned_of(values: list[object]) -> None:
    (warning,) = _told(pa.table({"code": values, "x": [0.5, 1.5] * (ROWS // 2)}))
    assert "different value in every row are learned from: 'code'" in warning


def test_fractions_that_all_differ_and_few_rows_are_not_warned_of() -> None:
    assert _told(pa.table({"x": [i / 7 for i in range(ROWS)]})) == []
    assert _told(pa.table({"x": ["a", "b", "c"]})) == []


@pytest.mark.parametrize("name", ["", " ", "Unnamed: 0", "__index_level_0__", "index"])
def test_a_column_without_a_name_is_warned_of(name: str) -> None:
    (warning,) = _told(pa.table({name: list(range(ROWS)), "x": [0.5, 1.5] * (ROWS // 2)}))
    assert f"without a name of their own are learned from: {name!r}" in warning


def test_a_missing_primary_key_is_warned_of() -> None:
    (warning,) = _told(pa.table({"x": [0.5, 1.5] * (ROWS // 2)}), key=())
    assert "no primary_key" in warning


def test_nothing_to_learn_from_is_an_error_that_says_what_became_of_the_columns() -> None:
    with pytest.raises(UserError, match=r"No column is left(.|\n)*note: excluded"):
        tell_what_is_learned_from((), pa.table({"y": [1]}), key=(), unused={"note": "excluded"})
