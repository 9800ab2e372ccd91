from __future__ import annotations

import warnings

import pyarrow as pa
import pytest

from airflow_sklearn.contract.shown import showing_values
from airflow_sklearn.worker.data.doubts import looks_like_number, warn_of_null_labels, warn_of_numbers_in_text


def warned(values: list[str | None], *, dictionary: bool = False) -> list[str]:
    column = pa.array(values, pa.string())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_numbers_in_text(pa.table({"a": column.dictionary_encode() if dictionary else column}))
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize(
    "value",
    [
        "1,25",
        "-1.234,5",
        "1,234.50",
        "$1,234",
        "€ 3",
        "5 €",
        "12%",
        "1'000",
        "1 000",
        "1\u202f000,5",
        "(1,5)",
        "+3",
        "1e3",
    ],
)
def test_numbers_that_people_write_look_like_numbers(value: str) -> None:
    assert looks_like_number(pa.array([value])).to_pylist() == [True]


@pytest.mark.parametrize(
    "value",
    [
        "00501",
        "12345678901234567890",
        "01.02.2013",
        "1.2.3",
        "10.0.0.1",
        "2013-01",
        "12:30",
        "A12",
        "12A",
        "x",
        "",
        "-",
    ],
)
def test_codes_dates_and_words_do_not(value: str) -> None:
    assert looks_like_number(pa.array([value])).to_pylist() == [False]


@pytest.mark.parametrize("dictionary", [False, True])
def test_a_text_column_of_numbers_is_warned_of_with_what_to_do(dictionary: bool) -> None:
    (message,) = warned(["1,25", "2,5", "3,75", "none", None], dictionary=dictionary)
    assert "'a'" in message
    assert "3 of its 4 values look like numbers, such as '1,25'" in message
    assert "decimal=','" in message
    (message,) = warned(["1", "2.5", "3", "unknown", None], dictionary=dictionary)
    assert "such as 'unknown'" in message
    assert "null_values" in message
    (message,) = warned(["1.25", "2.5", "3"], dictionary=dictionary)  # read with decimal=","
    assert "all of its 3 values are plain numbers, such as '1.25'" in message
    assert "leave out decimal" in message


def test_few_numbers_among_words_are_no_news() -> None:
    assert warned(["1", "2", "x", "y", "z"]) == []
    assert warned(["1", "x"]) == []
    assert warned(["00501", "00502", "10001", "00504"]) == []
    assert warned([]) == []


def test_classes_like_nulls_are_warned_of_with_their_rows() -> None:
    target = pa.chunked_array([pa.array(["None", "Mild", "None", "n/a"]).dictionary_encode()])
    with pytest.warns(UserWarning, match=r"'None' \(2 rows\), 'n/a' \(1 rows\).*null_values=\['', 'None', 'n/a'\]"):
        warn_of_null_labels(target, "y")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_null_labels(pa.chunked_array([pa.array(["a", "b"])]), "y")
        warn_of_null_labels(pa.chunked_array([pa.array([1, 2])]), "y")


def test_values_are_not_shown_where_they_must_not_be() -> None:
    with showing_values(False):
        (message,) = warned(["1,25", "2,5", "3,75", "none"])
    assert "1,25" not in message
    assert "3 of its 4 values look like numbers, such as (not shown" in message
