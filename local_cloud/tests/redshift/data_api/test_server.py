"""The Redshift Data API's stand-in, through boto3 and through Airflow's hook."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from local_cloud.redshift.data_api.server import DataApi
from local_cloud.redshift_cloud import RedshiftCloud
from local_cloud.waiting import PATIENCE, wait_for


@pytest.fixture
def api(redshift_cloud: RedshiftCloud) -> Iterator[DataApi]:
    """Without faults before and after."""
    redshift_cloud.redshift.data_api.restore()
    yield redshift_cloud.redshift.data_api
    redshift_cloud.redshift.data_api.restore()


@pytest.fixture
def client(api: DataApi) -> Any:
    return api.client()


@pytest.fixture
def submit(redshift_cloud: RedshiftCloud, api: DataApi, client: Any) -> Callable[..., str]:
    """``submit("select 1")`` or, for a batch, ``submit("...", "...")``; the statement's id."""

    def submit(*statements: str, **further: Any) -> str:
        target = {"WorkgroupName": api.workgroup, "Database": redshift_cloud.redshift.database}
        if len(statements) > 1:
            return str(client.batch_execute_statement(Sqls=list(statements), **target, **further)["Id"])
        return str(client.execute_statement(Sql=statements[0], **target, **further)["Id"])

    return submit


@pytest.fixture
def run(client: Any, submit: Callable[..., str]) -> Callable[..., dict[str, Any]]:
    """As ``submit``, until it has ended; what DescribeStatement says."""
    return lambda *statements, **further: _ended(client, submit(*statements, **further))


@pytest.fixture
def table(run: Callable[..., dict[str, Any]]) -> str:
    """An empty table of integers ``a``; its name."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    assert run(f"create table {name} (a int)")["Status"] == "FINISHED"
    return name


def _ended(client: Any, statement: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        described = dict(client.describe_statement(Id=statement))
        return described if described["Status"] in ("FINISHED", "FAILED", "ABORTED") else None

    found = wait_for(look, statement)
    assert found
    return found


def _rows(client: Any, statement: str) -> list[list[Any]]:
    """The values of the first page, without their types."""
    records = client.get_statement_result(Id=statement)["Records"]
    return [[None if "isNull" in one else next(iter(one.values())) for one in record] for record in records]


def _parameters(**values: str) -> list[Mapping[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _refused(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call()
    return refused.value.response["Error"]["Code"], refused.value.response["Error"]["Message"]


# --- Statements and results ---


def test_a_statement_runs_by_itself_and_keeps_its_result(client: Any, run: Callable[..., dict[str, Any]]) -> None:
    described = run("select 1 as one union all select 2 order by one")
    assert (described["Status"], described["HasResultSet"], described["ResultRows"]) == ("FINISHED", True, 2)
    assert described["Duration"] > 0
    assert described["RedshiftPid"] > 0
    assert _rows(client, described["Id"]) == [[1], [2]]


def test_values_come_as_typed_fields(client: Any, run: Callable[..., dict[str, Any]]) -> None:
    described = run(
        """select cast(9007199254740993 as bigint) as big, cast('-1.50' as numeric(18,2)) as amount, true as yes,
        cast(0.1 as double precision) as share, cast('ü' as varchar(10)) as name, cast(null as integer) as nothing,
        date '2026-01-02' as day, timestamp '2026-01-02 03:04:05.5' as at"""
    )
    (record,) = client.get_statement_result(Id=described["Id"])["Records"]
    assert record == [
        {"longValue": 9007199254740993},
        {"stringValue": "-1.50"},
        {"booleanValue": True},
        {"doubleValue": 0.1},
        {"stringValue": "ü"},
        {"isNull": True},
        {"stringValue": "2026-01-02"},
        {"stringValue": "2026-01-02 03:04:05.5"},
    ]


def test_columns_are_described_with_type_length_precision_and_scale(
    client: Any, run: Callable[..., dict[str, Any]]
) -> None:
    described = run("select cast('x' as varchar(10)) as name, cast(1 as numeric(18,2)) as amount, cast(1 as int) as id")
    columns = client.get_statement_result(Id=described["Id"])["ColumnMetadata"]
    assert [(one["name"], one["typeName"], one["precision"], one["scale"]) for one in columns] == [
        ("name", "varchar", 10, 0),
        ("amount", "numeric", 18, 2),
        ("id", "int4", 10, 0),
    ]


def test_an_empty_result_is_a_result(client: Any, run: Callable[..., dict[str, Any]], table: str) -> None:
    described = run(f"select a from {table}")
    assert (described["HasResultSet"], described["ResultRows"]) == (True, 0)
    assert client.get_statement_result(Id=described["Id"])["Records"] == []


def test_a_statement_without_result_says_how_many_rows_it_changed(
    client: Any, run: Callable[..., dict[str, Any]], table: str
) -> None:
    described = run(f"insert into {table} values (1), (2), (3)")
    assert (described["HasResultSet"], described["ResultRows"]) == (False, 3)
    assert _refused(lambda: client.get_statement_result(Id=described["Id"])) == (
        "ResourceNotFoundException",
        "Query does not have result. Please check query status with DescribeStatement.",
    )


def test_a_long_result_comes_in_pages(api: DataApi, client: Any, run: Callable[..., dict[str, Any]]) -> None:
    described = run(
        "select 1 as n union all select 2 union all select 3 union all select 4 union all select 5 order by n"
    )
    api.page_rows = 2
    pages = list(client.get_paginator("get_statement_result").paginate(Id=described["Id"]))
    assert [[record[0]["longValue"] for record in page["Records"]] for page in pages] == [[1, 2], [3, 4], [5]]
    assert pages[0]["TotalNumRows"] == 5


def test_the_database_s_error_is_in_the_description(run: Callable[..., dict[str, Any]]) -> None:
    described = run("select * from there_is_no_such_table")
    assert described["Status"] == "FAILED"
    assert described["Error"].startswith('ERROR: relation "there_is_no_such_table" does not exist')


# --- Batches ---


def test_a_batch_is_one_transaction(client: Any, run: Callable[..., dict[str, Any]], table: str) -> None:
    described = run(f"insert into {table} values (1)", "select * from there_is_no_such_table", "select 1")
    assert described["Status"] == "FAILED"
    assert described["Error"].startswith("Query #2 failed with ERROR: relation")
    assert [one["Status"] for one in described["SubStatements"]][1:] == ["FAILED", "ABORTED"]
    assert _rows(client, run(f"select count(*) from {table}")["Id"]) == [[0]]


def test_results_of_a_batch_have_their_statements_ids(
    client: Any, run: Callable[..., dict[str, Any]], table: str
) -> None:
    described = run(f"insert into {table} values (7), (8)", f"select a from {table} order by a", "select 'x'")
    ids = [one["Id"] for one in described["SubStatements"]]
    assert ids == [f"{described['Id']}:{number}" for number in (1, 2, 3)]
    assert [one["HasResultSet"] for one in described["SubStatements"]] == [False, True, True]
    assert [one["ResultRows"] for one in described["SubStatements"]] == [2, 2, 1]
    assert (_rows(client, ids[1]), _rows(client, ids[2])) == ([[7], [8]], [["x"]])
    assert _refused(lambda: client.get_statement_result(Id=described["Id"])) == (
        "ValidationException",
        "BatchExecuteStatement result can only be retrieved with sub-statement id.",
    )


# --- Parameters ---


def test_parameters_are_bound_by_name_in_each_statement_that_has_them(
    client: Any, run: Callable[..., dict[str, Any]], table: str
) -> None:
    described = run(
        f"insert into {table} values (cast(:first as int)), (cast(:second as int))",
        f"select a from {table} where a > cast(:first as int) or ':first' = ''",
        Parameters=_parameters(first="5", second="6"),
    )
    assert described["Status"] == "FINISHED", described
    assert _rows(client, f"{described['Id']}:2") == [[6]]


def test_a_parameter_never_becomes_sql(client: Any, run: Callable[..., dict[str, Any]], table: str) -> None:
    text = f"'; drop table {table}; --"
    described = run("select cast(:text as varchar(100)) as t", Parameters=_parameters(text=text))
    assert _rows(client, described["Id"]) == [[text]]


@pytest.mark.parametrize(
    ("sql", "parameters", "message"),
    [
        ("select 1", {"id": "1"}, "Parameters list contains unused parameters. Unused parameters: [id]"),
        ("select ':id'", {"id": "1"}, "Parameters list contains unused parameters. Unused parameters: [id]"),
        ("select :id, :other", {"id": "1"}, "Parameters list is missing parameters. Missing parameters: [other]"),
    ],
)
def test_parameters_must_be_those_of_the_statement(
    submit: Callable[..., str], sql: str, parameters: dict[str, str], message: str
) -> None:
    refused = _refused(lambda: submit(sql, Parameters=_parameters(**parameters)))
    assert refused == ("ValidationException", message)


def test_an_empty_text_cannot_be_bound(api: DataApi) -> None:
    asked = {"WorkgroupName": api.workgroup, "Database": "dev", "Sql": "select :t", "Parameters": _parameters(t="")}
    with pytest.raises(Exception, match="length greater than or equal to 1"):
        api.answer("ExecuteStatement", asked)  # botocore refuses it before it is sent


# --- Idempotency ---


def test_a_client_token_makes_a_request_run_once(
    client: Any, submit: Callable[..., str], run: Callable[..., dict[str, Any]], table: str
) -> None:
    token = uuid.uuid4().hex
    first, second = (submit(f"insert into {table} values (1)", ClientToken=token) for _ in range(2))
    assert first == second
    _ended(client, first)
    assert _rows(client, run(f"select count(*) from {table}")["Id"]) == [[1]]


def test_a_request_whose_answer_was_lost_can_be_asked_again(
    api: DataApi, client: Any, submit: Callable[..., str], run: Callable[..., dict[str, Any]], table: str
) -> None:
    token = uuid.uuid4().hex
    api.lose_answers("ExecuteStatement")
    with pytest.raises(ConnectionClosedError):
        submit(f"insert into {table} values (1)", ClientToken=token)
    _ended(client, submit(f"insert into {table} values (1)", ClientToken=token))
    assert _rows(client, run(f"select count(*) from {table}")["Id"]) == [[1]]


def test_a_client_token_is_for_one_request(submit: Callable[..., str]) -> None:
    token = uuid.uuid4().hex
    submit("select 1", ClientToken=token)
    assert _refused(lambda: submit("select 2", ClientToken=token))[0] == "ValidationException"


# --- Cancelling, and what tests inject ---


def test_a_cancelled_batch_has_done_nothing(
    client: Any, submit: Callable[..., str], run: Callable[..., dict[str, Any]], table: str
) -> None:
    statement = submit(f"insert into {table} values (1)", "select pg_sleep(600)")
    wait_for(lambda: client.describe_statement(Id=statement)["SubStatements"][0]["Status"] == "FINISHED")
    assert client.cancel_statement(Id=statement)["Status"] is True
    assert _ended(client, statement)["Status"] == "ABORTED"
    assert _rows(client, run(f"select count(*) from {table}")["Id"]) == [[0]]


def test_what_has_ended_cannot_be_cancelled(client: Any, run: Callable[..., dict[str, Any]]) -> None:
    statement = run("select 1")["Id"]
    assert _refused(lambda: client.cancel_statement(Id=statement)) == (
        "ValidationException",
        f"Could not cancel a query that is already in FINISHED state with ID: {statement}",
    )


def test_a_held_statement_is_started_until_it_is_let_go(api: DataApi, client: Any, submit: Callable[..., str]) -> None:
    with api.held("'held'") as waits:
        statement = submit("select 'held' as t")
        assert waits.wait(PATIENCE)
        assert client.describe_statement(Id=statement)["Status"] == "STARTED"
        assert _refused(lambda: client.get_statement_result(Id=statement))[0] == "ResourceNotFoundException"
    assert _ended(client, statement)["Status"] == "FINISHED"


def test_a_delayed_statement_runs_later(api: DataApi, run: Callable[..., dict[str, Any]]) -> None:
    api.delay(0.5, "late")
    assert run("select 'late'")["Duration"] >= 0.5 * 1e9


def test_statements_fail_as_often_as_a_test_wants(
    api: DataApi, client: Any, run: Callable[..., dict[str, Any]], table: str
) -> None:
    api.fail("1023 DETAIL: Serializable isolation violation on table", "insert", times=2)
    ends = [run(f"insert into {table} values (1)", "select 1") for _ in range(3)]
    assert [one["Status"] for one in ends] == ["FAILED", "FAILED", "FINISHED"]
    assert ends[0]["Error"] == "Query #1 failed with ERROR: 1023 DETAIL: Serializable isolation violation on table"
    assert _rows(client, run(f"select count(*) from {table}")["Id"]) == [[1]]


def test_a_throttled_call_does_nothing(api: DataApi, submit: Callable[..., str]) -> None:
    before = len(api.statements)
    api.refuse("ExecuteStatement", times=1)
    assert _refused(lambda: submit("select 1")) == ("ThrottlingException", "Rate exceeded")
    assert len(api.statements) == before
    submit("select 1")


def test_more_statements_than_the_quota_are_refused(api: DataApi, submit: Callable[..., str]) -> None:
    api.active_statements = 1
    with api.held("'held'") as waits:
        submit("select 'held'")
        assert waits.wait(PATIENCE)
        assert _refused(lambda: submit("select 1"))[0] == "ActiveStatementsExceededException"


# --- What is refused ---


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({}, "Either ClusterIdentifier or WorkgroupName needs to be specified."),
        (
            {"ClusterIdentifier": "ml-cluster", "WorkgroupName": "ml-workgroup"},
            "ClusterIdentifier and WorkgroupName cannot be specified together.",
        ),
        ({"WorkgroupName": "elsewhere"}, "Redshift endpoint doesn't exist in this region."),
        ({"ClusterIdentifier": "elsewhere"}, "Redshift endpoint doesn't exist in this region."),
    ],
)
def test_exactly_one_database_is_named(client: Any, target: dict[str, str], message: str) -> None:
    refused = _refused(lambda: client.execute_statement(Database="dev", Sql="select 1", **target))
    assert refused == ("ValidationException", message)


def test_a_statement_over_100_kilobytes_is_refused(submit: Callable[..., str]) -> None:
    assert _refused(lambda: submit(f"select '{'x' * 102_400}'"))[0] == "ValidationException"


def test_a_statement_that_nobody_executed_is_not_found(client: Any) -> None:
    refused = _refused(lambda: client.describe_statement(Id=str(uuid.uuid4())))
    assert refused == ("ResourceNotFoundException", "Query does not exist.")


def test_a_cluster_is_reached_as_a_database_user(api: DataApi, client: Any, redshift_cloud: RedshiftCloud) -> None:
    redshift = redshift_cloud.redshift
    asked = {"ClusterIdentifier": api.cluster, "Database": redshift.database, "DbUser": redshift.user}
    described = _ended(client, client.execute_statement(Sql="select current_user", **asked)["Id"])
    assert described["ClusterIdentifier"] == api.cluster
    assert _rows(client, described["Id"]) == [[redshift.user]]


def test_statements_are_listed_by_name_and_status(client: Any, run: Callable[..., dict[str, Any]]) -> None:
    name = f"name-{uuid.uuid4().hex}"
    good, bad = run("select 1", StatementName=name), run("select nothing_known", StatementName=name)
    finished = client.list_statements(StatementName=name)["Statements"]
    everything = client.list_statements(StatementName=name, Status="ALL")["Statements"]
    assert [one["Id"] for one in finished] == [good["Id"]]
    assert [one["Id"] for one in everything] == [bad["Id"], good["Id"]]


# --- Airflow's hook ---


@pytest.fixture
def hook(api: DataApi, redshift_cloud: RedshiftCloud, monkeypatch: pytest.MonkeyPatch) -> Any:
    from airflow.providers.amazon.aws.hooks.redshift_data import RedshiftDataHook

    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(api.connection(redshift_cloud.cloud)))
    return RedshiftDataHook(aws_conn_id="aws_default")


def test_airflow_s_hook_runs_and_waits(hook: Any, api: DataApi, redshift_cloud: RedshiftCloud) -> None:
    done = hook.execute_query(
        ["select 1", "select 2"],
        database=redshift_cloud.redshift.database,
        workgroup_name=api.workgroup,
        poll_interval=1,
    )
    assert hook.check_query_is_finished(done.statement_id)


def test_airflow_s_hook_tells_the_database_s_error(hook: Any, api: DataApi, redshift_cloud: RedshiftCloud) -> None:
    with pytest.raises(ValueError, match="there_is_no_such_table"):
        hook.execute_query(
            "select * from there_is_no_such_table",
            database=redshift_cloud.redshift.database,
            workgroup_name=api.workgroup,
            poll_interval=1,
        )


def test_airflow_s_hook_polls_from_an_event_loop(hook: Any, api: DataApi, submit: Callable[..., str]) -> None:
    with api.held("'held'") as waits:
        statement = submit("select 'held'")
        assert waits.wait(PATIENCE)
        assert asyncio.run(hook.is_still_running(statement))
