from __future__ import annotations

import pytest

from airflow_sklearn.contract.schema import Scalar
from airflow_sklearn.contract.tables import OutputTable
from airflow_sklearn.datasets.redshift.partition import partition_values


def spelled(value: Scalar, kind: str | None) -> tuple[str | None, list[str]]:
    """A partition's value as it is bound for a column of a type, or why it is not."""
    output = OutputTable(table=("s", "t"), if_exists="replace", partition={"p": value}, staging="s3://b/staging")
    values, faults = partition_values(output, {} if kind is None else {"p": kind})
    return (values[0].text if values else None), faults


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (7, "integer", "7"),
        (" 007 ", "bigint", "7"),
        ("1.5", "numeric(9,2)", "1.50"),
        ("0.10", "double precision", "0.1"),
        (True, "boolean", "true"),
        ("a  b", "varchar(8)", "a  b"),
        (" a", "char(2)", " a"),
        ("2026-01-31", "date", "2026-01-31"),
        ("2026-01-31T12:00:00.123456", "timestamp", "2026-01-31 12:00:00.123456"),
        ("2026-01-31T00:00:00+05:30", "timestamptz", "2026-01-30 18:30:00+00:00"),
        ("2026-01-31", None, "2026-01-31"),
        (None, "date", None),
    ],
)
def test_a_value_is_bound_in_the_one_spelling_of_its_column(value: Scalar, kind: str | None, text: str | None) -> None:
    assert spelled(value, kind) == (text, [])


@pytest.mark.parametrize("kind", ["varchar(8)", "char(8)", None])
@pytest.mark.parametrize("value", ["a ", " ", "a  "])
def test_text_that_ends_in_a_blank_would_be_another_partition_and_is_refused(value: str, kind: str | None) -> None:
    _, [fault] = spelled(value, kind)
    assert f"partition gives 'p' the value {value!r}, but it ends in a blank" in fault
    assert "leave it out" in fault


@pytest.mark.parametrize("kind", ["smallint", "integer", "bigint", "numeric(9,2)", "real", "double precision"])
def test_underscores_in_numbers_are_refused(kind: str) -> None:
    _, [fault] = spelled("1_0", kind)
    assert f"the column is {kind}" in fault


@pytest.mark.parametrize("given", ["2026-01-31 00:00:00.1234567", "2026-01-31T00:00:00,000000001"])
@pytest.mark.parametrize(("kind", "offset"), [("timestamp", ""), ("timestamptz", "+00:00")])
def test_more_than_six_digits_of_a_second_are_refused(given: str, kind: str, offset: str) -> None:
    _, [fault] = spelled(given + offset, kind)
    assert "six digits of a second and no more" in fault


@pytest.mark.parametrize(
    ("value", "kind", "why"),
    [
        ("2026-01-31T00:00:00+00:00", "timestamp", "give it without an offset"),
        ("2026-01-31T00:00:00", "timestamptz", "give it with an offset"),
        ("2026-01-31T00:00:00", "date", "the column is a date"),
        ("1.005", "numeric(9,2)", "fewer decimals"),
        ("40000", "smallint", "does not reach so far"),
        ("abc", "varchar(2)", "it has 3 bytes"),
        ("é", "char(2)", "ASCII only"),
        ("x", "super", "no partition goes by"),
        (True, "integer", "the column is integer"),
        ("a\0b", "varchar(8)", "a NUL"),
        (None, None, "give its type in column_types"),
    ],
)
def test_a_value_that_its_column_would_change_is_refused(value: Scalar, kind: str | None, why: str) -> None:
    _, [fault] = spelled(value, kind)
    assert fault.startswith("partition gives 'p' ")
    assert why in fault
