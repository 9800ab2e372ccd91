"""
### Every month: train, then predict the month chunk by chunk

Learns from the months given by the parameter *training months* whether a flight will be late, then predicts the
month of the run. All months of a backfill share the model: the first run trains it, the others find it trained. Airflow
names a run after the day on which its month is over.

    airflow backfill create --dag-id flights_monthly --from-date 2013-07-01 --to-date 2013-09-01 --max-active-runs 3

A run that is cleared or backfilled again computes only what is not there yet. Rows of a month that was predicted before
are replaced all at once, when every chunk of it is complete.

**To make it yours**: set `ROOT`, `source`, `target`, `primary_key` and the columns that must not be learned from.
To learn from the months just before each run instead, put `data_interval_start` into the source of `train`.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_sklearn import Dataset, LocalRuntime, SklearnTrainOperator, sklearn_predict
from airflow_sklearn.airflow_compat import DAG, Param

ROOT = os.environ.get("FLIGHTS_ROOT", "s3://my-bucket/flights")
# The month that is predicted: the one that the run stands for, or the one that the form says.
MONTH = "{{ params.month or data_interval_start.strftime('%Y-%m') }}"
# Jobs run beside the Airflow task. Several chunks run side by side, so each keeps to one process.
RUNTIME = LocalRuntime(processes=1)

with DAG(
    dag_id="flights_monthly",
    description="Train on some months of flights, predict the lateness of others",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("@monthly", timezone="UTC"),
    start_date=datetime(2013, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=3,
    tags=["airflow-sklearn", "template"],
    params={
        "month": Param(
            None,
            type=["null", "string"],
            pattern=r"^\d{4}-\d{2}$",
            title="Month to predict",
            description="For example 2013-10. Empty: the month that the run stands for.",
        ),
        "training_months": Param(
            "2013-0[1-6]",
            type="string",
            title="Training months",
            description="A pattern of file names: 2013-0[1-6] is January to June.",
        ),
        "estimator": Param(
            "hist_gradient_boosting_classifier",
            type="string",
            enum=["hist_gradient_boosting_classifier", "sparse_logistic"],
            title="Estimator",
            description="A preset; the operator also takes package.module:factory, or an estimator object.",
        ),
        "chunk_size": Param(
            "1.5MB",
            type="string",
            title="Chunk size",
            description="How much of the source one task predicts. Real tables want 64MB and more.",
        ),
    },
) as dag:
    train = SklearnTrainOperator(
        task_id="train",
        estimator="{{ params.estimator }}",
        target="late",
        primary_key="flight_id",
        # Known only after the flight, or (tail numbers) too many to learn from.
        excluded_columns=["arrival_delay", "very_late", "cancelled", "tail_number"],
        source=f"{ROOT}/csv/{{{{ params.training_months }}}}.csv",
        model=f"{ROOT}/models/late",
        runtime=RUNTIME,
        deadline=timedelta(minutes=30),
        # One training at a time: the runs of a backfill that come after the first find the model trained.
        max_active_tis_per_dag=1,
    )
    predict = sklearn_predict(
        group_id="predict",
        model=train.output,
        # Training leaves the delay out, so its type is said here; a column of CSV is carried as text otherwise.
        source=Dataset(f"{ROOT}/csv/{MONTH}.csv", types={"arrival_delay": "double"}),
        destination=f"{ROOT}/predictions/late",
        partition=MONTH,
        # Carried into every row of predictions, to compare with later.
        passthrough=["late", "arrival_delay"],
        chunk_size="{{ params.chunk_size }}",
        runtime=RUNTIME,
    )
