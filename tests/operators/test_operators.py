from __future__ import annotations

import inspect
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError

from airflow_sklearn import (
    Dataset,
    LocalRuntime,
    SklearnCommitOperator,
    SklearnPlanOperator,
    SklearnPredictOperator,
    SklearnTrainOperator,
    sklearn_predict,
)
from airflow_sklearn.airflow_compat import DAG, AirflowFailException, Asset
from airflow_sklearn.aws.connection import AwsConnection
from airflow_sklearn.contract.arguments import column_names
from airflow_sklearn.datasets.file_destination import path_safe
from airflow_sklearn.exceptions import StorageError, UserError
from airflow_sklearn.operators import base
from airflow_sklearn.operators.base import final_errors
from airflow_sklearn.operators.commit import plan_uri
from airflow_sklearn.operators.plan import to_bytes
from tests.operators.fakes import task_context

OPERATORS = [SklearnTrainOperator, SklearnPlanOperator, SklearnPredictOperator, SklearnCommitOperator]
TRAIN: dict[str, Any] = {
    "task_id": "train",
    "estimator": "sparse_logistic",
    "source": "s3://b/t.csv",
    "target": "y",
    "model": "s3://b/model",
    "runtime": LocalRuntime(),
}


@pytest.fixture
def dag() -> Any:
    with DAG("dag", start_date=datetime(2026, 1, 1), schedule=None) as dag:
        yield dag


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_argument_is_documented(operator: type) -> None:
    documented = inspect.getdoc(operator) or ""
    own = {name for cls in operator.__mro__ if cls.__module__.startswith("airflow_sklearn") for name in _arguments(cls)}
    missing = {name for name in own if f":param {name}:" not in documented}
    assert missing == set()


def _arguments(cls: type) -> set[str]:
    if "__init__" not in vars(cls):
        return set()
    parameters = inspect.signature(inspect.unwrap(cls.__init__)).parameters.values()  # type: ignore[misc]
    return {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}


def test_every_argument_can_be_given_to_partial(dag: Any) -> None:
    SklearnTrainOperator.partial(
        **TRAIN,
        estimator_params={},
        primary_key="id",
        excluded_columns=[],
        sample_weight=None,
        cross_validation=0,
        preprocessing="none",
        policies={},
        reuse=False,
        code_version="2",
        search_containers=None,
        aws_conn_id=None,
        deferrable=True,
        poll_interval=1,
        deadline=None,
        retries=3,
    )
    with pytest.raises(TypeError, match="traget"):
        SklearnTrainOperator.partial(**TRAIN, traget="y")


def test_what_is_missing_is_named(dag: Any) -> None:
    with pytest.raises(Exception, match="target"):
        SklearnTrainOperator(**{name: value for name, value in TRAIN.items() if name != "target"})


def test_default_arguments_reach_every_operator() -> None:
    runtime = LocalRuntime(processes=2)
    with DAG(
        "d", start_date=datetime(2026, 1, 1), schedule=None, default_args={"runtime": runtime, "deferrable": True}
    ):
        task = SklearnTrainOperator(**{name: value for name, value in TRAIN.items() if name != "runtime"})
    assert task.runtime == runtime
    assert task.deferrable is True


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_template_field_is_an_attribute(operator: Any, dag: Any) -> None:
    arguments = {
        SklearnTrainOperator: TRAIN,
        SklearnPlanOperator: {"task_id": "t", "model": "/m", "source": "/s.csv", "destination": "/d"},
        SklearnPredictOperator: {"task_id": "t", "chunk": {}, "runtime": LocalRuntime()},
        SklearnCommitOperator: {"task_id": "t", "plan": "/p"},
    }
    task = operator(**arguments[operator])
    for name in operator.template_fields:
        assert hasattr(task, name)


def test_a_model_whose_uri_is_known_is_an_outlet_for_airflow_to_draw(dag: Any) -> None:
    assert SklearnTrainOperator(**TRAIN).outlets == [Asset("s3://b/model")]
    local = SklearnTrainOperator(**{**TRAIN, "task_id": "local", "model": "/models/m/"})
    assert local.outlets == [Asset("file:///models/m")]
    templated = SklearnTrainOperator(**{**TRAIN, "task_id": "templated", "model": "s3://b/{{ ds }}"})
    assert templated.outlets == []


@pytest.mark.parametrize("name", ["mod\u00e8le", "m" * 1600])
def test_a_uri_that_airflow_takes_for_no_asset_breaks_neither_the_dag_nor_a_finished_task(
    dag: Any, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(uri: str) -> Any:  # as Airflow 2 does, whatever this one does
        if not uri.isascii():
            raise ValueError("URI must only consist of ASCII characters")
        return Asset(uri)

    monkeypatch.setattr(base, "Asset", refuse)
    uri = f"s3://b/{name}"
    with caplog.at_level("WARNING"):
        task = SklearnTrainOperator(**{**TRAIN, "model": uri})
        task.announce(task_context(), uri, {"version": "1"})
    assert task.outlets == []
    assert f"no asset events for {uri}" in caplog.text


def test_the_serialized_dag_is_stable_and_holds_no_secret() -> None:
    def serialize() -> str:
        runtime = LocalRuntime(env={"TOKEN": "hunter2"})
        with DAG("dag", start_date=datetime(2026, 1, 1), schedule=None) as dag:
            train = SklearnTrainOperator(**{**TRAIN, "runtime": runtime, "source": Dataset("s3://b/t.csv")})
            sklearn_predict(
                "g", model=train.output, source=Dataset("s3://b/new.csv"), destination="/d", runtime=runtime
            )
        return json.dumps(_serialize(dag), sort_keys=True, default=str)

    text = serialize()
    assert text == serialize()
    assert "hunter2" not in text
    assert " at 0x" not in text


def _serialize(dag: Any) -> Any:
    try:
        from airflow.serialization.serialized_objects import DagSerialization as Serializer
    except ImportError:
        from airflow.serialization.serialized_objects import SerializedDAG as Serializer
    return Serializer.to_dict(dag)


def test_the_task_group_is_plan_then_chunks_then_commit(dag: Any) -> None:
    train = SklearnTrainOperator(**TRAIN)
    group = sklearn_predict(
        "score",
        model=train.output,
        source="s3://b/new/*.csv",
        destination=Dataset("s3://b/scores"),
        runtime=LocalRuntime(),
        deferrable=True,
        retries=2,
        predict_kwargs={"pool": "ml", "retries": 5},
    )
    after = SklearnCommitOperator(task_id="after", plan=group.output["proof"])
    train >> group
    assert dag.get_task("score.plan").upstream_task_ids == {"train"}
    assert dag.get_task("score.predict").upstream_task_ids == {"score.plan"}
    assert dag.get_task("score.commit").upstream_task_ids == {"score.plan", "score.predict"}
    assert after.upstream_task_ids == {"score.commit"}
    assert group.commit.outlets == [Asset("s3://b/scores")]
    mapped = dag.get_task("score.predict").partial_kwargs
    assert (mapped["pool"], mapped["retries"], mapped["deferrable"]) == ("ml", 5, True)
    assert dag.get_task("score.plan").retries == 2


def test_default_arguments_reach_the_tasks_of_the_group_unless_it_is_given_others() -> None:
    defaults = {
        "aws_conn_id": "mine",
        "chunk_size": "1MB",
        "passthrough": ["a"],
        "deferrable": True,
        "deadline": None,
        "poll_interval": 7,
    }
    where: dict[str, Any] = {"model": "/m", "source": "/a.csv", "destination": "/d", "runtime": LocalRuntime()}
    with DAG("d", start_date=datetime(2026, 1, 1), schedule=None, default_args=defaults):
        plain = sklearn_predict("plain", **where)
        other = sklearn_predict("other", aws_conn_id=None, chunk_size=5, deferrable=False, **where)
    assert (plain.plan.aws_conn_id, plain.commit.aws_conn_id) == ("mine", "mine")
    assert (plain.plan.chunk_size, plain.plan.passthrough) == ("1MB", ["a"])
    chunk = _unmapped(plain.predict)
    assert (chunk.aws_conn_id, chunk.deferrable, chunk.deadline, chunk.poll_interval) == ("mine", True, None, 7)
    assert (other.plan.aws_conn_id, other.plan.chunk_size, other.commit.aws_conn_id) == (None, 5, None)
    chunk = _unmapped(other.predict)
    assert (chunk.aws_conn_id, chunk.deferrable, chunk.poll_interval) == (None, False, 7)


def _unmapped(mapped: Any) -> Any:
    arguments = [{"chunk": {"label": "x"}}, None]
    return mapped.unmap(*arguments[: len(inspect.signature(mapped.unmap).parameters)])


def test_two_groups_stand_side_by_side(dag: Any) -> None:
    for name in ("a", "b"):
        sklearn_predict(
            name, model="s3://b/m", source="s3://b/t.csv", destination=f"s3://b/{name}", runtime=LocalRuntime()
        )
    assert {"a.plan", "a.predict", "a.commit", "b.plan", "b.predict", "b.commit"} == set(dag.task_dict)


@pytest.mark.parametrize(
    ("size", "count"),
    [
        (5, 5),
        (64e6, 64_000_000),
        ("5", 5),
        ("64000000.0", 64_000_000),
        ("64MB", 64_000_000),
        ("1.5 GB", 1_500_000_000),
        ("64MiB", 67_108_864),
        ("10k", 10_000),
    ],
)
def test_sizes_are_read(size: Any, count: int) -> None:
    assert to_bytes(size) == count


@pytest.mark.parametrize(
    "size", ["", "big", "-5MB", "5 parsecs", "0", 0, -1, 0.5, float("nan"), float("inf"), True, None]
)
def test_what_is_no_size_is_refused(size: Any) -> None:
    with pytest.raises(UserError, match=r"chunk_size=.*no size"):
        to_bytes(size)


def test_run_ids_become_safe_folders_that_stay_apart() -> None:
    first, second = path_safe("manual__2026-01-01T00:00:00+00:00"), path_safe("manual__2026-01-01T00-00-00+00:00")
    assert first.startswith("run=manual-2026-01-01T00-00-00-00-00-")
    assert first != second
    assert path_safe("../../etc").startswith("run=etc-")


def test_one_column_may_be_given_as_text() -> None:
    assert column_names("late") == ("late",)
    assert column_names(["late", "delay"]) == ("late", "delay")
    assert column_names(None) == column_names("") == ()


def test_a_commit_takes_one_plan_in_any_form() -> None:
    chunk = {"plan": "s3://b/p.json", "id": "1"}
    assert plan_uri("s3://b/p.json") == plan_uri(chunk) == plan_uri([chunk, chunk]) == "s3://b/p.json"
    for other in ([], [chunk, {"plan": "s3://b/q.json"}]):
        with pytest.raises(UserError, match="one plan"):
            plan_uri(other)


def test_a_chunk_that_is_none_fails_without_retries(dag: Any) -> None:
    task = SklearnPredictOperator(task_id="t", chunk={"label": "x"}, runtime=LocalRuntime())
    with pytest.raises(AirflowFailException, match="'plan' and 'id'"), final_errors():
        task.work(task_context())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "relative.csv"}, "relative"),
        ({"policies": {"unseen_levels": "explode"}}, "unseen_levels"),
        ({"estimator": "sparse_logistik"}, "Did you mean 'sparse_logistic'"),
        ({"target": ["a", "a"]}, "named twice"),
    ],
)
def test_settings_that_cannot_be_fail_without_retries_once_their_templates_are_rendered(
    dag: Any, changes: dict[str, Any], message: str
) -> None:
    task = SklearnTrainOperator(**{**TRAIN, **dict.fromkeys(changes, "{{ params.x }}")})
    for name, value in changes.items():
        setattr(task, name, value)  # as Airflow renders it
    with pytest.raises(AirflowFailException, match=message) as caught:
        task.attempt(task_context())
    assert "SklearnTrainOperator, task 'train'" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_without_credentials_the_task_says_where_they_were_looked_for(
    dag: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Client:
        def head_object(self, **_: str) -> None:
            raise NoCredentialsError

    monkeypatch.setattr(AwsConnection, "client", lambda *_: Client())
    task = SklearnTrainOperator(**{**TRAIN, "aws_conn_id": "ml_account"})
    with pytest.raises(StorageError, match="'ml_account'"), task.aws.explained_errors():
        task.work(task_context())


def test_a_source_that_is_not_there_yet_may_be_retried(dag: Any, tmp_path: Path) -> None:
    arguments = {**TRAIN, "source": f"{tmp_path}/late.csv", "model": f"{tmp_path}/model"}
    with pytest.raises(Exception, match=r"late\.csv") as caught, final_errors():
        SklearnTrainOperator(**arguments).work(task_context())
    assert not isinstance(caught.value, AirflowFailException)


@pytest.mark.usefixtures("dag")
def test_a_wrong_number_of_search_containers_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(UserError, match="search_containers=1"):
        SklearnTrainOperator(**TRAIN, search_containers=1)


def test_where_a_search_runs_is_no_part_of_the_models_version(table: Path) -> None:
    from airflow_sklearn.contract.jobs import SearchPool
    from airflow_sklearn.contract.train_settings import TrainSettings
    from airflow_sklearn.runs.train_job import make_train_job
    from airflow_sklearn.storage import Storage
    from tests.operators.conftest import plain_train_job

    source, model = f"{table}/train.csv", f"file://{table}/model"
    storage = Storage()
    alone, _ = plain_train_job(storage, "sparse_logistic", source, model)
    search = SearchPool(containers=2, runtime=LocalRuntime().to_dict(), folder=f"{model}/pools")
    spread, _ = make_train_job(
        storage,
        settings=TrainSettings(target="y", primary_key=("id",), cross_validation=0),
        identity=alone.identity,
        attempt="1",
        estimator="sparse_logistic",
        estimator_params={},
        source=alone.source,
        model=model,
        software="",
        image="",
        deadline_seconds=None,
        search=search,
    )
    assert spread.search == search
    assert spread.version == alone.version
