"""Tables in, tables out, through the operators: the stand-in behind Airflow's own hooks, jobs in local processes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from airflow_sklearn.datasets.redshift.sql import literal
from airflow_sklearn.exceptions import UserError
from local_cloud.redshift_cloud import RedshiftCloud
from tests.operators.database import Run
from tests.operators.warehouse import ROWS, RUNTIME, Warehouse

RunDag = Callable[..., Run]
DATA_API = "data_api=RedshiftDataApi(database='{database}', workgroup_name='{workgroup}')"
WAYS_IN = ("hook", "data api", "data api, deferred")


def _error(capfd: pytest.CaptureFixture[str]) -> str:
    """What the failed task says."""
    _, _, said = capfd.readouterr().out.rpartition("AirflowFailException")
    assert said, "no task has failed for good"
    return said


@pytest.fixture
def connections(redshift_cloud: RedshiftCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """``aws_default`` and ``redshift_default`` mean the local cloud."""
    for name in redshift_cloud.cloud.environment:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    aws = redshift_cloud.redshift.data_api.connection(redshift_cloud.cloud)
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(aws))
    monkeypatch.setenv("AIRFLOW_CONN_REDSHIFT_DEFAULT", json.dumps(redshift_cloud.redshift.connection))


@pytest.fixture
def warehouse(redshift_cloud: RedshiftCloud, connections: None) -> Iterator[Warehouse]:
    yield (made := Warehouse(redshift_cloud))
    made.query(f"DROP SCHEMA {made.schema} CASCADE")


@pytest.mark.both_airflows
@pytest.mark.parametrize("way_in", WAYS_IN)
def test_a_table_is_learned_from_and_predicted_into_a_table(
    run_dag: RunDag, warehouse: Warehouse, way_in: str, capfd: pytest.CaptureFixture[str]
) -> None:
    api = warehouse.cloud.redshift.data_api
    deferrable = {"deferrable": str(way_in.endswith("deferred"))}
    if way_in != "hook":
        warehouse.database = f"{api.workgroup}/{warehouse.cloud.redshift.database}"
        warehouse.options = DATA_API.format(database=warehouse.cloud.redshift.database, workgroup=api.workgroup)
        if way_in.endswith("deferred"):
            for statement in ("UNLOAD", "COPY", "LOCK"):
                api.delay(2.5, containing=statement, times=9)
    run = run_dag(warehouse.train(**deferrable) + warehouse.predict(passthrough="['kind', 'day', 'y']", **deferrable))
    api.restore()
    assert run.state == "success"
    assert run.xcom("train")["rows"] == ROWS
    assert len(run.xcoms("score.predict")) == 3
    done = run.xcom("score.commit")
    assert (done["rows"], done["published"]) == (ROWS, True)
    assert warehouse.keys() == list(range(ROWS))
    wrong = warehouse.query(
        f"SELECT count(*) FROM {warehouse.schema}.scores JOIN {warehouse.schema}.customers USING (id, day, kind, y) "
        "WHERE (y_proba_true > 0.5) = y"
    )
    assert wrong[0][0] > 0.9 * ROWS
    assert done["uri"] == f"x-redshift://{warehouse.database}/{warehouse.schema}/scores"
    said = capfd.readouterr().out
    assert "There will be no asset events" not in said
    waits = said.count("Waiting in the triggerer for the statement")
    assert waits >= 4 if way_in.endswith("deferred") else waits == 0  # more where the machine is slow
    left = [key.rpartition("/")[2] for key in warehouse.objects("unloads/")]
    assert left == ["snapshot.json"], "what was unloaded has served; the model's retries find what was made of it"


def test_out_of_sample_scores_go_into_a_table(run_dag: RunDag, warehouse: Warehouse) -> None:
    scores = warehouse.table("out_of_sample", if_exists="'replace'")
    run = run_dag(warehouse.train(cross_validation="3", out_of_sample=scores))
    assert run.state == "success"
    folds = warehouse.query(
        f"SELECT fold, count(*), count(y_proba_true) FROM {warehouse.schema}.out_of_sample GROUP BY fold ORDER BY fold"
    )
    assert folds == [(1, 200, 200), (2, 200, 200), (3, 200, 200)]
    assert warehouse.keys("out_of_sample") == list(range(ROWS))


@pytest.mark.parametrize("way_in", ["hook", "data api, deferred"])
def test_the_table_that_will_be_scored_is_looked_at_in_the_database(
    run_dag: RunDag, warehouse: Warehouse, way_in: str
) -> None:
    deferrable = {"deferrable": str(way_in.endswith("deferred"))}
    if way_in != "hook":
        api = warehouse.cloud.redshift.data_api
        warehouse.options = DATA_API.format(database=warehouse.cloud.redshift.database, workgroup=api.workgroup)
    table = f"{warehouse.schema}.tomorrow"
    warehouse.query(
        f"CREATE TABLE {table} (id bigint, day date, x double precision, kind varchar(8), flag boolean)",
        f"INSERT INTO {table} SELECT id, DATE '2026-02-01', x, NULL, y FROM {warehouse.schema}.customers",
    )
    check = f"WillScore({warehouse.table('tomorrow')}, unfit_columns='exclude', keep='x')"
    run = run_dag(warehouse.train(will_score=check, excluded_columns="[]", **deferrable))
    assert run.state == "success"
    _, _, key = run.xcom("train")["manifest_uri"].removeprefix("s3://").partition("/")
    manifest = json.load(warehouse.cloud.cloud.client().get_object(Bucket=warehouse.cloud.bucket, Key=key)["Body"])
    assert manifest["unfit_columns"] == {
        "day": "it has the same value in all rows of the table that will be scored",
        "kind": "it has no value in the table that will be scored",
    }
    assert [feature["name"] for feature in manifest["feature_schema"]["features"]] == ["x"]


def test_a_model_from_elsewhere_is_registered_on_rows_of_a_table_and_scores_it(
    run_dag: RunDag, warehouse: Warehouse, tmp_path: Path
) -> None:
    x, path = np.arange(ROWS) * 37 % 101 / 10.0, tmp_path / "notebook.joblib"
    joblib.dump(LogisticRegression().fit(pd.DataFrame({"x": x}), x > 5.05), path)
    digest, sample = hashlib.sha256(path.read_bytes()).hexdigest(), warehouse.table("customers")
    register = (
        f"register = SklearnRegisterOperator(task_id='register', fitted='{path}', sha256='{digest}', source={sample}, "
        f"target='y', primary_key='id', model='{warehouse.staging}/model', runtime={RUNTIME})\n"
    )
    run = run_dag(register + warehouse.predict().replace("train.output", "register.output"))
    assert run.state == "success"
    assert warehouse.keys() == list(range(ROWS))
    wrong = warehouse.query(
        f"SELECT count(*) FROM {warehouse.schema}.scores JOIN {warehouse.schema}.customers USING (id) "
        "WHERE (y_proba_true > 0.5) <> y"
    )
    assert wrong == [(0,)]
    left = [key.rpartition("/")[2] for key in warehouse.objects("unloads/")]
    assert set(left) == {"snapshot.json"}, "what was unloaded has served"


def test_a_backfill_replaces_one_day_and_leaves_the_others(run_dag: RunDag, warehouse: Warehouse, model: str) -> None:
    body = warehouse.predict(
        model,
        source=warehouse.table("customers", where="'day = :day'", parameters="{'day': '{{ ds }}'}"),
        destination=warehouse.table(
            "scores", if_exists="'replace'", partition="{'ds': '{{ ds }}'}", column_types="{'ds': 'date'}"
        ),
    )
    for day in ("2026-01-01", "2026-01-02", "2026-01-01"):
        run = run_dag(body, date=day)
        assert run.state == "success"
        assert run.xcom("score.commit")["partition"] == f"ds={day}"
    assert warehouse.keys(where="ds = '2026-01-01'") == list(range(0, ROWS, 3))
    assert warehouse.keys(where="ds = '2026-01-02'") == list(range(1, ROWS, 3))
    assert len(warehouse.keys()) == 400


def test_a_table_that_changes_after_it_was_unloaded_is_predicted_as_it_was(
    run_dag: RunDag, warehouse: Warehouse, model: str
) -> None:
    change = f"""
@task
def change():
    from airflow.providers.amazon.aws.hooks.redshift_sql import RedshiftSQLHook
    RedshiftSQLHook().run(
        ["DELETE FROM {warehouse.schema}.customers WHERE id < 300", "UPDATE {warehouse.schema}.customers SET x = 0"],
        autocommit=True,
    )
score.plan >> change() >> score.predict
"""
    run = run_dag(warehouse.predict(model, passthrough="['x']") + change)
    assert run.state == "success"
    assert warehouse.query(f"SELECT count(*) FROM {warehouse.schema}.customers") == [(300,)]
    assert warehouse.keys() == list(range(ROWS))
    assert warehouse.query(f"SELECT count(*) FROM {warehouse.schema}.scores WHERE x > 0")[0][0] > 500


def test_all_that_does_not_fit_is_said_before_anything_is_unloaded(
    run_dag: RunDag, warehouse: Warehouse, model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    warehouse.query(
        f"CREATE TABLE {warehouse.schema}.other (id varchar(20), x date, sort varchar(8))",
        f"CREATE TABLE {warehouse.schema}.scores (id integer, y_proba_0 integer)",
    )
    body = warehouse.predict(
        model,
        source=warehouse.table("other"),
        destination=warehouse.table("scores", if_exists="'append'"),
        passthrough="['sort', 'shape']",
    )
    assert run_dag(body).state == "failed"
    said = capfd.readouterr().out
    for fault in ("'id'", "'x'", "'kind'", "'shape'", "'sort'", "'y_proba_0'", "'y_proba_1'"):
        assert fault in said, f"{fault} is not named"
    assert not warehouse.objects("unloads/")
    assert not warehouse.cloud.redshift.statements(f"UNLOAD.*{warehouse.schema}")


def test_an_empty_table_is_predicted_into_an_empty_table(run_dag: RunDag, warehouse: Warehouse, model: str) -> None:
    warehouse.query(f"DELETE FROM {warehouse.schema}.customers")
    run = run_dag(warehouse.predict(model))
    assert run.state == "success"
    assert run.xcom("score.commit")["rows"] == 0
    assert warehouse.keys() == []


def test_a_query_with_a_limit_and_parameters_is_predicted(run_dag: RunDag, warehouse: Warehouse, model: str) -> None:
    sql = (
        f"SELECT c.*, 'it''s :here' AS note FROM {warehouse.schema}.customers AS c "
        "WHERE kind = :kind ORDER BY id LIMIT 50;"
    )
    source = f"RedshiftQuery({sql!r}, parameters={{'kind': '{{{{ \"b\" }}}}'}}, staging={warehouse.staging!r})"
    assert run_dag(warehouse.predict(model, source=source, passthrough="'note'")).state == "success"
    assert warehouse.keys() == list(range(1, 150, 3))
    assert warehouse.query(f"SELECT DISTINCT note FROM {warehouse.schema}.scores") == [("it's :here",)]


def test_values_of_every_type_survive_the_round_trip(run_dag: RunDag, warehouse: Warehouse, model: str) -> None:
    text = "a \"quoted\" 'text', with \n a line break, \r\n \t a tab, 漢字 🎈 and a \\ backslash"
    columns = {
        "small": ("smallint", "-32768"),
        "big": ("bigint", "9007199254740993"),
        "money": ("numeric(38,10)", "-1234567890123456789012345678.0123456789"),
        "ratio": ("double precision", "0.1"),
        "single": ("real", "0.1"),
        "flag": ("boolean", "false"),
        "day": ("date", "'1899-12-31'"),
        "moment": ("timestamp", "'2026-03-29 02:30:00.123456'"),
        "zoned": ("timestamptz", "'2026-03-29 02:30:00.123456+05:30'"),
        "text": ("varchar(200)", literal(text)),
        "blank": ("varchar(10)", "''"),
        "padded": ("char(8)", "'ab'"),
    }
    declared = ", ".join(f"{name} {kind}" for name, (kind, _) in columns.items())
    values = ", ".join(value for _, value in columns.values())
    warehouse.query(
        f"CREATE TABLE {warehouse.schema}.wide (id bigint, x double precision, kind varchar(8), {declared})",
        f"INSERT INTO {warehouse.schema}.wide SELECT 9007199254740993, 1.0, 'a', {values}",
        f"INSERT INTO {warehouse.schema}.wide (id, x, kind) SELECT 9007199254740995, NULL, NULL",
    )
    body = warehouse.predict(model, source=warehouse.table("wide"), passthrough=repr(list(columns)))
    assert run_dag(body).state == "success"
    names = ", ".join(["id", *columns])
    before, after = (
        warehouse.query(f"SELECT {names} FROM {warehouse.schema}.{table} ORDER BY id") for table in ("wide", "scores")
    )
    whole, nulls = after
    padded = len(columns)
    assert whole[:padded] == before[0][:padded]
    assert whole[padded].rstrip() == "ab"
    assert whole[1 + list(columns).index("text")] == text
    assert nulls == (9007199254740995, *[None] * len(columns))
    types = {
        table: {
            name: kind
            for name, *kind in warehouse.query(
                "SELECT column_name, data_type, character_maximum_length, numeric_precision, numeric_scale FROM "
                f"information_schema.columns WHERE table_schema = '{warehouse.schema}' AND table_name = '{table}'"
            )
        }
        for table in ("wide", "scores")
    }
    for name in set(columns) - {"padded"}:
        assert types["scores"][name] == types["wide"][name], name


def test_names_with_spaces_capitals_quotes_and_reserved_words_work(
    run_dag: RunDag, warehouse: Warehouse, model: str
) -> None:
    customers, scores = '"Customers ""of"" 2026"', '"Scores of ""all"""'
    warehouse.query(
        "SET enable_case_sensitive_identifier TO true",
        f"CREATE TABLE {warehouse.schema}.{customers} (id bigint, x double precision, kind varchar(8), "
        '"Select" integer, "a b ""c""" varchar(8), "order" date, "día" varchar(8))',
        f"INSERT INTO {warehouse.schema}.{customers} "
        f"SELECT id, x, kind, id, kind, day, kind FROM {warehouse.schema}.customers",
    )
    body = warehouse.predict(
        model,
        source=warehouse.table(customers),
        destination=warehouse.table(scores, if_exists="'replace'", partition=repr({"Group": "A 'x'"})),
        passthrough=repr(["Select", 'a b "c"', "order", "día"]),
    )
    assert run_dag(body).state == "success"
    rows = warehouse.query(
        "SET enable_case_sensitive_identifier TO true",
        'SELECT id, "Select", "a b ""c""", CAST("order" AS varchar), "día", "Group" '
        f"FROM {warehouse.schema}.{scores} ORDER BY id LIMIT 1",
    )
    assert rows == [(0, 0, "a", "2026-01-01", "a", "A 'x'")]


@pytest.mark.parametrize(
    ("table", "source", "destination", "said"),
    [
        ("customers", "true) TO 's3://elsewhere/' IAM_ROLE default --", "", "parenthesis"),
        ("customers", "x > 0; DELETE FROM {schema}.customers", "", "semicolon"),
        ("customers; DROP TABLE {schema}.customers", "", "", "DROP TABLE"),
        ("customers", "", "true) OR (SELECT true", "parenthesis"),
        ("customers", "", "true /* and */", "comment"),
    ],
    ids=["out of UNLOAD", "a second statement", "a table's name", "a destination's where", "a comment"],
)
def test_what_would_leave_its_place_in_the_sql_is_refused(
    run_dag: RunDag,
    warehouse: Warehouse,
    model: str,
    table: str,
    source: str,
    destination: str,
    said: str,
) -> None:
    table, source = table.format(schema=warehouse.schema), source.format(schema=warehouse.schema)
    body = warehouse.predict(
        model,
        source=warehouse.table(table, where=repr(source)),
        destination=warehouse.table("scores", if_exists="'replace'", where=repr(destination)),
    )
    with pytest.raises(UserError, match=said):  # when the DAG is parsed
        run_dag(body)
    assert len(warehouse.keys("customers")) == ROWS
    assert not warehouse.cloud.redshift.statements(f"(DROP|DELETE|UNLOAD).*{warehouse.schema}")


def test_a_value_that_looks_like_sql_is_a_value(run_dag: RunDag, warehouse: Warehouse, model: str) -> None:
    evil = "b' OR '1'='1\\'; DROP TABLE customers; --"
    warehouse.query(f"UPDATE {warehouse.schema}.customers SET kind = 'b'")
    body = warehouse.predict(
        model,
        source=warehouse.table("customers", where="'kind = :kind OR id = 1'", parameters=repr({"kind": evil})),
        destination=warehouse.table("scores", if_exists="'replace'", partition=repr({"note": evil})),
    )
    assert run_dag(body).state == "success"
    assert warehouse.query(f"SELECT id, note FROM {warehouse.schema}.scores") == [(1, evil)]
    assert len(warehouse.keys("customers")) == ROWS


def test_rows_that_a_run_has_appended_are_not_appended_again_when_it_is_run_again(
    run_dag: RunDag, warehouse: Warehouse, model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    body = warehouse.predict(
        model, destination=warehouse.table("scores", if_exists="'append'"), partition="'day={{ ds }}'"
    )
    assert run_dag(body).state == "success"
    assert run_dag(body, date="2026-01-02").state == "success"
    assert len(warehouse.keys()) == 2 * ROWS
    capfd.readouterr()
    assert run_dag(body).state == "failed"
    assert "day=2026-01-01" in _error(capfd)
    assert len(warehouse.keys()) == 2 * ROWS


def test_scores_that_are_appended_come_once_though_the_task_is_tried_again(
    run_dag: RunDag, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_sklearn.operators import train

    served = train.SklearnTrainOperator.announce
    calls: list[str] = []

    def fail_once(self: train.SklearnTrainOperator, context: Any, uri: str, extra: Any) -> None:
        calls.append(uri)
        if len(calls) == 1:
            raise RuntimeError("Airflow's API is away")
        served(self, context, uri, extra)

    monkeypatch.setattr(train.SklearnTrainOperator, "announce", fail_once)
    scores = warehouse.table("out_of_sample", if_exists="'append'")
    again = {"retries": "1", "retry_delay": "timedelta(seconds=0)"}
    run = run_dag(warehouse.train(cross_validation="2", out_of_sample=scores, **again))
    assert (run.state, len(calls)) == ("success", 2)
    assert warehouse.keys("out_of_sample") == list(range(ROWS))


def test_a_training_that_is_tried_again_after_all_was_done_fits_nothing(
    run_dag: RunDag, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_sklearn.datasets.redshift import source

    removed = source.delete_snapshot

    def remove_and_die(*arguments: Any, **options: Any) -> None:
        monkeypatch.setattr(source, "delete_snapshot", removed)
        removed(*arguments, **options)
        raise RuntimeError("the worker dies before Airflow hears of the success")

    monkeypatch.setattr(source, "delete_snapshot", remove_and_die)
    run = run_dag(warehouse.train(retries="1", retry_delay="timedelta(seconds=0)"))
    assert run.state == "success"
    assert len([key for key in warehouse.objects("model/versions/") if key.endswith("/manifest.json")]) == 1
    assert len(warehouse.cloud.redshift.statements(f"UNLOAD.*{warehouse.schema}")) == 1


def test_scores_that_would_be_refused_are_refused_before_anything_is_fitted(
    run_dag: RunDag, warehouse: Warehouse, capfd: pytest.CaptureFixture[str]
) -> None:
    warehouse.query(f"CREATE TABLE {warehouse.schema}.out_of_sample (id bigint)")
    assert run_dag(warehouse.train(out_of_sample=warehouse.table("out_of_sample"))).state == "failed"
    said = _error(capfd)
    assert "cross_validation=0" in said
    assert "out_of_sample exists" in said.replace('"', "")
    assert not warehouse.objects("model/")


def test_a_commit_that_was_overtaken_is_not_tried_again(
    run_dag: RunDag, warehouse: Warehouse, model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    newer = (
        f"UPDATE {warehouse.schema}.airflow_sklearn_publications "
        "SET number = number + 1, publication = 'b', fingerprint = 'b', published_by = 'another run'"
    )
    assert run_dag(warehouse.predict(model)).state == "success"
    capfd.readouterr()
    again = {"retries": "1", "retry_delay": "timedelta(seconds=0)", "method": "'predict'"}
    with warehouse.cloud.redshift.pause("^LOCK") as asleep:
        overtaking = threading.Thread(target=lambda: (asleep.wait(), warehouse.query(newer), asleep.end()))
        overtaking.start()
        run = run_dag(warehouse.predict(model, **again))
        overtaking.join()
    assert (run.state, run.attempts("score.commit")) == ("failed", 1)
    assert "another run" in _error(capfd)


def test_a_table_that_is_not_there_is_told_with_all_other_faults(
    run_dag: RunDag, warehouse: Warehouse, model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    warehouse.query(f"CREATE TABLE {warehouse.schema}.scores (id bigint)")
    assert (
        run_dag(
            warehouse.predict(model, source=warehouse.table("nowhere"), destination=warehouse.table("scores"))
        ).state
        == "failed"
    )
    said = _error(capfd)
    assert "nowhere cannot be read" in said
    assert "scores exists" in said.replace('"', "")


def test_an_administrator_finds_whose_statements_they_are(run_dag: RunDag, warehouse: Warehouse, model: str) -> None:
    run = run_dag(warehouse.predict(model))
    (unloaded,) = warehouse.cloud.redshift.statements(f"UNLOAD.*{warehouse.schema}")
    assert unloaded.query_group == f"airflow-sklearn {run.dag_id}.score.plan {run.run_id} try 1"
    (copied,) = warehouse.cloud.redshift.statements(f"COPY.*{warehouse.schema}")
    assert "score.commit" in copied.query_group
