"""
### A Redshift table in, a Redshift table out

Learns a column of a table from the rows before a date, and predicts it for every row, in one container a chunk: the
key, the true value where there is one, and the prediction. Rows are unloaded to S3 once, containers see files only, and
the table of predictions is replaced in one transaction, when all chunks are whole.

**To make it yours**: set `STAGING` and `RUNTIME`, the connections `redshift_default` and `aws_default`, `EXCLUDED`, and
the defaults of the parameters. To predict a day at a time, which backfills may then repeat, give the source a `where`
and the destination a `partition`; both are in the comment at the end.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow_sklearn import EcsRuntime, RedshiftTable, SklearnTrainOperator, sklearn_predict
from airflow_sklearn.airflow_compat import DAG, Param

STAGING = "s3://my-bucket/redshift"
RUNTIME = EcsRuntime(cluster="ml", task_definition="airflow-sklearn", subnets=["subnet-0123456789abcdef0"])
# Not to be learned from: what is known only when the target is, and tail numbers, of which there are too many.
EXCLUDED = ["late", "very_late", "cancelled", "tail_number"]

with DAG(
    dag_id="table_to_table",
    description="Learn a column of a Redshift table, predict it for every row, publish into another table",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2013, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["airflow-sklearn", "template"],
    params={
        "table": Param(
            "public.flights",
            type="string",
            title="Table",
            description="schema.table, or a view. Names with capitals or spaces in double quotes.",
        ),
        "learn_until": Param(
            "2013-07-01",
            type="string",
            format="date",
            title="Learn from rows before",
            description="The first day that is not learned from.",
        ),
        "predictions": Param(
            "public.arrival_delay",
            type="string",
            title="Table of predictions",
            description="schema.table. Made when it is missing; its rows are replaced, its grants stay.",
        ),
        "target": Param("arrival_delay", type="string", title="Target", description="The column to learn: a number."),
        "primary_key": Param(
            "flight_id",
            type="string",
            title="Primary key",
            description="The column that names a row; it is in every row of predictions.",
        ),
        "chunk_size": Param(
            "64MB",
            type="string",
            title="Chunk size",
            description="How much of the unloaded Parquet one container predicts.",
        ),
    },
) as dag:
    train = SklearnTrainOperator(
        task_id="train",
        estimator="hist_gradient_boosting_regressor",
        target="{{ params.target }}",
        primary_key="{{ params.primary_key }}",
        excluded_columns=EXCLUDED,
        source=RedshiftTable(
            "{{ params.table }}",
            where="scheduled_departure < :learn_until",
            parameters={"learn_until": "{{ params.learn_until }}"},
            staging=STAGING,
        ),
        model=f"{STAGING}/models/table_to_table",
        runtime=RUNTIME,
        deadline=timedelta(hours=1),
    )
    predict = sklearn_predict(
        group_id="predict",
        model=train.output,
        source=RedshiftTable("{{ params.table }}", staging=STAGING),
        destination=RedshiftTable("{{ params.predictions }}", if_exists="replace", staging=STAGING),
        passthrough=["{{ params.target }}"],
        chunk_size="{{ params.chunk_size }}",
        runtime=RUNTIME,
    )
    # A day at a time (with a schedule): every row gets the day, and a day that is run again replaces its own rows.
    #   source=RedshiftTable(..., where="CAST(scheduled_departure AS DATE) = :day", parameters={"day": "{{ ds }}"}),
    #   destination=RedshiftTable(..., if_exists="replace", partition={"day": "{{ ds }}"}),
