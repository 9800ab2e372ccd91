"""What an operator's arguments may be is said when the DAG is parsed, wherever no template hides it."""

from __future__ import annotations

import inspect
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator
from sklearn.linear_model import LogisticRegression

from airflow_sklearn import (
    Dataset,
    HeldOut,
    LocalRuntime,
    RedshiftQuery,
    RedshiftTable,
    SklearnCommitOperator,
    SklearnPlanOperator,
    SklearnPredictOperator,
    SklearnReapOperator,
    SklearnTrainOperator,
    WillScore,
    sklearn_predict,
)
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.operators.base import argument_names

TRAIN: dict[str, Any] = {
    "task_id": "train",
    "estimator": "sparse_logistic",
    "source": "s3://b/t.csv",
    "target": "y",
    "model": "s3://b/model",
    "runtime": LocalRuntime(),
}
PREDICT: dict[str, Any] = {
    "group_id": "score",
    "model": "s3://b/model",
    "source": "s3://b/t.csv",
    "destination": "s3://b/scores",
    "runtime": LocalRuntime(),
}


@pytest.fixture(autouse=True)
def dag() -> Any:
    with DAG("dag", start_date=datetime(2026, 1, 1), schedule=None) as dag:
        yield dag


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation": "non"}, "validation='non': give a number of folds .*Did you mean 'none'"),
        ({"validation": 3, "cross_validation": 2}, "cross_validation=2 and validation=3 contradict each other"),
        ({"validation": HeldOut("ftp://b/x.csv")}, "ftp"),
        ({"validation": HeldOut(RedshiftTable("a.t", staging="s3://b/s"))}, "HeldOut: .* is a table. Fix: give files"),
        ({"will_score": WillScore}, r"will_score=WillScore is the class: give an object, WillScore\(...\)"),
        ({"will_score": "scores.csv"}, "will_score='scores.csv' is a relative path"),
        ({"will_score": WillScore(3)}, "will_score: .*3 is a number"),
        ({"will_score": WillScore("s3://b/x.csv", "exclud")}, "unfit_columns='exclud': .*Did you mean 'exclude'"),
        ({"will_score": WillScore("s3://b/x.csv", keep=[1])}, r"keep=\[1\]: give a column's name"),
        ({"estimator_params": ["C"]}, r"estimator_params=\['C'\]: give a dict of parameters by name"),
        ({"sample_weight": ["w"]}, r"sample_weight=\['w'\]: give a column's name"),
        ({"aws_conn_id": 3}, "aws_conn_id=3: give the id of an Airflow connection"),
        (
            {"estimator": "sparse", "target": 3, "primary_key": 1, "cross_validation": "4", "persistence": "job"},
            r"(?s)no such preset.*target=3: give a text.*primary_key=1.*cross_validation='4'.*persistence='job'",
        ),
        ({"traget": "y"}, "no argument 'traget'. Did you mean 'target'"),
        ({"retrys": 2}, "no argument 'retrys'. Did you mean 'retries'"),
        ({"runtime": LocalRuntime}, r"runtime=LocalRuntime is the class: give an object, LocalRuntime\(...\)"),
        ({"runtime": "local"}, r"runtime='local' is a text: give LocalRuntime\(\)"),
        ({"runtime": "fargate"}, r"give EcsRuntime\(...\)"),
        ({"runtime": None}, "runtime=None is None: give LocalRuntime"),
        ({"estimator": LogisticRegression}, "estimator=LogisticRegression is the class"),
        ({"estimator": "sparse_logistik"}, "no such preset. Did you mean 'sparse_logistic'"),
        ({"estimator": "my.module.factory"}, "'package.module:callable'"),
        ({"estimator": "my module:make"}, "no factory"),
        ({"estimator": {"y": 1}}, "that of 'y' is a number"),
        ({"estimator": {"z": "sparse_logistic"}}, "there is no target 'z'"),
        ({"estimator": {"y": "sparse_logistik"}}, "no such preset. Did you mean 'sparse_logistic'"),
        ({"estimator": {"a": "sparse_logistic"}, "target": ["a", "b"]}, r"the targets \['b'\] have none"),
        ({"fit_params": {"sample_weight": ["w"]}}, "give a dict of columns"),
        ({"fit_params": {"sample_weight": "w"}, "sample_weight": "v"}, "name two columns of weights"),
        ({"class_weight": "balance"}, "Did you mean 'balanced'"),
        ({"calibration": "sigmoit", "threshold": "F1"}, "(?s)Did you mean 'sigmoid'.*Did you mean 'f1'"),
        ({"metrics_by": 3}, "metrics_by=3: give a column's name"),
        ({"estimator": LogisticRegression(), "estimator_params": {"C": 1}}, r"LogisticRegression\(C=...\)"),
        ({"policies": {"unseen_level": "error"}}, "no 'unseen_level'. Did you mean 'unseen_levels'"),
        (
            {"policies": {"unseen_levels": "eror"}},
            "unseen_levels='eror': give 'error', 'count' or 'level'. Did you",
        ),
        ({"policies": {"unseen_level": "{{ ds }}"}}, "Did you mean 'unseen_levels'"),
        ({"policies": "error"}, "give a dict of missing_columns"),
        ({"search": {"method": "gird"}}, "method='gird': give 'grid'"),
        ({"preprocessing": "off"}, "preprocessing='off': give 'auto', 'default' or 'none', 'package.module:callable'"),
        ({"preprocessing": "my module:make"}, "preprocessing='my module:make' is no factory"),
        ({"preprocessing": 3}, "preprocessing=3 is a number, which has no fit\\(\\) and no transform"),
        ({"preprocessing_params": {"max_level": 3}}, "There is no 'max_level'. Did you mean 'max_levels'?"),
        ({"preprocessing_params": ["max_levels"]}, "preprocessing_params=.*: give a dict"),
        ({"preprocessing_params": {"max_levels": 3}, "preprocessing": "none"}, "preprocessing='none' has none"),
        ({"target": ["a", "a"]}, "'a' is named twice"),
        ({"primary_key": {"id", "day"}}, "primary_key=.*: a set has no order. Give a list of names"),
        ({"target": []}, "give a column's name, or a list"),
        ({"target": ""}, "give a text"),
        ({"model": "models/x"}, "model='models/x' is a relative path"),
        ({"model": "models/{{ ds }}"}, "relative path"),
        ({"source": "data/t.csv"}, "source='data/t.csv' is a relative path"),
        ({"source": ["s3://b/a.csv", "b.csv"]}, "source: 'b.csv' is a relative path"),
        ({"source": "gs://b/t.csv"}, "source: 'gs://b/t.csv' is not a storage URI. Use s3://"),
        ({"source": ["s3://b/a.csv", "s3a://b/b.csv"]}, "source: 's3a://b/b.csv' is not a storage URI"),
        ({"source": ["s3://b/a.csv", "s3://b/b.parquet"]}, "are CSV and Parquet, and a source has one format"),
        ({"model": "https://b/{{ ds }}"}, "model: 'https://b/x' is not a storage URI"),
        ({"model": "s3:///m"}, "model: 's3:///m' names no bucket"),
        ({"model": "file://m"}, "model: 'file://m' has no absolute path"),
        ({"source": Path("/t.csv")}, r"is a path of pathlib \(say str\(...\) of it\)"),
        ({"source": Dataset(Path("/t.csv"))}, "is a path of pathlib"),
        ({"model": Path("/m")}, "is a path of pathlib"),
        ({"source": Dataset}, "source=Dataset is the class"),
        ({"source": Dataset("s3://b/{{ ds }}.csv", delimiter=";;")}, "delimiter=';;': give at most 1 character"),
        ({"source": "s3://b/folder/"}, "file_format='csv'"),
        ({"source": {"url": "s3://b/t.csv"}}, "Did you mean 'uri'"),
        ({"source": RedshiftTable}, "source=RedshiftTable is the class"),
        ({"primary_key": 5}, "primary_key=5: give a column's name"),
        ({"cross_validation": "4"}, "cross_validation='4': give a whole number, 0 or more"),
        ({"deadline": 3600}, "deadline=3600: give a timedelta"),
        ({"poll_interval": 0}, "poll_interval=0: give a number of seconds"),
        ({"deferrable": "yes"}, "deferrable='yes': give True or False"),
        ({"out_of_sample": "scores"}, "out_of_sample='scores' is a relative path"),
    ],
)
def test_a_mistake_in_a_training_is_named_with_what_to_give(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        SklearnTrainOperator(**{**TRAIN, **changes})
    assert str(caught.value).startswith("SklearnTrainOperator")
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "{{ var.value.root }}/m"},
        {"model": "s3://{{ var.value.bucket }}/m"},
        {"model": "file://{{ var.value.root }}/m"},
        {"source": "s3://b/{{ ds }}/*"},
        {"source": Dataset("s3://b/{{ ds }}/", file_format="{{ params.format }}")},
        {"source": RedshiftTable("public.t", where="day < '{{ ds }}'")},
        {"source": RedshiftTable("public.t")},  # where it is staged may be configured where the task runs
        {"estimator": "{{ params.estimator }}"},
        {"estimator": "package.module:Maker.make"},
        {"policies": {"wrong_types": "{{ params.wrong_types }}"}},
        {"primary_key": ["a", "{{ params.key }}"]},
    ],
)
def test_what_a_template_hides_is_let_pass(changes: dict[str, Any]) -> None:
    SklearnTrainOperator(**{**TRAIN, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metod": "predict"}, "^sklearn_predict: There is no argument 'metod'. Did you mean 'method'"),
        ({"retry": 3}, "Did you mean 'retries'"),
        ({"predict_kwargs": {"pol": "ml"}}, r"predict_kwargs=...\): There is no argument 'pol'. Did you mean 'pool'"),
        ({"group_kwargs": {"tooltipp": "x"}}, "Did you mean 'tooltip'"),
        ({"predict_kwargs": {"runtime": LocalRuntime()}}, "There is no argument 'runtime'"),
        ({"predict_kwargs": {"task_id": "x"}}, "There is no argument 'task_id'"),
        ({"group_kwargs": {"group_id": "x"}}, "There is no argument 'group_id'"),
        ({"task_id": "x"}, "There is no argument 'task_id'"),
        (
            {"method": "proba"},
            "method='proba': give 'auto', 'predict', 'predict_proba', 'decision_function', 'transform' or",
        ),
        ({"runtime": LocalRuntime}, "group 'score': runtime=LocalRuntime is the class"),
        ({"deadline": 5}, "deadline=5: give a timedelta"),
        ({"destination": "scores"}, "destination='scores' is a relative path"),
        ({"destination": Dataset("s3://b/x", if_exists="append")}, "if_exists='append': give 'replace' or 'fail'"),
        ({"destination": RedshiftTable("a.b", if_exists="relpace")}, "Did you mean 'replace'"),
        ({"destination": Path("/scores")}, "is a path of pathlib"),
        ({"destination": RedshiftQuery("SELECT 1")}, "can be read, not written"),
        ({"chunk_size": "big"}, "chunk_size='big' is no size"),
        ({"max_chunks": 0}, "max_chunks=0: give a whole number, 1 or more"),
        ({"policies": {"wrong_type": "null"}}, "Did you mean 'wrong_types'"),
        ({"passthrough": 5}, "passthrough=5: give a column's name"),
        ({"partition": 5}, "partition=5: give a text"),
        ({"model": {"version": "1"}}, "'manifest_uri'"),
    ],
)
def test_a_mistake_in_a_prediction_is_named_with_what_to_give(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        sklearn_predict(**{**PREDICT, **changes})


def test_reasons_of_a_preset_that_has_none_are_refused_when_the_dag_is_parsed() -> None:
    train = SklearnTrainOperator(**{**TRAIN, "estimator": "multilayer_perceptron_classifier"})
    with pytest.raises(UserError, match="single predictions of 'multilayer_perceptron_classifier' cannot be explained"):
        sklearn_predict(**{**PREDICT, "model": train.output, "explain": 2})


@pytest.mark.parametrize(
    "operator",
    [SklearnTrainOperator, SklearnPlanOperator, SklearnPredictOperator, SklearnCommitOperator, SklearnReapOperator],
)
def test_an_editor_sees_every_argument_of_the_package_in_the_constructor(operator: type) -> None:
    seen = set(inspect.signature(inspect.unwrap(operator.__init__)).parameters)  # type: ignore[misc]
    own = {
        name
        for cls in operator.__mro__
        if cls.__module__.startswith("airflow_sklearn") and "__init__" in vars(cls)
        for name in inspect.signature(inspect.unwrap(vars(cls)["__init__"])).parameters
    }
    assert own <= seen
    assert "retries" in argument_names(operator)


def test_a_mapped_task_takes_lists_of_what_one_task_takes_once() -> None:
    mapped = SklearnTrainOperator.partial(
        **{name: value for name, value in TRAIN.items() if name not in ("target", "model")}
    ).expand_kwargs([{"target": "a", "model": "s3://b/a"}, {"target": "b", "model": "s3://b/b"}])
    assert mapped.task_id == "train"
    SklearnTrainOperator.partial(
        **{name: value for name, value in {**TRAIN, "task_id": "other"}.items() if name != "target"}
    ).expand(target=["a", "b"])


def test_a_subclass_of_the_users_may_take_arguments_that_no_signature_says() -> None:
    class Mine(SklearnTrainOperator):
        def __init__(self, **kwargs: Any) -> None:
            self.colour = kwargs.pop("colour")
            super().__init__(**kwargs)

    assert Mine(**TRAIN, colour="red").colour == "red"


def test_an_sla_in_the_default_arguments_breaks_no_group() -> None:
    defaults = {"sla": timedelta(hours=1)}
    with DAG("other", start_date=datetime(2026, 1, 1), schedule=None, default_args=defaults):
        group = sklearn_predict(**PREDICT)
    assert issubclass(SklearnPredictOperator, BaseOperator)
    assert group.predict.partial_kwargs.get("sla") is None
