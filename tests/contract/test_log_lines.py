from __future__ import annotations

import logging

import pytest

from airflow_sklearn.contract.log_lines import split_level


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        ("2026-01-01 10:00:00 INFO 5 rows", logging.INFO, "5 rows"),
        ("2026-01-01 10:00:00,123 WARNING: odd", logging.WARNING, "odd"),
        ("[2026-01-01T10:00:00Z] ERROR bad", logging.ERROR, "bad"),
        ("ERROR bad", logging.ERROR, "bad"),
        ("no level at all", logging.INFO, "no level at all"),
        ("the word ERROR later on", logging.INFO, "the word ERROR later on"),
        ("INFORMATION", logging.INFO, "INFORMATION"),
        ("", logging.INFO, ""),
    ],
)
def test_a_line_says_its_level(line: str, level: int, text: str) -> None:
    assert split_level(line) == (level, text)


def test_a_traceback_has_the_level_of_the_line_before() -> None:
    level = logging.ERROR
    for line in ("Traceback (most recent call last):", '  File "x.py", line 1'):
        assert split_level(line, level) == (logging.ERROR, line)
    assert split_level("something new", level)[0] == logging.INFO
