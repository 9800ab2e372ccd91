"""UNLOAD and COPY of the stand-in for Redshift: files in S3, and what it says of those that do not fit."""

from __future__ import annotations

import math
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local_cloud.redshift.standin import IAM_ROLE, Redshift
from local_cloud.tests.redshift.trials import Folder, refusal

# --- UNLOAD ---

VALUES = """CREATE TABLE {table} (
    i BIGINT, n INTEGER, m SMALLINT, s VARCHAR(100), c CHAR(2), d NUMERIC(38, 4), f REAL, g DOUBLE PRECISION, b BOOLEAN,
    t TIMESTAMP, day DATE, z TIMESTAMPTZ)"""


def rows_of_every_type(redshift: Redshift, table: str) -> list[dict[str, Any]]:
    """Make and fill the table; its rows by column."""
    first = {
        "i": 2**53 + 1,
        "n": -(2**31),
        "m": -1,
        "s": "quotes ' and \", a comma\r\na backslash \\, NULL, \\N, é, 日本, 😀",
        "c": "ab",
        "d": Decimal("1234567890123456789012345678901234.5678"),
        "f": 1.5,
        "g": 0.1,
        "b": True,
        "t": datetime(1969, 12, 31, 23, 59, 59, 999999),
        "day": date(2024, 2, 29),
        "z": datetime(2024, 7, 1, 12, 0, 0, 1, tzinfo=UTC),
    }
    rows = [first, first | {"i": -(2**63) + 1, "s": "", "g": math.inf, "b": False}, dict.fromkeys(first)]
    redshift.query(VALUES.format(table=table))
    insert = f"INSERT INTO {table} VALUES ({', '.join(f':{name}' for name in first)})"
    for row in rows:
        redshift.query(insert, parameters=row)
    return rows


def by_key(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: row["i"] or 0)


def test_every_value_and_type_reaches_parquet(redshift: Redshift, schema: str, folder: Folder) -> None:
    rows = rows_of_every_type(redshift, f"{schema}.t")
    redshift.query(f"UNLOAD ('SELECT * FROM {schema}.t') TO '{folder.uri}' IAM_ROLE '{IAM_ROLE}' FORMAT AS PARQUET")
    table = folder.table()
    assert by_key(table.to_pylist()) == by_key(rows)
    assert [str(field.type) for field in table.schema] == [
        *("int64", "int32", "int16", "string", "string", "decimal128(38, 4)", "float", "double", "bool"),
        *("timestamp[us]", "date32[day]", "timestamp[us, tz=UTC]"),
    ]


def test_what_was_unloaded_loads_again(redshift: Redshift, schema: str, folder: Folder) -> None:
    rows_of_every_type(redshift, f"{schema}.t")
    redshift.query(
        f"CREATE TABLE {schema}.u (LIKE {schema}.t)",
        f"UNLOAD ('SELECT * FROM {schema}.t') TO '{folder.uri}' IAM_ROLE default FORMAT PARQUET MANIFEST",
        f"COPY {schema}.u FROM '{folder.uri}manifest' IAM_ROLE default FORMAT PARQUET MANIFEST",
    )
    both = f"SELECT * FROM {schema}.t INTERSECT SELECT * FROM {schema}.u"
    assert redshift.query(f"SELECT count(*) FROM ({both}) AS both_tables") == [(3,)]


def test_a_single_column_keeps_nulls_and_empty_strings_apart(redshift: Redshift, schema: str, folder: Folder) -> None:
    redshift.query(
        f"CREATE TABLE {schema}.t (s VARCHAR(9))",
        f"INSERT INTO {schema}.t VALUES (NULL), (''), (NULL), ('a')",
        f"UNLOAD ('SELECT s FROM {schema}.t') TO '{folder.uri}' IAM_ROLE default PARQUET MANIFEST",
        f"DELETE FROM {schema}.t",
        f"COPY {schema}.t FROM '{folder.uri}manifest' IAM_ROLE default PARQUET MANIFEST",
    )
    expected = [None, None, "", "a"]
    assert sorted(folder.table().column("s").to_pylist(), key=lambda s: (s is not None, s or "")) == expected
    assert redshift.query(f"SELECT s FROM {schema}.t ORDER BY s IS NOT NULL, s") == [(s,) for s in expected]


@pytest.mark.parametrize(
    "quoted",
    [
        r"'SELECT ''it\\''s'' AS a'",  # the backslash is read twice: in the outer string and in the inner one
        r"$$SELECT 'it\'s' AS a$$",
        "$q$SELECT 'it''s' AS a$q$",
    ],
)
def test_a_query_is_quoted_in_any_way(redshift: Redshift, folder: Folder, quoted: str) -> None:
    redshift.query(f"UNLOAD ({quoted}) TO '{folder.uri}' IAM_ROLE default PARQUET")
    assert folder.table().to_pylist() == [{"a": "it's"}]


def test_a_verbose_manifest_counts_and_names_types(redshift: Redshift, folder: Folder) -> None:
    query = "SELECT g AS id, CAST(''x'' AS VARCHAR(7)) AS name, CAST(g AS NUMERIC(9, 2)) AS price "
    source = "FROM generate_series(1, 11) AS g"
    redshift.query(f"UNLOAD ('{query}{source}') TO '{folder.uri}' IAM_ROLE default PARQUET MANIFEST VERBOSE")
    manifest = folder.manifest()
    assert manifest["schema"]["elements"] == [
        {"name": "id", "type": {"base": "integer"}},
        {"name": "name", "type": {"base": "character varying", "max_length": 7}},
        {"name": "price", "type": {"base": "numeric", "precision": 9, "scale": 2}},
    ]
    assert manifest["meta"]["record_count"] == 11
    assert [entry["url"] for entry in manifest["entries"]] == [
        f"{folder.uri}0000_part_00.parquet",
        f"{folder.uri}0001_part_00.parquet",
    ]
    assert [entry["meta"]["record_count"] for entry in manifest["entries"]] == [5, 6]
    lengths = [len(folder.read(f"000{number}_part_00.parquet")) for number in (0, 1)]
    assert [entry["meta"]["content_length"] for entry in manifest["entries"]] == lengths


def test_no_rows_leave_no_files(redshift: Redshift, folder: Folder) -> None:
    redshift.query(f"UNLOAD ('SELECT 1 AS a WHERE false') TO '{folder.uri}' IAM_ROLE default PARQUET MANIFEST VERBOSE")
    assert folder.names() == ["manifest"]
    assert folder.manifest()["entries"] == []


def test_large_tables_have_several_files_and_row_groups(redshift: Redshift, folder: Folder) -> None:
    query = "SELECT g, md5(CAST(g AS VARCHAR(9))) AS s FROM generate_series(1, 400000) AS g"
    redshift.query(
        f"UNLOAD ($${query}$$) TO '{folder.uri}' IAM_ROLE default PARQUET MAXFILESIZE 2 MB ROWGROUPSIZE 1 MB"
    )
    files = [pq.ParquetFile(BytesIO(folder.read(name))) for name in folder.names()]
    assert len(files) > 2
    assert min(file.num_row_groups for file in files) > 1
    assert sum(file.metadata.num_rows for file in files) == 400000


def test_names_keep_their_capitals_if_the_session_says_so(redshift: Redshift, folder: Folder) -> None:
    unload = f"""UNLOAD ($$SELECT 1 AS "Two Words"$$) TO '{folder.uri}%s' IAM_ROLE default PARQUET"""
    redshift.query(unload % "a", "SET enable_case_sensitive_identifier TO true", unload % "b")
    names = [pq.read_schema(BytesIO(folder.read(name))).names for name in folder.names()]
    assert names == [["two words"], ["Two Words"]]


def test_csv_has_a_header_if_wanted(redshift: Redshift, folder: Folder) -> None:
    query = "SELECT 1 AS a, 'x,\"y' AS b"
    redshift.query(f"UNLOAD ($${query}$$) TO '{folder.uri}' IAM_ROLE default CSV HEADER PARALLEL OFF EXTENSION 'csv'")
    assert folder.read("000.csv") == b'a,b\n1,"x,""y"\n'


def test_it_unloads_what_its_own_transaction_has_written(redshift: Redshift, schema: str, folder: Folder) -> None:
    with redshift.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {schema}.t AS SELECT 1 AS a")
        cursor.execute(f"UNLOAD ('SELECT a FROM {schema}.t') TO '{folder.uri}' IAM_ROLE default PARQUET")
        cursor.execute("SELECT pg_last_unload_count()")
        assert cursor.fetchone()[0] == 1
        connection.rollback()
    assert folder.table().to_pylist() == [{"a": 1}]


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        ("SELECT 1 AS a LIMIT 1", "IAM_ROLE default PARQUET", "Limit clause is not supported"),
        ("SELECT 1 AS a", "PARQUET", "IAM_ROLE or CREDENTIALS must be specified"),
        ("SELECT 1 AS a", "IAM_ROLE ''arn:aws:iam::1:user/x'' PARQUET", "Invalid IAM role ARN"),
        ("SELECT TIME ''10:00'' AS t, 1 AS a", "IAM_ROLE default PARQUET", "does not support the data type of column"),
        ("SELECT nothing FROM nowhere", "IAM_ROLE default PARQUET", "does not exist"),
        ("SELECT 1 AS a", "IAM_ROLE default PARQUET UNKNOWN", 'syntax error at or near "UNKNOWN"'),
    ],
)
def test_an_unload_is_refused(redshift: Redshift, folder: Folder, query: str, options: str, message: str) -> None:
    unload = f"UNLOAD ('{query}') TO '{folder.uri}' {options.replace(chr(39) * 2, chr(39))}"
    assert message in refusal(lambda: redshift.query(unload))["M"]
    assert folder.names() == []


def test_a_limit_in_a_subquery_is_fine(redshift: Redshift, folder: Folder) -> None:
    query = "SELECT * FROM (SELECT 1 AS a LIMIT 1) AS t"
    redshift.query(f"UNLOAD ('{query}') TO '{folder.uri}' IAM_ROLE default PARQUET")
    assert folder.table().num_rows == 1


def test_what_is_there_is_not_overwritten_by_accident(redshift: Redshift, folder: Folder) -> None:
    folder.write("old", b"")
    unload = f"UNLOAD ('SELECT 1 AS a') TO '{folder.uri}' IAM_ROLE default PARQUET"
    assert "destination on S3 is not empty" in refusal(lambda: redshift.query(unload))["M"]
    redshift.query(f"{unload} CLEANPATH")
    assert len(folder.names()) == 1
    assert "old" not in folder.names()


# --- COPY ---


def test_columns_are_matched_by_position(redshift: Redshift, schema: str, folder: Folder) -> None:
    redshift.query(f"CREATE TABLE {schema}.t (a INT, b INT, c INT)")
    entry = folder.write_table("one", pa.table({"x": pa.array([1], pa.int32()), "a": pa.array([2], pa.int32())}))
    folder.load(redshift, f"{schema}.t (c, b)", entry)
    assert redshift.query(f"SELECT a, b, c FROM {schema}.t") == [(None, 2, 1)]


TABLE = pa.table({"id": pa.array([1, 2], pa.int64()), "name": ["ab", "cd"]})


@pytest.mark.parametrize(
    ("columns", "file", "entry", "told"),
    [
        ("id INT, name VARCHAR(9)", TABLE, {}, "incompatible Parquet schema for column"),
        ("id NUMERIC(18), name VARCHAR(9)", TABLE, {}, "incompatible Parquet schema for column"),
        ("id BIGINT, name BIGINT", TABLE, {}, "Column type: BIGINT, Parquet schema:\noptional byte_array name"),
        ("id BIGINT", TABLE, {}, "Table columns: 1, Data columns: 2"),
        ("id BIGINT, name VARCHAR(9)", TABLE, {"url": "s3://airflow-sklearn-redshift/nowhere"}, "Error NoSuchKey"),
        ("id BIGINT, name VARCHAR(9)", TABLE, {"meta": {}}, "'content_length'"),
        ("id BIGINT, name VARCHAR(9)", TABLE, {"meta": {"content_length": 10}}, "Parquet magic bytes not found"),
        ("id BIGINT, name VARCHAR(9)", TABLE, {"meta": {"content_length": 1 << 20}}, "InvalidRange"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    redshift: Redshift, schema: str, folder: Folder, columns: str, file: pa.Table, entry: dict[str, Any], told: str
) -> None:
    redshift.query(f"CREATE TABLE {schema}.t ({columns})")
    described = folder.write_table("one", file, **entry)
    said = refusal(lambda: folder.load(redshift, f"{schema}.t", described))
    assert said["C"] == "XX000"
    assert told in said["D"]


@pytest.mark.parametrize(
    ("columns", "reason", "column"),
    [
        ("id BIGINT, name VARCHAR(3)", "String length exceeds DDL length", "name"),
        ("id BIGINT NOT NULL, name VARCHAR(9)", "Missing data for not-null field", "id"),
    ],
)
def test_a_failed_load_is_told_row_by_row(
    redshift: Redshift, schema: str, folder: Folder, columns: str, reason: str, column: str
) -> None:
    redshift.query(f"CREATE TABLE {schema}.t ({columns})")
    fine = folder.write_table("fine", pa.table({"id": pa.array([1], pa.int64()), "name": ["abc"]}))
    bad = folder.write_table("bad", pa.table({"id": pa.array([1, None], pa.int64()), "name": ["abc", "éé"]}))
    manifest = folder.write_manifest(fine, bad)
    with redshift.connect() as connection, connection.cursor() as cursor:
        copy = f"COPY {schema}.t FROM '{manifest}' IAM_ROLE default FORMAT PARQUET MANIFEST"
        assert "sys_load_error_detail" in refusal(lambda: cursor.execute(copy))["M"]
        connection.rollback()
        found = "trim(file_name), line_number, trim(column_name), trim(error_message)"
        for mine in ("query_id = pg_last_copy_id()", "session_id = pg_backend_pid()"):
            cursor.execute(f"SELECT {found} FROM sys_load_error_detail WHERE {mine}")
            assert [tuple(row) for row in cursor.fetchall()] == [(f"{folder.uri}bad", 2, column, reason)]
    assert redshift.query(f"SELECT count(*) FROM {schema}.t") == [(0,)]


def test_an_optional_file_may_be_missing(redshift: Redshift, schema: str, folder: Folder) -> None:
    redshift.query(f"CREATE TABLE {schema}.t (id BIGINT, name VARCHAR(9))")
    there = folder.write_table("there", TABLE)
    folder.load(redshift, f"{schema}.t", there, there | {"url": f"{folder.uri}gone", "mandatory": False})
    assert redshift.query(f"SELECT count(*) FROM {schema}.t") == [(2,)]


def test_csv_is_loaded_and_its_bad_line_found(redshift: Redshift, schema: str, folder: Folder) -> None:
    redshift.query(f"CREATE TABLE {schema}.t (id INT, name VARCHAR(9))")
    folder.write("good.csv", b"id,name\n1,\n")
    copy = f"COPY {schema}.t FROM '{folder.uri}%s' IAM_ROLE default CSV IGNOREHEADER 1"
    redshift.query(copy % "good")
    assert redshift.query(f"SELECT id, name FROM {schema}.t") == [(1, "")]
    folder.write("bad.csv", b"id,name\n1,a\nx,b\n")
    assert "failed" in refusal(lambda: redshift.query(copy % "bad"))["M"]
    sql = f"SELECT line_number, trim(err_reason) FROM stl_load_errors WHERE trim(filename) = '{folder.uri}bad.csv'"
    assert redshift.query(sql) == [(3, "Invalid digit, Value 'x', Pos 0, Type: Integer")]


def test_a_thousand_small_files_load_in_seconds(redshift: Redshift, schema: str, folder: Folder) -> None:
    redshift.query(f"CREATE TABLE {schema}.t (id BIGINT, name VARCHAR(9))")
    entries = [folder.write_table("same", TABLE)] * 1000
    began = time.monotonic()
    folder.load(redshift, f"{schema}.t", *entries)
    assert redshift.query(f"SELECT count(*) FROM {schema}.t") == [(2000,)]
    assert time.monotonic() - began < 100
