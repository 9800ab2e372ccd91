"""Numbers, times and sizes as people read them."""

from __future__ import annotations

import pytest

from airflow_sklearn.report import formats


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.84321, "0.8432"),
        (12345.678, "12,346"),
        (0.0029, "0.0029"),
        (0.5, "0.5"),
        (9.99996, "10"),
        (123.456, "123.5"),
        (7.0, "7"),
        (-1234567, "−1,234,567"),
        (3.14159e-7, "3.142 × 10⁻⁷"),
        (-2e20, "−2 × 10²⁰"),
        (None, "–"),
        (float("nan"), "–"),
        (float("-inf"), "−∞"),
    ],
)
def test_numbers_have_four_digits_or_all_of_a_whole_number(value: float | None, shown: str) -> None:
    assert formats.number(value) == shown


def test_a_share_that_is_nearly_nothing_or_all_says_so() -> None:
    assert [formats.share(value) for value in (0, 0.0004, 0.1234, 0.9996, 1)] == [
        "0%",
        "<0.1%",
        "12.3%",
        ">99.9%",
        "100%",
    ]
    assert [formats.share(value, 0) for value in (0, 0.2, 1)] == ["0%", "20%", "100%"]


def test_durations_have_two_units_at_most() -> None:
    durations = (0, 0.0234, 5.34, 50.0, 59.97, 75, 3600, 7620, 90_000)
    assert [formats.seconds(value) for value in durations] == [
        "0 s",
        "23 ms",
        "5.3 s",
        "50 s",
        "1 min",
        "1 min 15 s",
        "1 h",
        "2 h 7 min",
        "1 d 1 h",
    ]


def test_sizes_are_in_powers_of_a_thousand() -> None:
    assert [formats.size(value) for value in (812, 3_400_000, 999_999_999)] == ["812 B", "3.4 MB", "1 GB"]


def test_moments_are_shown_in_utc() -> None:
    assert formats.moment("2026-11-27T22:04:59+01:00") == "27 Nov 2026, 21:04 UTC"
    assert formats.moment(0) == "1 Jan 1970, 00:00 UTC"
    assert formats.moment("yesterday") == "yesterday"


def test_numbers_at_an_axis_are_brief() -> None:
    assert [formats.brief(value) for value in (0.25, 1500, 15_000, 2_500_000, -0.00004)] == [
        "0.25",
        "1500",
        "15k",
        "2.5M",
        "−4e−5",
    ]
