"""What is told before anything is computed: whether a table could take the rows."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from airflow_sklearn.exceptions import AirflowSklearnError, PublishError
from tests.datasets.redshift.publishing import BOOKS, Place

UPSERT = {"if_exists": "upsert"}
APPEND = {"if_exists": "append"}
BAD_SQL = [
    "id = 1); DROP TABLE x; --",
    "id = 1) OR (1 = 1",
    "1 = 1 -- all",
    "id = 'x",
    "id = 1; DELETE FROM x",
    "$$ $$",
]


def test_nothing_is_wrong_with_a_table_that_is_not_there(place: Place) -> None:
    assert place.faults(place.load()) == []


def test_a_schema_that_is_not_there_is_told(place: Place) -> None:
    load = place.load()
    elsewhere = place.load(changes={"table": load.table.model_copy(update={"table": ("no such", "t")})})
    assert place.faults(elsewhere) == [
        "there is no schema 'no such': create it, or check the spelling (capitals count in quotes)"
    ]
    with pytest.raises(PublishError, match="there is no schema 'no such'"):
        place.publish(elsewhere)


def test_a_view_is_no_destination(place: Place) -> None:
    place.sql('CREATE VIEW {s}."scores" AS SELECT 1 AS id')
    assert any("is a view" in fault for fault in place.faults(place.load(if_exists="append")))


def test_the_user_must_be_able_to_stage(place: Place) -> None:
    user = f"u_{place.name[4:16]}"
    place.sql(f"CREATE USER {user} PASSWORD DISABLE", f"GRANT USAGE ON SCHEMA {{s}} TO {user}")
    from airflow_sklearn.datasets.redshift.catalog import read_target
    from airflow_sklearn.datasets.redshift.database import Answer

    class AsUser:
        def run(self, statements: Any, *, step: str) -> list[Answer]:
            from airflow_sklearn.datasets.redshift.sql_database import _execute

            with place.cloud.redshift.connect(user) as connection:
                return [_execute(connection, statement) for statement in statements]

    try:
        assert not read_target(AsUser(), (place.name, "t"), step="look").may_create  # type: ignore[arg-type]
        assert read_target(place.database, (place.name, "t"), step="look").may_create
    finally:
        place.sql(f"REVOKE USAGE ON SCHEMA {{s}} FROM {user}", f"DROP USER {user}")


def test_rights_that_are_missing_are_told_before_anything_is_computed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.publish(place.load(if_exists="replace"))
    user = f"u_{place.name[4:16]}"
    place.sql(
        f"CREATE USER {user} PASSWORD DISABLE",
        f"GRANT USAGE, CREATE ON SCHEMA {{s}} TO {user}",
        f'GRANT SELECT, INSERT ON {{s}}."scores" TO {user}',
        f"GRANT SELECT, INSERT, UPDATE ON {{s}}.{BOOKS} TO {user}",
    )
    others = {"data": pa.table({"id": pa.array([1]), "risk": pa.array([0.5])}), "if_exists": "replace"}
    connection = {**place.cloud.redshift.connection, "login": user}
    monkeypatch.setenv("AIRFLOW_CONN_REDSHIFT_DEFAULT", json.dumps(connection))
    try:
        upsert, append, anew = (place.faults(place.load(**more)) for more in (UPSERT, APPEND, others))
    finally:
        place.sql("DROP SCHEMA {s} CASCADE", f"DROP USER {user}", "CREATE SCHEMA {s}")
    books = f'{user} has no DELETE on {place.name}.{BOOKS}: GRANT DELETE ON {place.schema}."{BOOKS}" TO that user'
    assert [fault.split("user ", 1)[1] for fault in append] == [books]
    assert len(upsert) == 2
    assert f"has no DELETE on {place.name}.scores: GRANT DELETE" in upsert[1]
    assert any("belongs to awsuser: its owner or a superuser can do so" in fault for fault in anew)


def test_rights_that_the_database_does_not_tell_are_no_fault(place: Place) -> None:
    place.publish(place.load(if_exists="append"))
    with place.cloud.redshift.fail("HAS_TABLE_PRIVILEGE", "no such function", sqlstate="42883") as fault:
        assert place.faults(place.load(if_exists="append")) == []
    assert fault.fired == 1


def test_all_that_does_not_go_together_is_told_at_once(place: Place) -> None:
    load = place.load(
        if_exists="replace",
        partition={"label": "x", "n": None},
        distkey="no such key",
        diststyle="even",
        sortkey=("id", "no sort"),
        column_types={"score": "integer", "id": "bigint; DROP TABLE x", "unknown": "date"},
    )
    faults = "\n".join(place.faults(load))
    for expected in (
        "distkey names 'no such key'",
        "sortkey names 'no sort'",
        "column_types names 'unknown'",
        "'id' the type 'bigint; DROP TABLE x', which is none of Redshift's",
        "'score' the type 'integer', which does not hold double",
        "distkey='no such key' goes with diststyle='key', not 'even'",
        "partition gives 'label' a value, and the rows have such a column",
        "partition gives 'n' a value, but it is None: give its type in column_types",
    ):
        assert expected in faults


def test_an_upsert_needs_a_key(place: Place) -> None:
    assert place.faults(place.load(key=(), if_exists="upsert")) == [
        "if_exists='upsert' needs the rows' key: give primary_key"
    ]


def test_a_key_that_is_no_column_is_told(place: Place) -> None:
    load = place.load(changes={"key": ("who",)})
    assert place.faults(load) == ["the key 'who' is no column of the rows"]


def test_all_columns_that_the_table_lacks_or_cannot_hold_are_told(place: Place) -> None:
    place.sql('CREATE TABLE {s}."scores" (id INTEGER, score DOUBLE PRECISION, must INTEGER NOT NULL)')
    faults = "\n".join(place.faults(place.load(if_exists="append", partition={})))
    for expected in ("'id' is integer, which does not hold every int64", "no column 'label'", "'must' is NOT NULL"):
        assert expected in faults


def test_a_table_that_holds_this_very_run_is_no_fault_with_fail(place: Place) -> None:
    load = place.load()
    place.publish(load)
    assert place.faults(load, run=load.run, fingerprint=load.fingerprint) == []
    assert place.faults(load, run=load.run, fingerprint="another")


def test_planning_changes_nothing(place: Place) -> None:
    place.publish(place.load(if_exists="append"))
    seen = len(place.cloud.redshift.statements())
    place.faults(place.load([4], if_exists="replace"))
    for found in place.cloud.redshift.statements()[seen:]:
        assert found.sql.lstrip().upper().startswith(("SELECT", "SET", "BEGIN", "COMMIT", "START")), found.sql


@pytest.mark.parametrize("where", BAD_SQL)
def test_a_condition_cannot_leave_its_parentheses(place: Place, where: str) -> None:
    place.publish(place.load())
    load = place.load([1], if_exists="replace", where=where)
    assert any("where cannot be used" in fault for fault in place.faults(load))
    with pytest.raises(PublishError, match="where cannot be used"):
        place.publish(load)
    assert place.ids() == [1, 2, 3]


def test_a_conditions_values_are_only_values(place: Place) -> None:
    place.publish(place.load([1, 2], if_exists="append", run="before"))
    value = "x' OR '1' = '1'); DROP TABLE scores; -- \\"
    more: dict[str, Any] = {"if_exists": "replace", "where": "label = :label", "parameters": {"label": value}}
    data = pa.table({"id": pa.array([7]), "label": pa.array([value]), "score": pa.array([0.5])})
    for score in (1, 2):
        place.publish(place.load(data=data, **more, fingerprint=str(score)))
    assert place.ids() == [1, 2, 7]


EVIL = '"; DROP TABLE keep; --'


def test_names_and_values_cannot_become_statements(place: Place) -> None:
    place.sql("CREATE TABLE {s}.keep (a INTEGER)")
    data = pa.table({EVIL: pa.array(["'; DROP TABLE keep; --", "b"]), "x": pa.array([1, 2])})
    more: dict[str, Any] = {"table": f"t{EVIL}", "key": (EVIL,), "data": data}
    place.publish(place.load(if_exists="upsert", distkey=EVIL, sortkey=(EVIL,), **more))
    assert place.publish(place.load(if_exists="upsert", fingerprint="2", **more)).table_rows == 2
    partition = {'p"; --': "'); DROP TABLE keep; --"}
    more["table"] = f"u{EVIL}"
    for fingerprint in "ab":
        found = place.publish(place.load(if_exists="replace", partition=partition, fingerprint=fingerprint, **more))
        assert found.table_rows == 2
    assert place.sql("SELECT COUNT(*) FROM {s}.keep") == [(0,)]


@pytest.mark.parametrize("run", ["'; DROP TABLE x; --", "a\\' b", ":publish_seen", "%s $1"])
def test_a_runs_name_is_only_a_value(place: Place, run: str) -> None:
    place.publish(place.load(if_exists="append", run=run, changes={"published_by": run}))
    assert place.books("partition, published_by") == [(f"run: {run}", run)]


def test_a_role_is_not_a_way_into_copy(place: Place) -> None:
    load = place.load()
    access = load.table.access.model_copy(update={"iam_role": "arn:aws:iam::1:role/x' CREDENTIALS 'a"})
    with pytest.raises(AirflowSklearnError, match="is no ARN"):
        place.publish(place.load(changes={"table": load.table.model_copy(update={"access": access})}))
