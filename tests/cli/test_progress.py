"""Progress of jobs on a terminal and in a file, made of the jobs' own log lines."""

from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from airflow_sklearn.cli.progress import BarProgress, TextProgress
from airflow_sklearn.contract.data import SourceObject
from airflow_sklearn.contract.plan import Chunk, Piece


def chunk(size: int) -> Chunk:
    piece = Piece(object=SourceObject(uri="file:///t.csv", etag="1", size=400), start=0, end=size)
    return Chunk(id=str(size), label=f"t.csv {size}", pieces=(piece,))


@pytest.fixture
def bar() -> Progress:
    return Progress(TextColumn("{task.fields[rows]}"), console=Console(file=io.StringIO()), auto_refresh=False)


def test_the_bar_counts_bytes_and_rows_over_all_chunks(bar: Progress) -> None:
    progress = BarProgress(bar, 400)
    task = bar.tasks[0]
    progress.chunk(1, 3, chunk(100), is_done=False)
    progress.line(logging.INFO, "1,000 rows, 50% of 0.0 MB, 500 rows/s, about 2 s remain")
    assert (task.description, task.completed, task.total) == ("Chunk 1 of 3", 50, 400)
    progress.line(logging.INFO, "Done: 2,000 rows, 100% of 0.0 MB, 500 rows/s")
    progress.chunk(2, 3, chunk(200), is_done=True)
    progress.chunk(3, 3, chunk(100), is_done=False)
    assert task.completed == 300
    progress.line(logging.INFO, "10 rows, 10% of 0.0 MB, 5 rows/s, about 2 s remain")
    assert (task.completed, task.fields["rows"]) == (310, "2,010 rows, 5 rows/s")


def test_the_bar_of_a_training_follows_reading_and_folds_and_other_lines_stand_above(bar: Progress) -> None:
    progress = BarProgress(bar, 0)
    task = bar.tasks[0]
    progress.line(logging.INFO, "Reading: 20 rows, 50% of 0.0 MB, 5 rows/s, about 4 s remain")
    assert (task.description, task.percentage) == ("Reading", 50)
    progress.line(logging.INFO, "Fold 1 of 4: roc_auc 0.9 (1.0 s), about 3 s remain")
    assert (task.description, task.completed, task.total, task.fields["rows"]) == ("Fold", 1, 4, "roc_auc 0.9 (1.0 s)")
    progress.line(logging.INFO, "Learning from 2 columns: [age]")
    assert bar.console.file.getvalue() == "Learning from 2 columns: [age]\n"  # type: ignore[attr-defined]


def test_in_a_file_progress_is_lines() -> None:
    file = io.StringIO()
    progress = TextProgress(file)
    progress.chunk(1, 2, chunk(100), is_done=True)
    progress.line(logging.INFO, "Loading v1")
    assert file.getvalue() == "Chunk 1 of 2: t.csv 100, computed before\nLoading v1\n"
