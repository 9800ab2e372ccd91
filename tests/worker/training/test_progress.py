"""A training tells how far it is: reading, folds and steps of a search, at a pace for people."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, _search

from airflow_sklearn.contract.progress_lines import SECONDS_VARIABLE, RowProgress, StepProgress, parse
from airflow_sklearn.contract.search import Search
from airflow_sklearn.worker.training.progress import ReadingProgress, telling_search_steps
from tests.worker.workbench import Workbench

X = np.arange(80.0).reshape(40, 2)
Y = np.arange(40) % 2


def told(caplog: pytest.LogCaptureFixture) -> list[RowProgress | StepProgress]:
    return [found for record in caplog.records if (found := parse(record.getMessage()))]


@pytest.fixture(autouse=True)
def at_info(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """All lines are seen, and on a slow machine no more than on a fast one."""
    caplog.set_level("INFO")
    monkeypatch.setenv(SECONDS_VARIABLE, "1000")


def test_folds_and_search_steps_are_told_once_each_with_the_time_left(
    bench: Workbench, caplog: pytest.LogCaptureFixture
) -> None:
    n = np.arange(60)
    source = bench.write(pa.table({"key": n, "x": n % 7 + 0.5, "y": n % 7 > 3}), "rows.parquet")
    search = Search("grid", {"strategy": ["prior", "uniform"]}, cv=2)
    bench.train(source, f"{__name__}:plain", cross_validation=2, parameter_search=search)
    steps = [one for one in told(caplog) if isinstance(one, StepProgress)]
    assert [(one.what, one.done, one.total) for one in steps] == [
        ("Search step", 4, 4),  # the fit on all rows
        ("Search step", 4, 4),
        ("Fold", 1, 2),
        ("Search step", 4, 4),
        ("Fold", 2, 2),
    ]
    assert steps[2].remains is not None
    assert steps[4].remains is None
    lines = [record.getMessage() for record in caplog.records if not parse(record.getMessage())]
    assert len(lines) == len(set(lines))
    assert _search._fit_and_score.__module__.startswith("sklearn.")


@pytest.mark.parametrize(("pace", "fewest", "most"), [("0.1", 2, 6), ("1000", 1, 1)])
def test_steps_of_a_users_own_search_are_told_at_the_pace_that_is_asked_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, pace: str, fewest: int, most: int
) -> None:
    class Slow(DummyClassifier):
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
            time.sleep(0.06)
            return super().fit(X, y, sample_weight)

    monkeypatch.setenv(SECONDS_VARIABLE, pace)
    with telling_search_steps():
        GridSearchCV(Slow(), {"strategy": ["prior", "uniform", "most_frequent"]}, cv=2).fit(X, Y)
    steps = told(caplog)
    assert fewest <= len(steps) <= most
    assert (steps[-1].done, steps[-1].total, steps[-1].remains) == (6, 6, None)
    assert all(step.remains is not None for step in steps[:-1])


def test_rounds_of_a_halving_search_are_counted_each_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    with telling_search_steps():
        search = HalvingRandomSearchCV(
            DummyClassifier(), {"random_state": [1, 2, 3, 4]}, n_candidates=4, factor=2, cv=2, random_state=0
        ).fit(X, Y)
    assert [one.total for one in told(caplog)] == [2 * count for count in search.n_candidates_]


def test_searches_in_further_containers_are_left_as_they_are() -> None:
    before = _search._fit_and_score
    with telling_search_steps(here=False):
        assert _search._fit_and_score is before


def test_reading_is_told_with_rows_share_and_time_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECONDS_VARIABLE, "0.1")
    progress = ReadingProgress(1000)
    progress.advance(10, 250)
    assert not told(caplog)
    time.sleep(0.11)
    progress.advance(10, 250)
    progress.advance(10, 250)
    (line,) = told(caplog)
    assert isinstance(line, RowProgress)
    assert (line.what, line.rows, line.share) == ("Reading", 20, 0.5)
    assert caplog.text.count("Reading: 20 rows, 50% of 0.0 MB") == 1


def test_a_warning_that_each_fold_gives_is_told_once(bench: Workbench, caplog: pytest.LogCaptureFixture) -> None:
    n = np.arange(60)
    source = bench.write(pa.table({"key": n, "x": n % 7 + 0.5, "y": n % 2}), "rows.parquet")
    found = bench.train(source, f"{__name__}:warns", cross_validation=2)
    assert found.warnings == ("UserWarning: it did not converge",)
    assert caplog.text.count("it did not converge") == 1
    assert "it did not converge [3 times]" in caplog.text


class Warns(DummyClassifier):
    def fit(self, X, y, sample_weight=None):
        warnings.warn("it did not converge", UserWarning, stacklevel=1)
        return super().fit(X, y, sample_weight)


def warns() -> Warns:
    return Warns()


def plain() -> DummyClassifier:
    return DummyClassifier(random_state=0)
