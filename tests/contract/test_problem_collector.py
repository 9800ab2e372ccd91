from __future__ import annotations

from airflow_sklearn.contract.problems import Problem

URI = "s3://acme/" + "folder/" * 60 + "t.csv"


def test_one_line_names_the_file_and_is_not_cut_off_before_the_value_and_the_fix() -> None:
    problem = Problem(
        kind="wrong_type",
        message="values that are not a number",
        column="x",
        file=URI,
        count=3,
        examples=(f"'{'a' * 5000}' at id=17",),
        fix="correct them.",
    )
    text = str(problem)
    assert text.startswith("wrong_type: column 'x' in t.csv: values that are not a number (for example 'aaa")
    assert text.endswith("aaa' at id=17) [3 times]. Fix: correct them.")
    assert len(text) < 400


def test_no_line_of_an_error_begins_with_a_uri() -> None:
    problem = Problem(kind="null_key", message="rows without a key", file=URI, count=2)
    assert problem.lines() == [
        "null_key: rows without a key",
        f"Where: t.csv, in {URI.removesuffix('t.csv')}",
        "How many: 2",
    ]


def test_a_problem_of_no_column_and_no_file_has_one_colon() -> None:
    assert str(Problem(kind="extra_column", message="columns that are not used")) == (
        "extra_column: columns that are not used."
    )
