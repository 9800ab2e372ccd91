"""The stand-in for Redshift, through the driver and the hook that the project uses.

What it cannot prove, and where it differs from Redshift, is said in ``local_cloud/redshift/__init__.py``.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pytest
from redshift_connector.error import InterfaceError, ProgrammingError

from local_cloud import docker_engine
from local_cloud.container_cloud import ContainerCloud
from local_cloud.redshift.standin import Redshift
from local_cloud.tests.redshift.trials import Folder, refusal
from local_cloud.waiting import PATIENCE, wait_for

# --- The session ---


def test_it_says_that_it_is_redshift(redshift: Redshift) -> None:
    assert "Redshift 1.0" in redshift.query("SELECT version()")[0][0]


def test_airflows_hook_connects_and_binds(redshift: Redshift, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.amazon.aws.hooks.redshift_sql import RedshiftSQLHook

    monkeypatch.setenv("AIRFLOW_CONN_REDSHIFT_DEFAULT", json.dumps(redshift.connection))
    assert RedshiftSQLHook().get_first("SELECT %s || 'b'", parameters=("a",))[0] == "ab"


def test_a_container_reaches_it(container_cloud: ContainerCloud) -> None:
    redshift = container_cloud.redshift
    connect = f"import socket; socket.create_connection(({redshift.host!r}, {redshift.port}), 5); print('there')"
    assert (
        docker_engine.docker("run", "--rm", "--entrypoint", "python", container_cloud.image, "-c", connect) == "there"
    )


def test_named_parameters_are_bound(redshift: Redshift) -> None:
    values = {"text": 'it\'s \\ "so"', "day": "2024-02-29", "nothing": None}
    sql = "SELECT CAST(:text AS VARCHAR(100)), CAST(:day AS DATE), CAST(:nothing AS BIGINT), CAST(:day AS VARCHAR(10))"
    assert redshift.query(sql, parameters=values) == [(values["text"], date(2024, 2, 29), None, "2024-02-29")]


def test_a_backslash_escapes_in_a_literal(redshift: Redshift) -> None:
    assert redshift.query(r"SELECT 'it\'s', 'a\\b'") == [("it's", "a\\b")]


def test_a_quoted_name_is_folded_unless_the_session_says_otherwise(redshift: Redshift) -> None:
    with redshift.connect() as connection, connection.cursor() as cursor:
        cursor.execute('SELECT 1 AS "One"')
        folded = cursor.description[0][0]
        cursor.execute("SET enable_case_sensitive_identifier TO true")
        cursor.execute('SELECT 1 AS "One" ')
        kept = cursor.description[0][0]
    assert (folded, kept) == ("one", "One")


def test_a_rollback_takes_settings_back(redshift: Redshift) -> None:
    with redshift.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET enable_case_sensitive_identifier TO true")
        connection.rollback()
        cursor.execute('SELECT 1 AS "One"')
        assert cursor.description[0][0] == "one"


def test_statements_are_found_by_their_query_group(redshift: Redshift) -> None:
    tag = f"airflow-sklearn {uuid.uuid4()}"
    redshift.query(f"SET query_group TO '{tag}'", "SELECT 'tagged'")
    sql = "SELECT trim(query_text), trim(status) FROM sys_query_history WHERE trim(query_label) = :tag"
    assert redshift.query(sql, parameters={"tag": tag}) == [("SELECT 'tagged'", "success")]
    assert [seen.sql for seen in redshift.statements() if seen.query_group == tag] == ["SELECT 'tagged'"]


def test_a_statement_that_takes_too_long_is_cancelled(redshift: Redshift) -> None:
    said = refusal(lambda: redshift.query("SET statement_timeout TO 100", "SELECT pg_sleep(120)"))
    assert said["C"] == "57014"


# --- Tables ---


def test_a_table_keeps_its_distribution_and_sort_keys(redshift: Redshift, schema: str) -> None:
    redshift.query(
        f"CREATE TABLE {schema}.t (id BIGINT ENCODE az64, day DATE, name VARCHAR(MAX), PRIMARY KEY (id))"
        " DISTSTYLE KEY DISTKEY (id) COMPOUND SORTKEY (day, id)"
    )
    sql = f"""SELECT column_name, data_type, distkey, sortkey FROM svv_redshift_columns
        WHERE schema_name = '{schema}' ORDER BY ordinal_position"""
    assert redshift.query(sql) == [
        ("id", "bigint", True, 2),
        ("day", "date", False, 1),
        ("name", "character varying(65535)", False, 0),
    ]


def test_a_table_that_is_there_keeps_its_keys(redshift: Redshift, schema: str) -> None:
    create = f"CREATE TABLE IF NOT EXISTS {schema}.t (a INT, b INT)"
    redshift.query(f"{create} DISTKEY (a)", f"{create} DISTKEY (b)", f"INSERT INTO {schema}.t VALUES (1, 1)")
    sql = f"SELECT diststyle, tbl_rows FROM svv_table_info WHERE schema = '{schema}'"
    assert redshift.query(sql) == [("KEY(a)", 1)]


def test_a_table_is_altered(redshift: Redshift, schema: str) -> None:
    redshift.query(
        f"CREATE TABLE {schema}.t (a INT, b VARCHAR(3))",
        f"ALTER TABLE {schema}.t ADD COLUMN c VARCHAR(MAX) DEFAULT 'x' ENCODE zstd",
        f"ALTER TABLE {schema}.t ALTER COLUMN b TYPE VARCHAR(9)",
        f"ALTER TABLE {schema}.t ALTER DISTKEY a",
        f"ALTER TABLE {schema}.t RENAME COLUMN a TO id",
        f"ALTER TABLE {schema}.t RENAME TO u",
        f"ALTER TABLE {schema}.u OWNER TO awsuser",
    )
    sql = f"SELECT column_name, data_type FROM svv_redshift_columns WHERE schema_name = '{schema}' ORDER BY 1"
    assert redshift.query(sql) == [
        ("b", "character varying(9)"),
        ("c", "character varying(65535)"),
        ("id", "integer"),
    ]


def test_keys_are_not_checked(redshift: Redshift, schema: str) -> None:
    redshift.query(
        f"CREATE TABLE {schema}.t (id INT PRIMARY KEY, code INT UNIQUE)",
        f"INSERT INTO {schema}.t VALUES (1, 1), (1, 1)",
    )
    assert redshift.query(f"SELECT count(*) FROM {schema}.t") == [(2,)]


def test_a_varchar_counts_bytes(redshift: Redshift, schema: str) -> None:
    redshift.query(f"CREATE TABLE {schema}.t (name VARCHAR(3))")
    redshift.query(f"INSERT INTO {schema}.t VALUES ('abc'), ('é')")
    said = refusal(lambda: redshift.query(f"INSERT INTO {schema}.t VALUES ('éé')"))
    assert said["M"] == "Value too long for character type"


def test_a_name_with_a_hash_is_a_temporary_table(redshift: Redshift) -> None:
    assert redshift.query("CREATE TABLE #t (a INT)", "INSERT INTO #t VALUES (1)", "SELECT * FROM #t") == [(1,)]
    assert "does not exist" in refusal(lambda: redshift.query("SELECT * FROM #t"))["M"]


def test_truncate_commits(redshift: Redshift, schema: str) -> None:
    redshift.query(f"CREATE TABLE {schema}.t AS SELECT 1 AS a", f"CREATE TABLE {schema}.u AS SELECT 1 AS a")
    with redshift.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {schema}.u")
        cursor.execute(f"TRUNCATE {schema}.t")
        connection.rollback()
    assert redshift.query(f"SELECT (SELECT count(*) FROM {schema}.t), (SELECT count(*) FROM {schema}.u)") == [(0, 0)]


def test_users_groups_and_roles_have_names_of_their_own(redshift: Redshift, schema: str) -> None:
    redshift.query(
        f"CREATE USER {schema} PASSWORD DISABLE",
        f"CREATE GROUP {schema}",
        f"CREATE ROLE {schema}",
        f"CREATE TABLE {schema}.t (a INT)",
        f"GRANT SELECT ON {schema}.t TO {schema}, GROUP {schema}, ROLE {schema}, PUBLIC",
    )
    sql = f"""SELECT identity_name, identity_type, privilege_type, admin_option FROM svv_relation_privileges
        WHERE namespace_name = '{schema}' AND relation_name = 't' AND identity_name <> 'awsuser' ORDER BY 2"""
    granted = redshift.query(sql)
    redshift.query(f"REVOKE SELECT ON {schema}.t FROM GROUP {schema}")
    kept = redshift.query(sql)
    redshift.query(f"DROP TABLE {schema}.t", f"DROP ROLE {schema}", f"DROP GROUP {schema}", f"DROP USER {schema}")
    assert granted == [
        (schema, "group", "SELECT", False),
        ("public", "public", "SELECT", False),
        (schema, "role", "SELECT", False),
        (schema, "user", "SELECT", False),
    ]
    assert kept == granted[1:]


def test_a_user_may_only_what_was_granted(redshift: Redshift, schema: str, folder: Folder) -> None:
    redshift.query(
        f"CREATE USER {schema} PASSWORD DISABLE",
        f"CREATE TABLE {schema}.t AS SELECT 1 AS a",
        f"GRANT USAGE ON SCHEMA {schema} TO {schema}",
    )
    unload = f"UNLOAD ('SELECT a FROM {schema}.t') TO '{folder.uri}' IAM_ROLE default PARQUET MANIFEST"
    copy = f"COPY {schema}.t FROM '{folder.uri}manifest' IAM_ROLE default PARQUET MANIFEST"
    assert refusal(lambda: redshift.query(unload, user=schema))["M"] == "permission denied for table t"
    redshift.query(f"GRANT SELECT ON {schema}.t TO {schema}")
    redshift.query(unload, user=schema)
    assert refusal(lambda: redshift.query(copy, user=schema))["M"] == "permission denied for table t"
    redshift.query(f"GRANT INSERT ON {schema}.t TO {schema}")
    redshift.query(copy, user=schema)
    rows = redshift.query(f"SELECT count(*) FROM {schema}.t")
    redshift.query(f"DROP TABLE {schema}.t", f"REVOKE ALL ON SCHEMA {schema} FROM {schema}", f"DROP USER {schema}")
    assert rows == [(2,)]


# --- Functions ---


def test_hashes_are_the_documented_ones(redshift: Redshift) -> None:
    sql = "SELECT fnv_hash(1), fnv_hash('Amazon Redshift'), fnv_hash('Amazon Redshift', fnv_hash(1))"
    assert redshift.query(sql) == [(-5968735742475085980, 7783490368944507294, -2202602717770968555)]


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("CAST(-2 AS SMALLINT)", (-2).to_bytes(2, "little", signed=True)),
        ("CAST(9007199254740993 AS BIGINT)", (9007199254740993).to_bytes(8, "little")),
        ("CAST(0.5 AS DOUBLE PRECISION) + 0.0", bytes.fromhex("000000000000e03f")),
        ("CAST('é' AS VARCHAR(10))", "é".encode()),
        ("CAST('' AS VARCHAR(10))", b""),
    ],
)
def test_a_hash_is_of_the_bytes_of_the_type(redshift: Redshift, value: str, content: bytes) -> None:
    expected = 0xCBF29CE484222325
    for byte in content:
        expected = (expected ^ byte) * 0x100000001B3 % 2**64
    assert redshift.query(f"SELECT fnv_hash({value})")[0][0] % 2**64 == expected


def test_dates_are_counted_in_parts(redshift: Redshift) -> None:
    sql = """SELECT DATEDIFF(microsecond, TIMESTAMP '1970-01-01 00:00:00', TIMESTAMP '2262-01-01 00:00:00.000001'),
        DATEDIFF(day, DATE '1970-01-01', DATE '1969-12-31'), DATEDIFF(hour, '2020-01-01 00:59', '2020-01-01 01:00'),
        DATEADD(month, 1, DATE '2020-01-31'), NVL(NULL, 2), LEN('éa')"""
    assert redshift.query(sql) == [(9214646400000001, -1, 1, datetime(2020, 2, 29), 2, 2)]


# --- Transactions ---


def test_a_conflict_is_told_as_redshift_tells_it(redshift: Redshift, schema: str) -> None:
    redshift.query(f"CREATE TABLE {schema}.t AS SELECT 1 AS a", f"CREATE TABLE {schema}.u AS SELECT 1 AS a")
    with redshift.connect() as one, redshift.connect() as other:
        mine, theirs = one.cursor(), other.cursor()
        mine.execute(f"INSERT INTO {schema}.t SELECT * FROM {schema}.u")
        theirs.execute(f"INSERT INTO {schema}.u SELECT * FROM {schema}.t")
        one.commit()
        said = refusal(other.commit)
    assert (said["C"], said["M"]) == ("XX000", "1023")
    assert said["D"].startswith("Serializable isolation violation on table - ")


def test_who_waits_for_a_lock_sees_what_was_committed_meanwhile(redshift: Redshift, schema: str) -> None:
    redshift.query(f"CREATE TABLE {schema}.t (a INT)")
    with redshift.connect() as first, redshift.connect() as second, ThreadPoolExecutor(1) as pool:
        first.cursor().execute(f"LOCK {schema}.t")
        cursor = second.cursor()
        waiting = pool.submit(cursor.execute, f"LOCK TABLE {schema}.t")
        first.cursor().execute(f"INSERT INTO {schema}.t VALUES (1)")
        assert not waiting.done()
        first.commit()
        waiting.result(PATIENCE)
        cursor.execute(f"SELECT count(*) FROM {schema}.t")
        assert cursor.fetchone()[0] == 1
        second.commit()


# --- Faults ---


def test_a_statement_fails_when_it_is_told_to(redshift: Redshift) -> None:
    with redshift.fail("^select 7$", "no", sqlstate="42501", skip=1) as fault:
        assert redshift.query("SELECT 7") == [(7,)]
        said = refusal(lambda: redshift.query("SELECT 7"))
        assert (said["C"], said["M"]) == ("42501", "no")
        assert redshift.query("SELECT 7") == [(7,)]
    assert fault.fired == 1


@pytest.mark.parametrize(("when", "rows"), [("before", 0), ("after", 1)])
def test_a_connection_is_dropped_around_a_commit(redshift: Redshift, schema: str, when: Any, rows: int) -> None:
    redshift.query(f"CREATE TABLE {schema}.t (a INT)")
    connection = redshift.connect()
    connection.cursor().execute(f"INSERT INTO {schema}.t VALUES (1)")
    with redshift.drop_connection("^commit$", when=when), pytest.raises((InterfaceError, OSError)):
        connection.commit()
    assert redshift.query(f"SELECT count(*) FROM {schema}.t") == [(rows,)]


def test_a_paused_statement_goes_on_when_it_may(redshift: Redshift) -> None:
    with ThreadPoolExecutor(1) as pool:
        with redshift.pause("^select 8$") as pause:
            waiting = pool.submit(redshift.query, "SELECT 8")
            pause.wait()
            time.sleep(0.05)
            assert not waiting.done()
        assert waiting.result(PATIENCE) == [(8,)]


def test_a_paused_transaction_sees_what_is_committed_meanwhile(redshift: Redshift, schema: str) -> None:
    redshift.query(f"CREATE TABLE {schema}.t (a INT)")
    with ThreadPoolExecutor(1) as pool, redshift.connect() as connection, connection.cursor() as cursor:
        with redshift.pause(f"^LOCK {schema}") as pause:
            waiting = pool.submit(cursor.execute, f"LOCK {schema}.t")
            pause.wait()
            redshift.query(f"INSERT INTO {schema}.t VALUES (1)")
        waiting.result(PATIENCE)
        cursor.execute(f"SELECT count(*) FROM {schema}.t")
        assert cursor.fetchone()[0] == 1
        connection.rollback()


def cancelled(redshift: Redshift, pattern: str, call: Callable[[], Any]) -> dict[str, str]:
    """What a call says whose statement is cancelled as soon as it runs."""
    said: list[dict[str, str]] = []
    thread = threading.Thread(target=lambda: said.append(refusal(call)), daemon=True)
    thread.start()
    found = wait_for(lambda: [seen for seen in redshift.statements(pattern) if seen.status == "running"], pattern)

    def has_ended() -> bool:
        redshift.query(f"SELECT pg_cancel_backend({found[-1].pid})")
        thread.join(0.1)
        return not thread.is_alive()

    wait_for(has_ended, "the call to end")
    return said[0]


def test_a_running_query_is_cancelled(redshift: Redshift) -> None:
    said = cancelled(redshift, r"^SELECT pg_sleep\(600\)", lambda: redshift.query("SELECT pg_sleep(600)"))
    assert (said["C"], said["M"]) == ("57014", "canceling statement due to user request")


def test_a_terminated_session_is_gone(redshift: Redshift) -> None:
    connection = redshift.connect()
    cursor = connection.cursor()
    cursor.execute("SELECT pg_backend_pid()")
    redshift.query(f"SELECT pg_terminate_backend({cursor.fetchone()[0]})")
    with pytest.raises((ProgrammingError, InterfaceError, OSError)):
        cursor.execute("SELECT 1")


def test_a_paused_statement_is_cancelled(redshift: Redshift) -> None:
    with redshift.pause("^select 9$"):
        assert cancelled(redshift, "^select 9$", lambda: redshift.query("SELECT 9"))["C"] == "57014"


def test_a_running_unload_is_cancelled_and_its_session_lives_on(redshift: Redshift, folder: Folder) -> None:
    query = "SELECT g, md5(CAST(g AS VARCHAR(20))) AS s FROM generate_series(1, 100000000) AS g"
    with redshift.connect() as connection, connection.cursor() as cursor:
        unload = f"UNLOAD ('{query}') TO '{folder.uri}' IAM_ROLE default PARQUET"
        assert cancelled(redshift, f"UNLOAD.*{folder.uri}", lambda: cursor.execute(unload))["C"] == "57014"
        connection.rollback()
        cursor.execute("SELECT 1")
        assert cursor.fetchone()[0] == 1


def test_a_running_copy_is_cancelled(redshift: Redshift, schema: str, folder: Folder) -> None:
    redshift.query(f"CREATE TABLE {schema}.t (id BIGINT, name VARCHAR(9))")
    table = pa.table({"id": pa.array([1], pa.int64()), "name": ["a"]})
    manifest = folder.write_manifest(*[folder.write_table("same", table)] * 20000)
    copy = f"COPY {schema}.t FROM '{manifest}' IAM_ROLE default FORMAT PARQUET MANIFEST"
    assert cancelled(redshift, f"COPY.*{manifest}", lambda: redshift.query(copy))["C"] == "57014"
    assert redshift.query(f"SELECT count(*) FROM {schema}.t") == [(0,)]
