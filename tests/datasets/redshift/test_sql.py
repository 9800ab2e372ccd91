from __future__ import annotations

import datetime
import hashlib
from typing import Any

import pytest

from airflow_sklearn.datasets.redshift.sql import (
    contained,
    contained_query,
    iam_role,
    identifier,
    inline,
    literal,
    parameter_names,
    parse_table,
    qualified,
    quoted,
    replace_parameters,
    unload_text,
)
from airflow_sklearn.exceptions import UserError
from local_cloud.redshift_cloud import RedshiftCloud

HOSTILE = [
    "o'clock",
    'say "hi"',
    "a\\",
    "\\' OR 1=1 --",
    "'; DROP TABLE t; --",
    "$$x$$",
    "line\nbreak",
    "%s :a ?",
    "ü€𝄞",
]


def test_a_name_keeps_what_is_in_it() -> None:
    assert identifier('My "odd" name; --') == '"My ""odd"" name; --"'
    assert qualified(["My Schema", "select"]) == '"My Schema"."select"'


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 128, "é" * 64])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="is not a name in Redshift"):
        identifier(name)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Flights", ("flights",)),
        ("Analytics.Flights_2$", ("analytics", "flights_2$")),
        (' "My Schema" . "Ta.ble" ', ("My Schema", "Ta.ble")),
        ('s."a""b"', ("s", 'a"b')),
        ("Müller.ÄÖ", ("müller", "ÄÖ")),
    ],
)
def test_a_table_is_read_as_sql_reads_it(text: str, parts: tuple[str, ...]) -> None:
    assert parse_table(text) == parts


@pytest.mark.parametrize(
    "text",
    ["", "t; drop table x", "a b", "a.", ".a", "1a", '"a', '""', "#temporary", "a-b", '"a"b', "(select 1)", "t\n;"],
)
def test_what_does_not_name_a_table_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="does not name a table"):
        parse_table(text)


def test_a_table_of_another_database_is_refused() -> None:
    with pytest.raises(UserError, match="has 3 parts"):
        parse_table("db.schema.table")


@pytest.mark.parametrize("value", [*HOSTILE, "", 0, -7, 2**62, True, False, None, 0.1, -1e300, 5e-324])
def test_the_database_reads_a_literal_as_the_value_that_it_was(redshift_cloud: RedshiftCloud, value: Any) -> None:
    assert redshift_cloud.redshift.query(f"SELECT {literal(value)}") == [(value,)]


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_a_literal_means_the_same_whatever_a_backslash_means(
    redshift_cloud: RedshiftCloud, monkeypatch: pytest.MonkeyPatch, conforming: str
) -> None:
    monkeypatch.setenv("PGOPTIONS", f"-c standard_conforming_strings={conforming}")
    digests = ", ".join(f"MD5({literal(value)})" for value in HOSTILE)
    [row] = redshift_cloud.postgres.query(f"SELECT {digests}")
    assert row == [hashlib.md5(value.encode()).hexdigest() for value in HOSTILE]


def test_dates_and_times_are_literals_of_their_types(redshift_cloud: RedshiftCloud) -> None:
    day, moment = datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 23, 59, 59, 999999)
    zoned = moment.replace(tzinfo=datetime.UTC)
    assert redshift_cloud.redshift.query(f"SELECT {literal(day)}, {literal(moment)}, {literal(zoned)}") == [
        (day, moment, zoned)
    ]


def test_numbers_that_are_none_are_literals(redshift_cloud: RedshiftCloud) -> None:
    [row] = redshift_cloud.redshift.query(
        f"SELECT {literal(float('nan'))} <> 1, {literal(float('inf'))} > 1e300, {literal(float('-inf'))} < -1e300"
    )
    assert row == (True, True, True)


def test_a_negative_number_after_a_minus_is_no_comment() -> None:
    assert inline("1 -:x", {"x": -2}) == "1 -(-2)"


@pytest.mark.parametrize("value", ["a\0b", b"bytes", [1]])
def test_what_sql_cannot_hold_is_no_literal(value: Any) -> None:
    with pytest.raises(UserError):
        literal(value)


def test_where_no_expression_is_taken_a_backslash_is_refused() -> None:
    assert quoted("s3://b/o'clock") == "'s3://b/o''clock'"
    with pytest.raises(UserError, match="backslash"):
        quoted("s3://b/a\\b")


@pytest.mark.parametrize(
    "sql",
    [
        "a = 1",
        "(a = 1 OR b IN (1, 2)) AND c LIKE '%;--/*)%'",
        """ "odd ) name" = 'it''s' """,
        "day = CAST(:day AS DATE) AND x::int > 1",
        "\"a$b\" = '$1 $$' AND path = 'c:\\\\temp\\\\'",
        "a - -1 > 0 AND b / c > 0",
    ],
)
def test_an_expression_that_keeps_to_itself_is_taken(sql: str) -> None:
    assert contained(sql, "where") == sql.strip()


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("a = 1; DROP TABLE t", "a semicolon at character 6"),
        ("a = 1) OR (1 = 1", "a parenthesis that was not opened at character 6"),
        ("a = (1", "a parenthesis that is not closed at character 5"),
        ("a = 1 -- AND b", "a comment at character 7"),
        ("a = 1 /* AND b", "a comment at character 7"),
        ("a /* */ = 1", "a comment at character 3"),
        ("a = 'x", "a quote that is not closed at character 5"),
        ('"a = 1', "a quote that is not closed at character 1"),
        ("a = $$x$$", "a dollar quote at character 5"),
        ("a = $q$ ' $q$", "a dollar quote at character 5"),
        ("a = $1", "a dollar sign outside of quotes (a name that has one goes between double quotes) at character 5"),
        ("a = 1$$'$$) ; DROP TABLE y; --'", "a dollar sign outside of quotes"),
        ("a = 1e5$a$ ' $a$) --'", "a dollar sign outside of quotes"),
        ("a$b = 1", "a dollar sign outside of quotes"),
        ("a = '\\' OR 1 = 1 --'", "a backslash before a quote"),
        ("a = E'\\\\\\' OR 1=1 --'", "a backslash before a quote"),
        ("a = 'x\0'", "a NUL"),
        ("  ", "it is empty"),
    ],
)
def test_an_expression_that_could_leave_its_place_is_refused(sql: str, fault: str) -> None:
    with pytest.raises(UserError) as refused:
        contained(sql, "where")
    assert str(refused.value).startswith("where cannot be used: ")
    assert fault in str(refused.value)


def test_all_that_is_wrong_with_an_expression_is_told_at_once() -> None:
    with pytest.raises(UserError) as refused:
        contained("a = 1); DROP TABLE t -- x", "where")
    for fault in ("parenthesis", "semicolon", "comment"):
        assert fault in str(refused.value)


@pytest.mark.parametrize("sql", ["SELECT 1", "with a as (select 1) select * from a", " (SELECT 1) UNION (SELECT 2) ; "])
def test_a_query_may_end_in_a_semicolon(sql: str) -> None:
    assert contained_query(sql) == sql.strip().rstrip("; ")


@pytest.mark.parametrize("sql", ["DELETE FROM t", "", "SELECTED", "CALL f()", "; SELECT 1"])
def test_what_is_no_select_is_refused(sql: str) -> None:
    with pytest.raises(UserError, match="The query is no query"):
        contained_query(sql)


def test_a_query_with_a_second_statement_is_refused() -> None:
    with pytest.raises(UserError, match="a semicolon at character 9"):
        contained_query("SELECT 1; DELETE FROM t;")


def test_parameters_are_found_outside_of_quotes_only() -> None:
    sql = "a = :a AND b = ':b' AND \":c\" = x::int AND d = :a_2 AND e[1:2] /* :f */ = $$:g$$ -- :h"
    assert parameter_names(sql) == ("a", "a_2")
    assert replace_parameters(sql, str.upper) == sql.replace(":a_2", "A_2").replace("= :a ", "= A ")


def test_values_are_written_where_nothing_can_be_bound(redshift_cloud: RedshiftCloud) -> None:
    sql = inline("SELECT :text, ':text', :number", {"text": "\\'; --", "number": 3})
    assert redshift_cloud.redshift.query(sql) == [("\\'; --", ":text", 3)]


def test_parameters_without_value_and_values_without_parameter_are_all_named() -> None:
    with pytest.raises(UserError) as refused:
        inline("a = :a AND b = :b", {"c": 1, "d": 2})
    assert all(f"{name}" in str(refused.value) for name in (":a has no", ":b has no", "'c' is used", "'d' is used"))


@pytest.mark.parametrize("value", HOSTILE)
def test_unload_gets_the_query_that_was_meant(redshift_cloud: RedshiftCloud, value: str) -> None:
    query = f'SELECT {literal(value)} AS "a"'
    assert redshift_cloud.redshift.query(f"SELECT {unload_text(query)}") == [(query,)]


@pytest.mark.parametrize(
    ("query", "begin"),
    [
        ("SELECT '\\\\d+ $ $q$'", "$$SELECT"),
        ("SELECT '\\\\d+ $$'", "$q$SELECT"),
        ("SELECT '\\\\d+', $", "$q$SELECT"),
        ("SELECT '\\\\d+ $$ $q$ $qq$', $", "$qqq$SELECT"),
        ("SELECT '\\\\d+ $$', $q", "$qq$SELECT"),
    ],
)
def test_a_query_with_backslashes_and_dollars_survives_in_unload(
    redshift_cloud: RedshiftCloud, query: str, begin: str
) -> None:
    assert unload_text(query).startswith(begin)
    assert redshift_cloud.redshift.query(f"SELECT {unload_text(query)}") == [(query,)]


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("default", "default"),
        (" DEFAULT ", "default"),
        ("arn:aws:iam::123456789012:role/a/b", "'arn:aws:iam::123456789012:role/a/b'"),
        (
            "arn:aws-cn:iam::123456789012:role/a, arn:aws-cn:iam::123456789012:role/b",
            "'arn:aws-cn:iam::123456789012:role/a,arn:aws-cn:iam::123456789012:role/b'",
        ),
    ],
)
def test_roles_are_written_as_redshift_takes_them(given: str, written: str) -> None:
    assert iam_role(given) == written


@pytest.mark.parametrize("given", ["", "my-role", "arn:aws:iam::123456789012:role/a' CSV", "default; x"])
def test_what_is_no_role_is_refused(given: str) -> None:
    with pytest.raises(UserError, match="is no ARN of an IAM role"):
        iam_role(given)
