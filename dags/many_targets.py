"""
### Many models from one table

One mapped training a target, side by side, each with a model of its own; then each target's predictions. Add a target
to `TARGETS` and it is trained and predicted in the next run; targets that were trained before on the same data are
not trained again.

**To make it yours**: set `ROOT`, `TARGETS`, `OUTCOMES` and the sources. Pools limit how many run at a time.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from airflow_sklearn import LocalRuntime, SklearnTrainOperator, sklearn_predict
from airflow_sklearn.airflow_compat import DAG, Param

ROOT = os.environ.get("FLIGHTS_ROOT", "s3://my-bucket/flights")
TARGETS = ["late", "very_late", "cancelled"]
# What is known only after the flight: a model of one of them must not learn from the others.
OUTCOMES = ["arrival_delay", "late", "very_late", "cancelled"]
RUNTIME = LocalRuntime(processes=1)

with DAG(
    dag_id="many_targets",
    description="Train one model for each of many targets, then predict with each",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2013, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["airflow-sklearn", "template"],
    params={
        "training_months": Param(
            "2013-0[1-6]",
            type="string",
            title="Training months",
            description="A pattern of file names: 2013-0[1-6] is January to June.",
        ),
        "month": Param(
            "2013-07",
            type="string",
            pattern=r"^\d{4}-\d{2}$",
            title="Month to predict",
            description="For example 2013-07.",
        ),
        "estimator": Param(
            "sparse_logistic",
            type="string",
            enum=["sparse_logistic", "hist_gradient_boosting_classifier"],
            title="Estimator",
            description="A preset, the same for all targets.",
        ),
    },
) as dag:
    train = SklearnTrainOperator.partial(
        task_id="train",
        map_index_template="{{ task.target }}",
        estimator="{{ params.estimator }}",
        primary_key="flight_id",
        source=f"{ROOT}/csv/{{{{ params.training_months }}}}.csv",
        runtime=RUNTIME,
        deadline=timedelta(minutes=30),
    ).expand_kwargs(
        [
            {
                "target": target,
                "model": f"{ROOT}/models/{target}",
                "excluded_columns": ["tail_number", *(outcome for outcome in OUTCOMES if outcome != target)],
            }
            for target in TARGETS
        ]
    )
    for target in TARGETS:
        train >> sklearn_predict(
            group_id=f"predict_{target}",
            model=f"{ROOT}/models/{target}",
            source=f"{ROOT}/csv/{{{{ params.month }}}}.csv",
            destination=f"{ROOT}/predictions/{target}",
            partition="{{ params.month }}",
            runtime=RUNTIME,
        )
