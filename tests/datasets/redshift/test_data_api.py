from __future__ import annotations

import datetime
import json
import threading
import time
import uuid
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_sklearn.aws.connection import AwsConnection
from airflow_sklearn.aws.errors import Kind
from airflow_sklearn.contract import tables
from airflow_sklearn.contract.tables import RedshiftAccess, TableColumn
from airflow_sklearn.datasets.redshift import data_api, transactions
from airflow_sklearn.datasets.redshift.access import open_database
from airflow_sklearn.datasets.redshift.data_api import DataApiDatabase
from airflow_sklearn.datasets.redshift.database import Statement
from airflow_sklearn.exceptions import RedshiftError, SerializationConflictError, StatementRunningError
from local_cloud.redshift.data_api.server import DataApi
from local_cloud.redshift.standin import Redshift
from local_cloud.redshift_cloud import RedshiftCloud
from tests.waiting import PATIENCE

pytestmark = pytest.mark.both_airflows  # their hooks differ

S = Statement


@pytest.fixture
def redshift(redshift_cloud: RedshiftCloud) -> Redshift:
    return redshift_cloud.redshift


@pytest.fixture
def api(redshift_cloud: RedshiftCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataApi]:
    """The Data API of Airflow's default connection to AWS; whoever waits for it waits shortly."""
    found = redshift_cloud.redshift.data_api
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(found.connection(redshift_cloud.cloud)))
    monkeypatch.setattr(transactions, "_FIRST_PAUSE", 0.02)
    monkeypatch.setattr(data_api, "_SHORT_SECONDS", 0.5)
    found.restore()
    yield found
    found.restore()


@pytest.fixture
def database(api: DataApi) -> DataApiDatabase:
    return _open(api)


@pytest.fixture
def table(redshift: Redshift) -> str:
    """An empty table of the test's own."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    redshift.query(f"CREATE TABLE {name} (a INTEGER, b VARCHAR(64))")
    return name


def _open(api: DataApi, **how: Any) -> DataApiDatabase:
    client, where = api.client(), tables.DataApi(workgroup_name=api.workgroup, database="dev")
    return DataApiDatabase(lambda: client, where, tag=f"airflow-sklearn {uuid.uuid4().hex}", **how)


def test_the_api_is_reached_with_airflows_connection_to_aws(api: DataApi) -> None:
    where = tables.DataApi(workgroup_name=api.workgroup, database="dev")
    database = open_database(RedshiftAccess(data_api=where), AwsConnection("aws_default"), tag="t")
    assert database.run([S("SELECT 1")], step="s")[0].rows == ((1,),)


def test_answers_have_columns_with_types_and_values_of_python(database: DataApiDatabase) -> None:
    [answer] = database.run(
        [
            S(
                "SELECT CAST(1 AS SMALLINT) AS a, CAST(2 AS BIGINT) AS b, CAST('1.50' AS NUMERIC(9, 2)) AS c, "
                "CAST('x' AS VARCHAR(7)) AS d, DATE '2024-02-29' AS \"E e\", CAST(NULL AS TIMESTAMP) AS f, TRUE AS g, "
                "CAST(0.1 AS DOUBLE PRECISION) AS h, CAST('2024-02-29 01:02:03+00' AS TIMESTAMPTZ) AS i, "
                "CAST('2024-02-29 01:02:03.5' AS TIMESTAMP) AS j, '' AS k"
            )
        ],
        step="look",
    )
    assert answer.columns[:5] == (
        TableColumn(name="a", type="int2"),
        TableColumn(name="b", type="int8"),
        TableColumn(name="c", type="numeric(9,2)"),
        TableColumn(name="d", type="varchar(7)"),
        TableColumn(name="E e", type="date"),
    )
    moment = datetime.datetime(2024, 2, 29, 1, 2, 3)
    zoned, later = moment.replace(tzinfo=datetime.UTC), moment.replace(microsecond=500_000)
    day = datetime.date(2024, 2, 29)
    assert answer.rows == ((1, 2, Decimal("1.50"), "x", day, None, True, 0.1, zoned, later, ""),)


def test_a_long_answer_is_read_to_its_end(api: DataApi, database: DataApiDatabase, table: str) -> None:
    api.page_rows = 3
    rows = ", ".join(f"({number}, 'x')" for number in range(10))
    answers = database.run([S(f"INSERT INTO {table} VALUES {rows}"), S(f"SELECT a FROM {table} ORDER BY a")], step="s")
    assert answers[1].rows == tuple((number,) for number in range(10))
    assert api.calls["GetStatementResult"] >= 4


@pytest.mark.parametrize("value", ["o'clock", "a\\", "'; DROP TABLE t; --", "%s ? :a $1", "", None, "ü€𝄞\n"])
def test_values_are_bound(database: DataApiDatabase, value: str | None) -> None:
    [answer] = database.run([S("SELECT CAST(:a AS VARCHAR(64)), CAST(:a AS VARCHAR(64))", {"a": value})], step="s")
    assert answer.rows == ((value, value),)


def test_statements_of_a_transaction_may_have_other_values_of_one_name(database: DataApiDatabase) -> None:
    sql = "SELECT CAST(:a AS VARCHAR(9))"
    same = "SELECT CAST(:a_2 AS VARCHAR(9))"
    statements = [
        S(sql, {"a": "1"}),
        S(sql, {"a": "2"}),
        S(sql, {"a": "1"}),
        S(same, {"a_2": "3"}),
        S(sql, {"a": None}),
    ]
    assert [answer.rows[0][0] for answer in database.run(statements, step="s")] == ["1", "2", "1", "3", None]


def test_statements_without_a_result_have_an_empty_answer(database: DataApiDatabase, table: str) -> None:
    answers = database.run([S(f"DELETE FROM {table}"), S(f"SELECT a FROM {table}")], step="s")
    assert [len(answer.columns) for answer in answers] == [0, 1]
    assert [answer.rows for answer in answers] == [(), ()]


def test_names_keep_capitals_and_statements_can_be_found_by_their_tag(api: DataApi, redshift: Redshift) -> None:
    name, mark = f"Odd {uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    database = _open(api)
    database.run([S(f'CREATE TABLE "{name}" ("Ab c" INTEGER)'), S(f"SELECT '{mark}'")], step="make it")
    [answer] = database.run([S(f'SELECT * FROM "{name}"')], step="s")
    assert answer.columns[0].name == "Ab c"
    [seen] = redshift.statements(f"^SELECT '{mark}'")
    assert seen.query_group.startswith("airflow-sklearn ")
    assert api.statements[-2].asked["StatementName"] == f"{seen.query_group} make it"


def test_a_failure_leaves_nothing_and_says_what_redshift_said(
    database: DataApiDatabase, redshift: Redshift, table: str
) -> None:
    statements = [S(f"INSERT INTO {table} VALUES (1, 'x')"), S("SELECT * FROM no_such_table")]
    with pytest.raises(RedshiftError, match=r'\(load\): relation "no_such_table" does not exist') as refused:
        database.run(statements, step="load")
    assert "The statement: SELECT * FROM no_such_table" in str(refused.value)
    assert refused.value.sqlstate == "42"  # so that no retry is lost on it
    assert redshift.query(f"SELECT COUNT(*) FROM {table}") == [(0,)]


def test_a_conflict_is_run_again_until_it_passes(
    api: DataApi, database: DataApiDatabase, redshift: Redshift, table: str
) -> None:
    api.fail("1023\n  Detail: Serializable isolation violation on table - 1", containing=table, times=2)
    database.run([S(f"INSERT INTO {table} VALUES (1, 'x')")], step="load")
    assert redshift.query(f"SELECT COUNT(*) FROM {table}") == [(1,)]


def test_a_conflict_that_does_not_end_is_an_error(
    api: DataApi, database: DataApiDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "TRIES", 3)
    mark, before = uuid.uuid4().hex, api.calls["BatchExecuteStatement"]
    api.fail("1023\n  Detail: Serializable isolation violation on table - 1", containing=mark, times=99)
    with pytest.raises(SerializationConflictError, match="was run 3 times"):
        database.run([S(f"SELECT '{mark}'")], step="load")
    assert api.calls["BatchExecuteStatement"] - before == 3


@pytest.mark.parametrize(
    "code", ["ThrottlingException", "ActiveStatementsExceededException", "InternalServerException"]
)
@pytest.mark.parametrize("operation", ["BatchExecuteStatement", "DescribeStatement", "GetStatementResult"])
def test_a_busy_service_is_waited_for(api: DataApi, database: DataApiDatabase, operation: str, code: str) -> None:
    api.refuse(operation, code, times=3)
    assert database.run([S("SELECT 1")], step="s")[0].rows == ((1,),)


def test_a_service_that_stays_busy_is_an_error(
    api: DataApi, database: DataApiDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(data_api._PATIENCE, Kind.THROTTLED, 0.0)
    api.refuse("BatchExecuteStatement", "ActiveStatementsExceededException", "Too many statements.", times=99)
    with pytest.raises(RedshiftError, match="ActiveStatementsExceededException: Too many statements"):
        database.run([S("SELECT 1")], step="s")


def test_an_answer_that_is_lost_runs_nothing_twice(
    api: DataApi, database: DataApiDatabase, redshift: Redshift, table: str
) -> None:
    api.lose_answers("BatchExecuteStatement", times=3)
    database.run([S(f"INSERT INTO {table} VALUES (1, 'x')")], step="load")
    assert redshift.query(f"SELECT COUNT(*) FROM {table}") == [(1,)]


def test_another_attempt_runs_the_same_statements_again(api: DataApi, redshift: Redshift, table: str) -> None:
    """AWS remembers a token for hours: a task that was cleared must not be answered from before."""
    for _ in range(2):
        _open(api).run([S(f"INSERT INTO {table} VALUES (1, 'x')")], step="load")
    assert redshift.query(f"SELECT COUNT(*) FROM {table}") == [(2,)]


def test_wrong_arguments_are_explained(api: DataApi) -> None:
    where = tables.DataApi(workgroup_name="nobody", database="dev")
    database = DataApiDatabase(api.client, where, tag="t")
    with pytest.raises(RedshiftError, match=r"nobody, database dev.*ValidationException.*Look at data_api"):
        database.run([S("SELECT 1")], step="s")


def test_a_cluster_is_addressed_as_well_as_a_workgroup(api: DataApi) -> None:
    where = tables.DataApi(cluster_identifier=api.cluster, database="dev", db_user="awsuser")
    assert DataApiDatabase(api.client, where, tag="t").run([S("SELECT 1")], step="s")[0].rows == ((1,),)


def test_what_the_api_cannot_take_is_told_before_it_is_asked(api: DataApi, database: DataApiDatabase) -> None:
    before = api.calls["BatchExecuteStatement"]
    long = [S(f"SELECT {number}, '{'x' * 100_000}'") for number in range(2)]
    with pytest.raises(RedshiftError) as refused:
        database.run([*long, *(S("SELECT 1") for _ in range(40))], step="load")
    assert str(refused.value).count("100,000 is the most") == 2
    assert "44 statements, and 40 is the most" in str(refused.value)
    assert api.calls["BatchExecuteStatement"] == before


def test_a_short_statement_needs_no_deferral(api: DataApi) -> None:
    statements: dict[str, str] = {}
    assert _open(api, wait=False, statements=statements).run([S("SELECT 1")], step="s")[0].rows == ((1,),)
    assert len(statements) == 1


def test_a_deferred_task_that_starts_over_gets_its_answers(api: DataApi, redshift: Redshift, table: str) -> None:
    statements: dict[str, str] = {}
    short, long = [S(f"INSERT INTO {table} VALUES (1, 'x')")], [S(f"SELECT a FROM {table}")]
    with api.held(f"SELECT a FROM {table}"):
        database = _open(api, wait=False, statements=statements)
        database.run(short, step="short")
        with pytest.raises(StatementRunningError) as running:
            database.run(long, step="long")
    assert running.value.statement_id == api.statements[-1].id
    assert running.value.statements == statements
    assert set(statements.values()) == {statement.id for statement in api.statements[-2:]}
    count = len(api.statements)
    over = _open(api, wait=True, statements=dict(running.value.statements))
    over.run(short, step="short")
    assert over.run(long, step="long")[0].rows == ((1,),)
    assert len(api.statements) == count
    assert redshift.query(f"SELECT COUNT(*) FROM {table}") == [(1,)]


def test_what_differs_from_what_ran_under_a_name_is_run(api: DataApi, table: str) -> None:
    """Steps of two databases may have one name, as may an old task's after its code has changed."""
    statements: dict[str, str] = {}
    assert _open(api, statements=statements).run([S("SELECT 1")], step="s")[0].rows == ((1,),)
    assert _open(api, statements=statements).run([S("SELECT 2")], step="s")[0].rows == ((2,),)
    sql = "SELECT CAST(:a AS VARCHAR(9))"
    assert _open(api, statements=statements).run([S(sql, {"a": "1"})], step="s")[0].rows == (("1",),)
    assert _open(api, statements=statements).run([S(sql, {"a": "2"})], step="s")[0].rows == (("2",),)


def test_a_conflict_found_after_a_deferral_is_run_again_once(api: DataApi, redshift: Redshift, table: str) -> None:
    insert = [S(f"INSERT INTO {table} VALUES (1, 'x')")]
    api.fail("1023\n  Detail: Serializable isolation violation on table - 1", containing=table)
    statements: dict[str, str] = {}
    _open(api, statements=statements).run(insert, step="load")
    assert len(statements) == 2
    _open(api, statements=statements).run(insert, step="load")
    assert redshift.query(f"SELECT COUNT(*) FROM {table}") == [(1,)]


def test_a_failure_found_after_a_deferral_is_raised(api: DataApi) -> None:
    mark = uuid.uuid4().hex
    database = _open(api, wait=False)
    with api.held(mark), pytest.raises(StatementRunningError) as running:
        database.run([S(f"SELECT no_such_column, '{mark}'")], step="load")
    over = _open(api, wait=True, statements=running.value.statements)
    with pytest.raises(RedshiftError, match="no_such_column"):
        over.run([S(f"SELECT no_such_column, '{mark}'")], step="load")


def test_a_statement_that_aws_has_forgotten_is_explained(api: DataApi) -> None:
    statements: dict[str, str] = {}
    _open(api, statements=statements).run([S("SELECT 1")], step="s")
    gone = {name: str(uuid.uuid4()) for name in statements}
    with pytest.raises(RedshiftError, match="kept for 24 hours: run the task again"):
        _open(api, statements=gone).run([S("SELECT 1")], step="s")


def test_cancel_stops_what_runs(api: DataApi, database: DataApiDatabase, redshift: Redshift, table: str) -> None:
    mark = uuid.uuid4().hex
    with api.held(mark) as waits:
        threading.Thread(target=lambda: (waits.wait(PATIENCE), time.sleep(0.2), database.cancel())).start()
        with pytest.raises(RedshiftError, match="load was cancelled in Redshift"):
            database.run([S(f"INSERT INTO {table} VALUES (1, 'x')"), S(f"SELECT '{mark}'")], step="load")
    assert redshift.query(f"SELECT COUNT(*) FROM {table}") == [(0,)]


def test_cancel_leaves_a_deferred_statement_to_its_trigger(api: DataApi) -> None:
    mark, before = uuid.uuid4().hex, api.calls["CancelStatement"]
    database = _open(api, wait=False)
    with api.held(mark):
        with pytest.raises(StatementRunningError):
            database.run([S(f"SELECT '{mark}'")], step="load")
        database.cancel()
    assert api.calls["CancelStatement"] == before


def test_nothing_runs_after_cancel_which_never_raises(api: DataApi, database: DataApiDatabase) -> None:
    before = len(api.statements)
    database.cancel()
    with pytest.raises(RedshiftError, match="load was cancelled"):
        database.run([S("SELECT 1")], step="load")
    assert len(api.statements) == before


@pytest.mark.parametrize("given", [{}, {"a": "1", "b": "2"}])
def test_values_that_do_not_fit_the_statement_are_a_mistake(database: DataApiDatabase, given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="has the parameters"):
        database.run([S("SELECT CAST(:a AS INTEGER)", given)], step="s")


def test_polls_grow_rarer(api: DataApi, database: DataApiDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    mark, before, pauses = uuid.uuid4().hex, api.calls["DescribeStatement"], list[float]()

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        time.sleep(seconds)

    monkeypatch.setattr(data_api, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    api.delay(2.0, containing=mark)
    database.run([S(f"SELECT '{mark}'")], step="s")
    assert api.calls["DescribeStatement"] - before == len(pauses) + 1
    assert 2 <= len(pauses) <= 12
    assert all(later >= 1.4 * earlier for earlier, later in pairwise(pauses))
