"""Lines of progress: people read them in a log, and a program makes a bar of them."""

from __future__ import annotations

import pytest

from airflow_sklearn.contract.progress_lines import (
    SECONDS_VARIABLE,
    RowProgress,
    StepProgress,
    parse,
    remaining,
    seconds_between,
)


@pytest.mark.parametrize(
    "progress",
    [
        RowProgress(0, 0.0, 0, 0.0),
        RowProgress(1_234_567, 0.45, 812_300_000, 400_123.0, 12.0, "Reading"),
        RowProgress(29_425, 1.0, 3_100_000, 92_413.0),
        StepProgress("Fold", 1, 4, "roc_auc 0.9052, log_loss 0.3902 (1.5 s)", 5.0),
        StepProgress("Search step", 1_200, 6_000, "1,500 combinations in 4 folds, 7 s so far", 1_234.0),
        StepProgress("Fold", 4, 4),
    ],
    ids=lambda progress: progress.line(),
)
def test_a_line_is_read_back_as_what_was_written(progress: RowProgress | StepProgress) -> None:
    assert parse(progress.line()) == progress


def test_the_words_are_those_of_people() -> None:
    assert RowProgress(1200, 0.5, 2_000_000, 600.0, 2.0).line() == (
        "1,200 rows, 50% of 2.0 MB, 600 rows/s, about 2 s remain"
    )
    assert StepProgress("Fold", 2, 4, "r2 0.51", 9.4).line() == "Fold 2 of 4: r2 0.51, about 9 s remain"


@pytest.mark.parametrize("line", ["", "Read 3,000 rows, 4 columns from 1 object", "Best of 2: {}", "1 of 2"])
def test_other_lines_tell_no_progress(line: str) -> None:
    assert parse(line) is None


def test_time_left_is_unknown_at_first_and_nothing_at_the_end() -> None:
    assert (remaining(0, 4, 3.0), remaining(4, 4, 3.0), remaining(1, 4, 3.0)) == (None, None, 9.0)


@pytest.mark.parametrize(("text", "seconds"), [("", 10.0), ("soon", 10.0), ("0.5", 0.5), ("0", 0.1)])
def test_the_pace_is_ten_seconds_unless_a_bar_wants_more(
    monkeypatch: pytest.MonkeyPatch, text: str, seconds: float
) -> None:
    monkeypatch.setenv(SECONDS_VARIABLE, text)
    assert seconds_between() == seconds
