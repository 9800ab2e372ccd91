from __future__ import annotations

import datetime
import re
from decimal import Decimal
from typing import Any

import pytest

from airflow_sklearn.contract.schema import Column, Feature, FeatureSchema, Policies
from airflow_sklearn.contract.tables import OutputColumnSpec, TableColumn
from airflow_sklearn.datasets.redshift.types import (
    RedshiftType,
    arrow_type,
    feature_faults,
    holds,
    is_zone_aware,
    key_hash_sql,
    output_column,
    parse_type,
    target_faults,
    unload_faults,
)
from local_cloud.redshift_cloud import RedshiftCloud

#: Values of which the worker converts one, if it converts the type at all.
SAMPLES: dict[str, list[Any]] = {
    "boolean": [True],
    "bigint": [1],
    "double precision": [1.0],
    "numeric(9,2)": [Decimal(1)],
    "varchar": ["1", "2024-01-01"],
    "date": [datetime.date(2024, 1, 1)],
    "timestamp": [datetime.datetime(2024, 1, 1)],
}


@pytest.mark.parametrize(
    ("spelling", "found"),
    [
        ("int4", "integer"),
        ("BIGINT", "bigint"),
        ("float8", "double precision"),
        ("character varying(64)", "varchar(64)"),
        ("VARCHAR(max)", "varchar(65535)"),
        ("text", "varchar"),
        ("bpchar(3)", "char(3)"),
        ("numeric(18, 2)", "numeric(18,2)"),
        ("decimal(10)", "numeric(10,0)"),
        ("numeric", "numeric"),
        ("timestamp without time zone", "timestamp"),
        ("timestamp(6) with time zone", "timestamptz"),
        ("time with time zone", "timetz"),
        ("binary varying(100)", "varbyte(100)"),
        ('"char"', "char"),
    ],
)
def test_a_type_is_known_in_all_its_spellings(spelling: str, found: str) -> None:
    assert str(parse_type(spelling)) == found


@pytest.mark.parametrize("text", ["", "varchar(10); DROP TABLE t", "int(4", "mytype", "varchar(1,2)", "numeric(1,2,3)"])
def test_what_is_no_type_is_not_taken_for_one(text: str) -> None:
    assert parse_type(text) is None


@pytest.mark.parametrize(
    ("redshift", "arrow"),
    [
        ("bool", "bool"),
        ("smallint", "int16"),
        ("int4", "int32"),
        ("int8", "int64"),
        ("real", "float"),
        ("double precision", "double"),
        ("numeric(18,2)", "decimal128(18, 2)"),
        ("character varying(10)", "string"),
        ("bpchar", "string"),
        ("date", "date32[day]"),
        ("timestamp without time zone", "timestamp[us]"),
        ("timestamptz", "timestamp[us]"),
        ("super", None),
        ("time", None),
        ("geometry", None),
        ("varbyte", None),
        ("hllsketch", None),
        ("interval day to second", None),
    ],
)
def test_unload_makes_known_types_of_parquet(redshift: str, arrow: str | None) -> None:
    assert arrow_type(redshift) == arrow


def test_moments_are_told_from_clock_times() -> None:
    assert is_zone_aware("timestamp with time zone")
    assert not is_zone_aware("timestamp")


def test_columns_that_cannot_be_unloaded_are_all_named_with_a_way_out() -> None:
    faults = unload_faults("shop.orders", _columns(opened="time", payload="super", id="bigint", where="geometry"))
    assert [re.findall("column '(\\w+)'", fault) for fault in faults] == [["opened"], ["payload"], ["where"]]
    assert 'EXTRACT(hour FROM "opened")' in faults[0]
    assert 'JSON_SERIALIZE("payload")' in faults[1]


def test_a_table_that_has_what_the_model_needs_has_no_faults() -> None:
    schema = _schema(age="double", city="string", member="bool", since="timestamp[us]", key="int64")
    columns = _columns(since="date", key="integer", age="numeric(5,1)", city="bigint", member="smallint", extra="super")
    assert feature_faults("t", columns, schema) == []


def test_all_that_a_table_lacks_is_told_at_once() -> None:
    schema = _schema(Age="double", city="string", since="timestamp[us]", notes="string", key="int64")
    columns = _columns(age="integer", city="double precision", since="integer", notes="super", extra="date")
    faults = feature_faults("shop.customers", columns, schema, ["tag"])
    assert all(fault.startswith("shop.customers") for fault in faults)
    assert len(faults) == 6
    assert "has no column 'Age'. It has 'age'" in faults[0]
    assert 'selects "age" AS "Age"' in faults[0]
    assert "'city' is double precision, and the model was trained with string" in faults[1]
    assert 'CAST("since" AS timestamp)' in faults[2]
    assert "'notes' is super" in faults[3]
    assert "has no column 'key'" in faults[4]
    assert "has no column 'tag'" in faults[5]


def test_missing_features_may_pass_but_keys_may_not() -> None:
    schema = _schema(age="double", key="int64")
    faults = feature_faults("t", _columns(city="varchar"), schema, policies=Policies(missing_columns="null"))
    assert len(faults) == 1
    assert "'key'" in faults[0]


def test_values_of_wrong_types_may_pass() -> None:
    columns, schema = _columns(age="date", key="integer"), _schema(age="double", key="int64")
    assert feature_faults("t", columns, schema)
    assert not feature_faults("t", columns, schema, policies=Policies(wrong_types="null"))


def test_a_feature_that_is_carried_as_well_is_told_once() -> None:
    assert len(feature_faults("t", _columns(key="integer"), _schema(age="double", key="int64"), ["age"])) == 1


@pytest.mark.parametrize("redshift", SAMPLES)
@pytest.mark.parametrize("kind", ["numeric", "categorical", "boolean", "datetime"])
def test_types_that_pass_are_those_of_which_the_worker_converts_a_value(redshift: str, kind: str) -> None:
    """Held against the worker's own converter, where it is installed."""
    pa = pytest.importorskip("pyarrow")
    from airflow_sklearn.models.arrow_types import parse_type as arrow
    from airflow_sklearn.worker.data.convert import convert

    wanted = {"numeric": "double", "categorical": "string", "boolean": "bool", "datetime": "timestamp[us]"}[kind]
    values = pa.array(SAMPLES[redshift], arrow(arrow_type(redshift) or ""))
    converted = convert(values, arrow(wanted))
    taken = converted.bad is None or not converted.bad.all()
    feature = Feature(name="x", kind=kind, arrow_type=wanted)  # type: ignore[arg-type]
    faults = feature_faults("t", _columns(x=redshift), FeatureSchema(features=(feature,), targets=()))
    assert taken == (not faults)


@pytest.mark.parametrize(
    ("arrow", "written", "staging", "created"),
    [
        ("bool", "bool", "boolean", "boolean"),
        ("uint8", "int16", "smallint", "smallint"),
        ("uint64", "decimal128(20, 0)", "numeric(20,0)", "numeric(20,0)"),
        ("halffloat", "float", "real", "real"),
        ("large_string", "string", "varchar(65535)", "varchar(65535)"),
        ("timestamp[ns]", "timestamp[us]", "timestamp", "timestamp"),
        ("timestamp[ns, tz=UTC]", "timestamp[us]", "timestamp", "timestamptz"),
        ("date64[ms]", "date32[day]", "date", "date"),
    ],
)
def test_a_column_is_loaded_with_types_that_hold_it(arrow: str, written: str, staging: str, created: str) -> None:
    assert output_column("x", arrow) == OutputColumnSpec(
        name="x", arrow_type=written, staging_type=staging, type=created
    )


def test_what_no_type_holds_is_no_column() -> None:
    assert output_column("x", "binary") is None


@pytest.mark.parametrize(
    ("arrow", "elsewhere", "created"),
    [
        ("string", "character varying(16)", "varchar(16)"),
        ("string", "character(16)", "varchar(16)"),
        ("int64", "character(16)", "bigint"),
        ("timestamp[us]", "timestamptz", "timestamptz"),
        ("int64", "varchar(16)", "bigint"),
        ("int64", "integer", "bigint"),
        ("double", "varchar(1); DROP TABLE t", "double precision"),
    ],
)
def test_a_carried_column_is_created_as_it_is_elsewhere_where_that_holds_it(
    arrow: str, elsewhere: str, created: str
) -> None:
    column = output_column("x", arrow, type=elsewhere)
    assert column is not None
    assert column.type == created


@pytest.mark.parametrize(
    ("arrow", "yes", "no"),
    [
        ("int16", ["smallint", "bigint", "real", "numeric(5,0)"], ["numeric(4,0)", "varchar(9)", "boolean"]),
        ("int32", ["integer", "double precision", "numeric(12,2)"], ["smallint", "real", "numeric(10,2)"]),
        ("int64", ["bigint", "numeric(19,0)", "numeric"], ["integer", "double precision", "numeric(18,0)"]),
        ("double", ["float8"], ["real", "integer", "numeric(38,10)"]),
        ("float", ["real", "double precision"], ["numeric(38,10)"]),
        ("string", ["varchar(1)", "text"], ["char(1)", '"char"', "integer", "super"]),
        ("timestamp[us]", ["timestamp", "timestamptz"], ["date", "varchar(64)"]),
        ("date32[day]", ["date", "timestamp"], ["timestamptz"]),
        ("decimal128(10, 2)", ["numeric(10,2)", "numeric(12,4)"], ["numeric(10,3)", "numeric(9,2)", "real", "bigint"]),
        ("decimal128(18, 0)", ["bigint"], ["integer", "double precision"]),
        ("bool", ["boolean"], ["smallint", "varchar"]),
    ],
)
def test_a_table_holds_values_that_it_gives_back_as_they_were(arrow: str, yes: list[str], no: list[str]) -> None:
    assert [name for name in yes + no if holds(name, arrow)] == yes


def test_all_that_keeps_rows_out_of_a_table_is_told_at_once() -> None:
    columns = [_spec("id", "int64"), _spec("score", "double"), _spec("label", "string"), _spec("ds", "string")]
    existing = _columns(id="integer", Score="double precision", label="varchar(8)", ds="date", day="date", note="text")
    faults = target_faults("shop.scores", columns, existing, partition=["ds", "hour"], required=["note", "day", "id"])
    assert all(fault.startswith("shop.scores") for fault in faults)
    told = [re.findall("'(\\w+)'", fault)[0] for fault in faults]
    assert told == ["score", "hour", "id", "ds", "day", "note"]
    assert "It has 'Score': names are matched exactly" in faults[0]


def test_text_does_not_go_into_char_which_forgets_blanks() -> None:
    (fault,) = target_faults("t", [_spec("label", "string")], _columns(label="character(4)"))
    assert "'label' is character(4)" in fault
    assert "drops blanks at the end, and takes ASCII only" in fault
    assert "make it varchar(65535)" in fault


def test_rows_that_fit_have_no_faults() -> None:
    existing = _columns(id="bigint", ds="date", extra="super")
    assert target_faults("t", [_spec("id", "int64")], existing, partition=["ds"], required=["id", "ds"]) == []


def test_the_hash_of_a_key_goes_over_its_columns_in_order() -> None:
    columns = [_spec('a"b', "string"), _spec("n", "int16"), _spec("d", "decimal128(9, 2)")]
    assert key_hash_sql(columns, prefix="s.") == (
        'FNV_HASH(CAST(s."d" AS VARCHAR(64)), FNV_HASH(CAST(s."n" AS BIGINT), FNV_HASH(s."a""b")))'
    )


KEYS: dict[str, list[Any]] = {
    "bool": [True, False],
    "int16": [-(2**15), 0, 7],
    "int32": [-(2**31), 2**31 - 1],
    "int64": [-(2**63), -1, 2**63 - 1],
    "uint64": [0, 2**64 - 1],
    "float": [0.1, -0.0, 1e-40],
    "double": [0.1, -0.0, 1e300, 5e-324],
    "string": ["", "Amazon Redshift", "ü€𝄞", "a'b\\c"],
    "date32[day]": [datetime.date(1969, 12, 31), datetime.date(2024, 2, 29), datetime.date(1, 1, 1)],
    "timestamp[us]": [datetime.datetime(1969, 12, 31, 23, 59, 59, 999999), datetime.datetime(2024, 2, 29, 1, 2, 3, 4)],
    "decimal128(9, 2)": [Decimal("-0.50"), Decimal("1234567.89"), Decimal("0.00")],
}


@pytest.mark.parametrize("kind", KEYS)
def test_the_database_hashes_a_key_as_the_worker_does(redshift_cloud: RedshiftCloud, kind: str) -> None:
    pa = pytest.importorskip("pyarrow")
    from airflow_sklearn.models.arrow_types import parse_type as arrow
    from airflow_sklearn.worker.key_hash import hash_columns

    column = _spec("Key", kind)
    rows = ", ".join(f"(CAST('{_text(value)}' AS {column.staging_type}))" for value in KEYS[kind])
    found = redshift_cloud.redshift.query(
        "SET enable_case_sensitive_identifier TO true",
        f'CREATE TEMP TABLE keys ("Key" {column.staging_type})',
        f"INSERT INTO keys VALUES {rows}",
        f"SELECT {key_hash_sql([column, column])} FROM keys",
    )
    values = pa.array(KEYS[kind], arrow(kind))
    hashes = hash_columns(pa.table([values, values], ["a", "b"]))
    assert sorted(row[0] % 2**64 for row in found) == sorted(hashes.tolist())


def _text(value: Any) -> str:
    return str(value).replace("\\", "\\\\").replace("'", "''")


def _columns(**types: str) -> list[TableColumn]:
    return [TableColumn(name=name, type=kind) for name, kind in types.items()]


def _spec(name: str, arrow: str) -> OutputColumnSpec:
    column = output_column(name, arrow)
    assert column is not None
    return column


def _schema(key: str, **features: str) -> FeatureSchema:
    kinds: dict[str, Any] = {"double": "numeric", "string": "categorical", "bool": "boolean"}
    return FeatureSchema(
        features=tuple(
            Feature(name=name, kind=kinds.get(kind, "datetime"), arrow_type=kind) for name, kind in features.items()
        ),
        targets=(),
        primary_key=(Column(name="key", arrow_type=key),),
    )


def test_a_type_taken_apart_spells_itself() -> None:
    assert str(RedshiftType("numeric", 10, 2)) == "numeric(10,2)"
