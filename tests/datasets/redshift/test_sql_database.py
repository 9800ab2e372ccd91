from __future__ import annotations

import datetime
import json
import logging
import signal
import threading
import time
import uuid
from decimal import Decimal
from typing import Any

import pytest

from airflow_sklearn.aws.connection import AwsConnection
from airflow_sklearn.contract.tables import RedshiftAccess, TableColumn
from airflow_sklearn.datasets.redshift import transactions
from airflow_sklearn.datasets.redshift.access import open_database
from airflow_sklearn.datasets.redshift.database import Statement
from airflow_sklearn.datasets.redshift.sql_database import SqlDatabase
from airflow_sklearn.exceptions import RedshiftError, SerializationConflictError
from local_cloud.redshift.standin import Redshift
from tests.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.both_airflows  # their hooks differ

S = Statement


@pytest.fixture
def redshift(redshift_cloud: Any, monkeypatch: pytest.MonkeyPatch) -> Redshift:
    """The stand-in as Airflow's default connection; conflicts are run again without long pauses."""
    monkeypatch.setenv("AIRFLOW_CONN_REDSHIFT_DEFAULT", json.dumps(redshift_cloud.redshift.connection))
    monkeypatch.setattr(transactions, "_FIRST_PAUSE", 0.02)
    return redshift_cloud.redshift


@pytest.fixture
def database(redshift: Redshift) -> SqlDatabase:
    found = open_database(RedshiftAccess(), AwsConnection(None), tag=f"airflow-sklearn d.t {uuid.uuid4().hex}")
    assert isinstance(found, SqlDatabase)
    return found


@pytest.fixture
def table(redshift: Redshift) -> str:
    """An empty table of the test's own."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    redshift.query(f"CREATE TABLE {name} (a INTEGER, b VARCHAR(64))")
    return name


def test_a_session_says_which_application_it_is_of_unless_the_connection_says_it(
    redshift: Redshift, database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [S("SELECT CAST(current_setting('application_name') AS VARCHAR(64))")]
    assert database.run(asked, step="look")[0].rows == (("airflow-sklearn",),)
    connection = redshift.connection
    connection["extra"]["application_name"] = "nightly"
    monkeypatch.setenv("AIRFLOW_CONN_REDSHIFT_DEFAULT", json.dumps(connection))
    named = open_database(RedshiftAccess(), AwsConnection(None), tag="airflow-sklearn d.t")
    assert named.run(asked, step="look")[0].rows == (("nightly",),)


def test_answers_have_columns_with_types_and_values_of_python(database: SqlDatabase) -> None:
    [answer] = database.run(
        [
            S(
                "SELECT CAST(1 AS SMALLINT) AS a, CAST(2 AS BIGINT) AS b, CAST('1.50' AS NUMERIC(9, 2)) AS c, "
                "CAST('x' AS VARCHAR(7)) AS d, DATE '2024-02-29' AS \"E e\", CAST(NULL AS TIMESTAMP) AS f, TRUE AS g, "
                "CAST(0.1 AS DOUBLE PRECISION) AS h, CAST('2024-02-29 01:02:03+00' AS TIMESTAMPTZ) AS i"
            )
        ],
        step="look",
    )
    assert answer.columns == tuple(
        TableColumn(name=name, type=kind)
        for name, kind in [
            ("a", "smallint"),
            ("b", "bigint"),
            ("c", "numeric(9,2)"),
            ("d", "varchar(7)"),
            ("E e", "date"),
            ("f", "timestamp"),
            ("g", "boolean"),
            ("h", "double precision"),
            ("i", "timestamptz"),
        ]
    )
    moment = datetime.datetime(2024, 2, 29, 1, 2, 3, tzinfo=datetime.UTC)
    assert answer.rows == ((1, 2, Decimal("1.50"), "x", datetime.date(2024, 2, 29), None, True, 0.1, moment),)


def test_each_statement_has_an_answer_and_settings_have_none(database: SqlDatabase, table: str) -> None:
    answers = database.run(
        [
            S(f"INSERT INTO {table} VALUES (1, 'x')"),
            S(f"SELECT a FROM {table}"),
            S(f"SELECT a FROM {table} WHERE a > 1"),
        ],
        step="s",
    )
    assert [answer.rows for answer in answers] == [(), ((1,),), ()]
    assert [len(answer.columns) for answer in answers] == [0, 1, 1]


@pytest.mark.parametrize("value", ["o'clock", "a\\", "'; DROP TABLE t; --", "%s ? :a $1", "", None, "ü€𝄞\n"])
def test_values_are_bound(database: SqlDatabase, value: str | None) -> None:
    [answer] = database.run([S("SELECT CAST(:a AS VARCHAR(64)), CAST(:a AS VARCHAR(64))", {"a": value})], step="s")
    assert answer.rows == ((value, value),)


def test_parameters_stand_beside_all_that_looks_like_one(database: SqlDatabase) -> None:
    sql = """SELECT ':x', '?', '%s', 12 % 5, CAST(:x AS VARCHAR(9)), CAST('12:30' AS TIME)::VARCHAR(9) AS "a:b?%" """
    [answer] = database.run([S(sql, {"x": "y"})], step="s")
    assert answer.rows == ((":x", "?", "%s", 2, "y", "12:30:00"),)
    assert answer.columns[-1].name == "a:b?%"


def test_a_statement_without_parameters_is_sent_as_it_is(database: SqlDatabase, redshift: Redshift) -> None:
    sql = f"SELECT ':x', '%s', '?' /* {uuid.uuid4().hex} :y %s ? */"
    database.run([S(sql)], step="s")
    assert [seen.sql for seen in redshift.statements(sql[-25:-12])] == [sql]


@pytest.mark.parametrize("given", [{}, {"a": "1", "b": "2"}])
def test_values_that_do_not_fit_the_statement_are_a_mistake(database: SqlDatabase, given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="has the parameters"):
        database.run([S("SELECT CAST(:a AS INTEGER)", given)], step="s")


def test_names_keep_capitals_and_statements_can_be_found_by_their_tag(redshift: Redshift) -> None:
    tag = "airflow-sklearn it's " + "x" * 400 + "\\"
    mark, name = uuid.uuid4().hex, f"Odd {uuid.uuid4().hex[:8]}"
    database = SqlDatabase("redshift_default", None, tag=tag)
    database.run([S(f'CREATE TABLE "{name}" ("Ab c" INTEGER)'), S(f"SELECT '{mark}'")], step="s")
    [answer] = database.run([S(f'SELECT * FROM "{name}"')], step="s")
    assert answer.columns[0].name == "Ab c"
    assert [seen.query_group for seen in redshift.statements(mark)] == [tag[:320]]


def test_a_failure_leaves_nothing_and_says_what_redshift_said(
    database: SqlDatabase, redshift: Redshift, table: str
) -> None:
    statements = [
        S(f"INSERT INTO {table} VALUES (1, 'x')"),
        S("SELECT * FROM no_such_table WHERE a = :a", {"a": "secret"}),
    ]
    with pytest.raises(RedshiftError) as refused:
        database.run(statements, step="load")
    assert refused.value.sqlstate == "42P01"
    assert "(load)" in str(refused.value)
    assert "no_such_table" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert redshift.query(f"SELECT COUNT(*) FROM {table}") == [(0,)]


def test_a_long_statement_is_shortened_in_the_message(database: SqlDatabase) -> None:
    with pytest.raises(RedshiftError) as refused:
        database.run([S("SELECT no_such_column, " + "1, " * 10_000 + "1")], step="s")
    assert len(str(refused.value)) < 1_000


def test_a_conflict_is_run_again_until_it_passes(database: SqlDatabase, redshift: Redshift, table: str) -> None:
    with redshift.fail(f"insert into {table}", "1023", detail="Serializable isolation violation", times=3) as conflict:
        database.run([S(f"INSERT INTO {table} VALUES (1, 'x')")], step="load")
    assert conflict.fired == 3
    assert redshift.query(f"SELECT COUNT(*) FROM {table}") == [(1,)]


def test_a_conflict_that_the_commit_finds_is_run_again(database: SqlDatabase, redshift: Redshift, table: str) -> None:
    with redshift.fail("^commit", "1023", detail="Serializable isolation violation") as conflict:
        database.run([S(f"INSERT INTO {table} VALUES (1, 'x')")], step="load")
    assert conflict.fired == 1
    assert redshift.query(f"SELECT COUNT(*) FROM {table}") == [(1,)]


def test_two_that_write_what_the_other_reads_both_arrive(redshift: Redshift, table: str) -> None:
    """A real conflict: each counts the table's rows and adds one with the count."""
    statement = S(f"INSERT INTO {table} SELECT COUNT(*), 'x' FROM {table}")
    databases = [SqlDatabase("redshift_default", None, tag=f"w{number}") for number in range(3)]
    threads = [threading.Thread(target=each.run, args=([statement],), kwargs={"step": "s"}) for each in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert redshift.query(f"SELECT a FROM {table} ORDER BY a") == [(0,), (1,), (2,)]


def test_a_conflict_that_does_not_end_is_an_error(
    database: SqlDatabase, redshift: Redshift, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "TRIES", 3)
    mark = uuid.uuid4().hex
    with (
        redshift.fail(mark, "1018", detail="Relation does not exist", times=99) as conflict,
        pytest.raises(SerializationConflictError, match="was run 3 times"),
    ):
        database.run([S(f"SELECT '{mark}'")], step="load")
    assert conflict.fired == 3


def test_a_connection_that_breaks_leaves_nothing(database: SqlDatabase, redshift: Redshift, table: str) -> None:
    mark = uuid.uuid4().hex
    with (
        redshift.drop_connection(mark),
        pytest.raises(RedshiftError, match="Nothing of this transaction is in the database"),
    ):
        database.run([S(f"INSERT INTO {table} VALUES (1, 'x')"), S(f"SELECT '{mark}'")], step="load")
    assert redshift.query(f"SELECT COUNT(*) FROM {table}") == [(0,)]
    database.run([S("SELECT 1")], step="after")


@pytest.mark.parametrize(("when", "rows"), [("before", 0), ("after", 1)])
def test_a_connection_that_breaks_at_the_commit_is_not_tried_again(
    database: SqlDatabase, redshift: Redshift, table: str, when: Any, rows: int
) -> None:
    with (
        redshift.drop_connection("^commit", when=when),
        pytest.raises(RedshiftError, match="may be in the database, whole, or not"),
    ):
        database.run([S(f"INSERT INTO {table} VALUES (1, 'x')")], step="load")
    assert redshift.query(f"SELECT COUNT(*) FROM {table}") == [(rows,)]


def test_a_wait_for_a_lock_sees_what_was_committed_meanwhile(redshift: Redshift, table: str) -> None:
    """Whoever locks first must not have looked before: that would be a conflict each time."""
    first, second = (SqlDatabase("redshift_default", None, tag=name) for name in ("first", "second"))
    mark = uuid.uuid4().hex
    lock, count = S(f"LOCK {table}"), S(f"INSERT INTO {table} SELECT COUNT(*), '{mark}' FROM {table}")
    with redshift.pause(f"count.*{mark}", times=1) as pause:
        thread = threading.Thread(target=first.run, args=([lock, count],), kwargs={"step": "s"})
        thread.start()
        pause.wait()
        other = threading.Thread(target=second.run, args=([lock, count],), kwargs={"step": "s"})
        other.start()
        time.sleep(0.5)
    thread.join(PATIENCE)
    other.join(PATIENCE)
    assert redshift.query(f"SELECT a FROM {table} ORDER BY a") == [(0,), (1,)]
    assert len(redshift.statements(f"insert.*{mark}")) == 2


def test_cancel_stops_what_runs_from_a_signal_handler(
    database: SqlDatabase, redshift: Redshift, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = uuid.uuid4().hex
    before = signal.signal(signal.SIGUSR1, lambda *_: database.cancel())
    main = threading.get_ident()
    try:
        with redshift.pause(mark) as pause:
            threading.Thread(
                target=lambda: (pause.wait(), time.sleep(0.2), signal.pthread_kill(main, signal.SIGUSR1))
            ).start()
            with pytest.raises(RedshiftError, match="cancel"):  # while the statement still is paused
                database.run([S(f"SELECT '{mark}'")], step="load")
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_nothing_runs_after_cancel(database: SqlDatabase, redshift: Redshift) -> None:
    mark = uuid.uuid4().hex
    database.cancel()
    with pytest.raises(RedshiftError, match="load was cancelled"):
        database.run([S(f"SELECT '{mark}'")], step="load")
    assert redshift.statements(mark) == []


def test_cancel_never_raises(
    database: SqlDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "_backend", 1)
    monkeypatch.setattr(SqlDatabase, "_hook", property(lambda _: 1 / 0))
    with caplog.at_level(logging.WARNING):
        database.cancel()
    assert "failed: division by zero" in caplog.text


def test_cancel_does_not_wait_for_ever(
    database: SqlDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hangs = threading.Event()
    monkeypatch.setattr(database, "_backend", 1)
    monkeypatch.setattr(database, "_cancel_backend", hangs.wait)
    monkeypatch.setattr(transactions, "_CANCEL_SECONDS", 0.2)
    with caplog.at_level(logging.WARNING):
        database.cancel()
    hangs.set()
    assert "takes longer than" in caplog.text


def test_an_exception_amid_a_statement_cancels_it(database: SqlDatabase, redshift: Redshift, table: str) -> None:
    """As Airflow's timeout of a task comes: raised by a signal's handler inside of the driver."""

    class TimeIsUpError(BaseException):
        pass

    def handler(*_: Any) -> None:
        raise TimeIsUpError

    before = signal.signal(signal.SIGALRM, handler)
    main, mark = threading.get_ident(), uuid.uuid4().hex
    try:
        with redshift.pause(mark) as pause:
            threading.Thread(
                target=lambda: (pause.wait(), time.sleep(0.2), signal.pthread_kill(main, signal.SIGALRM))
            ).start()
            with pytest.raises(TimeIsUpError):
                database.run([S(f"INSERT INTO {table} VALUES (1, 'x')"), S(f"SELECT '{mark}'")], step="load")
            # Cancelled, and not let go: the pause still holds.
            wait_for(lambda: [seen.status for seen in redshift.statements(f"^SELECT '{mark}'")] != ["running"])
    finally:
        signal.signal(signal.SIGALRM, before)
    assert redshift.query(f"SELECT COUNT(*) FROM {table}") == [(0,)]


def test_no_way_to_the_cluster_is_told_with_host_and_port(redshift: Redshift, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.amazon.aws.hooks.redshift_sql import RedshiftSQLHook

    monkeypatch.setattr(RedshiftSQLHook.get_conn.retry, "sleep", lambda _: None)  # type: ignore[attr-defined]
    nobody = {**redshift.connection, "port": 1}
    monkeypatch.setenv("AIRFLOW_CONN_MY_CLUSTER", json.dumps(nobody))
    with pytest.raises(RedshiftError) as refused:
        SqlDatabase("my_cluster", None, tag="t").run([S("SELECT 1")], step="s")
    for said in ("'my_cluster'", f"host '{redshift.host}', port 1", "refused", "data_api"):
        assert said in str(refused.value)
    assert redshift.password not in str(refused.value)


def test_an_unknown_airflow_connection_is_named(redshift: Redshift, airflow_home: Any) -> None:
    with pytest.raises(RedshiftError, match="'no_such_connection' cannot be used"):
        SqlDatabase("no_such_connection", None, tag="t").run([S("SELECT 1")], step="s")


def test_a_connection_with_unknown_extras_is_named(redshift: Redshift, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = {**redshift.connection, "extra": {"ssl": False, "no_such_option": 1}}
    monkeypatch.setenv("AIRFLOW_CONN_ODD", json.dumps(odd))
    with pytest.raises(RedshiftError, match=r"'odd' cannot be used.*no_such_option"):
        SqlDatabase("odd", None, tag="t").run([S("SELECT 1")], step="s")


def test_nothing_is_looked_up_before_a_statement_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    open_database(RedshiftAccess(redshift_conn_id="nowhere"), AwsConnection("nowhere"), tag="t").cancel()


@pytest.mark.parametrize(
    ("sqlstate", "message", "conflict"),
    [
        ("XX000", "1023. Detail: Serializable isolation violation on table - 1", True),
        ("XX000", "1018. Detail: Relation does not exist", True),
        ("40001", "could not serialize access", True),
        ("40P01", "deadlock detected", True),
        ("XX000", "could not complete because of conflict with concurrent transaction", True),
        ("42P01", 'relation "t" does not exist', False),
        ("XX000", "S3ServiceException:Access Denied,Status 403,Error AccessDenied,Rid 1023", False),
        ("22001", "Value 10234 too long", False),
    ],
)
def test_conflicts_are_told_from_other_errors(sqlstate: str, message: str, conflict: bool) -> None:
    error = transactions.failure("s", "SELECT 1", message, sqlstate=sqlstate)
    assert isinstance(error, SerializationConflictError) == conflict


@pytest.mark.parametrize(
    ("message", "sqlstate"),
    [
        ('relation "t" does not exist', "42"),
        ('column "a" does not exist in t', "42"),
        ("column t.a does not exist", "42"),
        ("function f(integer) does not exist", "42"),
        ("operator does not exist: integer = character varying", "42"),
        ('relation "t" already exists', "42"),
        ("permission denied for relation t", "42"),
        ("must be owner of relation t", "42"),
        ('syntax error at or near "FROM" Position: 8', "42"),
        ('column reference "a" is ambiguous', "42"),
        ('schema "s" does not exist', "3F"),
        ("UNLOAD of type super is not supported", "0A"),
        ("relation with OID 1234 does not exist", ""),
        ("1018. Detail: Relation does not exist", ""),
        ("S3ServiceException:Access Denied,Status 403", ""),
        ("Query (1) cancelled on user's request", ""),
        ("Value too long for character type: permission denied for x", ""),
        ("no message", ""),
    ],
)
def test_errors_that_a_retry_meets_again_are_known_by_their_wording(message: str, sqlstate: str) -> None:
    assert transactions.presumed_class(message) == sqlstate


def test_pauses_between_tries_grow_and_differ() -> None:
    pauses = [[transactions.pause_before(attempt) for _ in range(50)] for attempt in range(1, 9)]
    assert max(pauses[0]) < max(pauses[3]) <= max(pauses[7]) <= 20
    assert all(len(set(each)) > 1 for each in pauses)
