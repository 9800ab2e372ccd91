"""Waiting for statements of the Redshift Data API in the triggerer."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_sklearn.triggers import base
from airflow_sklearn.triggers.statement import RedshiftStatementTrigger
from local_cloud.redshift.data_api.server import DataApi
from local_cloud.redshift_cloud import RedshiftCloud


@pytest.fixture
def api(redshift_cloud: RedshiftCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataApi]:
    """The Data API as the connection ``aws_default``."""
    made = redshift_cloud.redshift.data_api
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(made.connection(redshift_cloud.cloud)))
    base.connection.cache_clear()
    yield made
    made.restore()
    base.connection.cache_clear()


def submitted(api: DataApi, database: str = "dev") -> str:
    answer = api.client().execute_statement(WorkgroupName=api.workgroup, Database=database, Sql="SELECT 7")
    return str(answer["Id"])


def trigger_of(statement_id: str, expires_at: float | None = None) -> RedshiftStatementTrigger:
    return RedshiftStatementTrigger(
        statement_id=statement_id,
        statements={"copy": statement_id},
        state={"reused": False},
        region_name=None,
        poll_interval=0.05,
        expires_at=expires_at,
        aws_conn_id="aws_default",
    )


async def first_event(trigger: RedshiftStatementTrigger) -> Any:
    async for event in trigger.run():
        return event.payload
    raise AssertionError("it never fired")


def status(api: DataApi, statement_id: str) -> str:
    return str(api.client().describe_statement(Id=statement_id)["Status"])


def test_it_is_made_again_from_what_it_serializes() -> None:
    path, arguments = trigger_of("1").serialize()
    assert path == "airflow_sklearn.triggers.RedshiftStatementTrigger"
    assert RedshiftStatementTrigger(**json.loads(json.dumps(arguments))).serialize() == (path, arguments)


def test_it_fires_when_the_statement_has_ended_and_hands_on_what_the_task_needs(api: DataApi) -> None:
    api.delay(0.3)
    statement_id = submitted(api)
    event = asyncio.run(first_event(trigger_of(statement_id)))
    assert status(api, statement_id) == "FINISHED"
    assert event == {
        "statement_id": statement_id,
        "statements": {"copy": statement_id},
        "state": {"reused": False},
        "expired": False,
    }


def test_it_fires_when_the_statement_has_failed_too(api: DataApi) -> None:
    api.fail("no such luck")
    statement_id = submitted(api)
    assert asyncio.run(first_event(trigger_of(statement_id)))["expired"] is False
    assert status(api, statement_id) == "FAILED"


def test_a_statement_past_its_time_is_cancelled(api: DataApi) -> None:
    with api.held("SELECT 7"):
        statement_id = submitted(api)
        event = asyncio.run(first_event(trigger_of(statement_id, expires_at=time.time() + 0.3)))
        assert event["expired"] is True
    assert status(api, statement_id) == "ABORTED"


def test_the_statement_of_a_task_that_was_killed_is_cancelled(api: DataApi, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failed(_: RedshiftStatementTrigger) -> str:
        return "failed"

    monkeypatch.setattr(RedshiftStatementTrigger, "_task_state", failed)
    with api.held("SELECT 7"):
        statement_id = submitted(api)
        asyncio.run(trigger_of(statement_id).on_kill())
    assert status(api, statement_id) == "ABORTED"


def test_a_throttle_is_sat_out(api: DataApi) -> None:
    api.refuse("DescribeStatement", "ThrottlingException", "Rate exceeded", times=3)
    statement_id = submitted(api)
    assert asyncio.run(first_event(trigger_of(statement_id)))["expired"] is False
