"""What a user may say of a table or a query, and what is said of mistakes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from airflow_sklearn import RedshiftDataApi, RedshiftQuery, RedshiftTable, SklearnPlanOperator
from airflow_sklearn.datasets.files import Dataset
from airflow_sklearn.datasets.registry import as_destination, from_plain
from airflow_sklearn.exceptions import UserError

STAGING = "s3://acme/staging"


def test_a_table_may_come_as_a_dict_of_its_arguments() -> None:
    table = {"table": "a.b", "staging": STAGING, "data_api": {"database": "dev", "workgroup_name": "w"}}
    source = from_plain(table, "source").to_source()
    assert source.table == ("a", "b")
    assert source.access.name == "w/dev"
    assert from_plain({"sql": "SELECT 1", "staging": STAGING}, "source") == RedshiftQuery("SELECT 1", staging=STAGING)
    assert from_plain({"uri": "s3://a/b.csv"}, "source") == Dataset("s3://a/b.csv")


def test_it_shows_only_what_differs_from_the_defaults() -> None:
    assert repr(RedshiftTable("a.b", staging=STAGING)) == "RedshiftTable(table='a.b', staging='s3://acme/staging')"
    assert repr(RedshiftDataApi("dev", "w")) == "RedshiftDataApi(database='dev', workgroup_name='w')"


def test_the_staging_folder_and_the_role_may_be_set_for_all_dags(monkeypatch: pytest.MonkeyPatch) -> None:
    role = "arn:aws:iam::123456789012:role/redshift"
    monkeypatch.setenv("AIRFLOW__AIRFLOW_SKLEARN__REDSHIFT_STAGING", "s3://acme/everything/")
    monkeypatch.setenv("AIRFLOW__AIRFLOW_SKLEARN__REDSHIFT_IAM_ROLE", role)
    source = RedshiftTable("a.b").to_source()
    assert (source.staging, source.access.iam_role) == ("s3://acme/everything", role)


def test_dates_and_decimals_are_values_too() -> None:
    values = {"day": date(2026, 1, 2), "at": datetime(2026, 1, 2, 3, tzinfo=UTC), "least": Decimal("1.50")}
    query = RedshiftQuery("SELECT 1 WHERE :day < :at AND 1 > :least", parameters=values, staging=STAGING)
    assert query.to_source().parameters == {"day": "2026-01-02", "at": "2026-01-02 03:00:00+00:00", "least": "1.50"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"staging": None}, r"staging='s3://\.\.\.', or set \[airflow_sklearn\] redshift_staging"),
        ({"staging": "/data"}, "not in S3"),
        ({"parameters": "x"}, r"parameters='x' is a text: give a dict"),
        ({"partition": "2026-01-01", "if_exists": "replace"}, r"partition='2026-01-01' is a text: give a dict"),
        ({"data_api": "w"}, r"data_api='w' is a text: give a RedshiftDataApi"),
        ({"data_api": {"workgroup": "w"}}, "no argument 'workgroup'. Did you mean 'workgroup_name'"),
        ({"data_api": {"workgroup_name": "w"}}, r"needs \['database'\]"),
        ({"data_api": RedshiftDataApi("dev")}, "workgroup_name .* or cluster_identifier"),
        ({"iam_role": "role/x"}, "role/x"),
        ({"if_exists": "overwrite"}, "if_exists"),
        ({"where": "x = 1", "if_exists": "append"}, "if_exists='replace', not 'append'"),
        ({"partition": {"d": 1}, "where": "x = 1", "if_exists": "replace"}, "where or partition, not both"),
        ({"limit": 10, "if_exists": "replace"}, "limit"),
        ({"table": "a.b.c"}, "a.b.c"),
        ({"where": "x = 1; DROP TABLE y", "if_exists": "replace"}, "semicolon"),
    ],
)
def test_what_cannot_be_is_said_in_words(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        as_destination(RedshiftTable(**{"table": "a.b", "staging": STAGING, **arguments}))


def test_a_limit_that_is_no_number_is_said() -> None:
    with pytest.raises(UserError, match="limit='ten'"):
        RedshiftTable("a.b", limit="ten", staging=STAGING).to_source()


def test_objects_that_tasks_and_runs_share_are_rendered_for_each_alone() -> None:
    api = RedshiftDataApi(database="{{ db }}", workgroup_name="w")
    table = RedshiftTable("a.b", data_api=api)
    for database in ("dev", "prod"):
        task = SklearnPlanOperator(task_id="x", model="s3://m/x", source=table, destination="s3://m/y")
        task.render_template_fields({"db": database})  # type: ignore[typeddict-unknown-key, typeddict-item]
        assert task.source.data_api.database == database  # type: ignore[union-attr]
    assert api.database == "{{ db }}"


def test_a_tables_asset_is_known_when_the_dag_is_parsed_unless_its_name_is_a_template() -> None:
    assert RedshiftTable('sales."Daily Scores"').uri == "x-redshift://redshift_default/sales/Daily%20Scores"
    assert RedshiftTable("{{ params.table }}").uri == "{{ params.table }}"
