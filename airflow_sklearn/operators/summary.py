"""Short texts about problems, for XComs, asset events and logs. Receipts and proofs contain the problems in full."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from airflow_sklearn.contract.problem_collector import ProblemCollector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_sklearn.contract.problems import Problem

MOST_LINES = 20
LONGEST_LINE = 1000  # characters


def problem_lines(problems: Iterable[Problem]) -> list[str]:
    """One line for each kind and column, merged over files, the most frequent first. The last line counts the omitted
    ones.
    """
    merged, files = ProblemCollector(), defaultdict(set)
    for problem in problems:
        files[problem.kind, problem.column].add(problem.file)
        merged.merge([problem.model_copy(update={"file": None})])
    found = merged.problems()
    lines = [str(problem.model_copy(update={"file": _in(files[problem.kind, problem.column])})) for problem in found]
    short = [line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}..." for line in lines[:MOST_LINES]]
    return [*short, *([f"and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else [])]


def _in(files: set[str | None]) -> str | None:
    return files.pop() if len(files) == 1 else f"{len(files)} files"
