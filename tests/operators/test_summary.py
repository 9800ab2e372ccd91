from __future__ import annotations

from airflow_sklearn.contract.problems import Problem
from airflow_sklearn.operators.summary import LONGEST_LINE, MOST_LINES, problem_lines


def test_problems_of_many_files_are_one_line_a_kind_and_column() -> None:
    problems = [
        Problem(kind="unseen_level", message="new", column=column, file=f"s3://b/{file}.csv", count=2)
        for file in range(1000)
        for column in ("a", "b")
    ]
    assert problem_lines(problems) == [
        f"unseen_level: column {column!r} in 1000 files: new [2,000 times]." for column in ("a", "b")
    ]


def test_a_problem_of_one_file_names_it() -> None:
    assert problem_lines([Problem(kind="extra_column", message="ignored", file="s3://b/t.csv")]) == [
        "extra_column: in t.csv: ignored."
    ]


def test_the_most_frequent_stay_and_the_rest_are_counted() -> None:
    lines = problem_lines(
        Problem(kind="wrong_type", message="m" * 5000, column=f"c{number}", count=number) for number in range(1, 101)
    )
    assert len(lines) == MOST_LINES + 1
    assert "'c100'" in lines[0]
    assert lines[-1] == "and 80 more"
    assert max(map(len, lines)) <= LONGEST_LINE + 3


def test_nothing_is_nothing() -> None:
    assert problem_lines([]) == []
