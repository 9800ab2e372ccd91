"""
### Parquet files in, Parquet files out

Learns a column of one table of Parquet files and predicts it for every row of another: the key, the true value where
there is one, and the prediction. The form says which tables, which target and which key.

**To make it yours**: set `EXCLUDED` and the defaults of the parameters, or start it from another DAG with `conf`.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from airflow_sklearn import Dataset, LocalRuntime, SklearnTrainOperator, sklearn_predict
from airflow_sklearn.airflow_compat import DAG, Param

ROOT = os.environ.get("FLIGHTS_ROOT", "s3://my-bucket/flights")
# Not to be learned from: what is known only when the target is, and tail numbers, of which there are too many.
EXCLUDED = ["late", "very_late", "cancelled", "tail_number"]
RUNTIME = LocalRuntime(processes=1)

with DAG(
    dag_id="parquet_to_parquet",
    description="Learn a column of one table, predict it for every row of another",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2013, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["airflow-sklearn", "template"],
    params={
        "training_table": Param(
            f"{ROOT}/parquet/2013-0[1-6].parquet",
            type="string",
            title="Table to learn from",
            description="Parquet files: one, a pattern, or a folder that ends in /.",
        ),
        "table": Param(
            f"{ROOT}/parquet/",
            type="string",
            title="Table to predict",
            description="Parquet files with the columns of the table to learn from; the target may be missing or null.",
        ),
        "destination": Param(
            f"{ROOT}/tables/arrival_delay",
            type="string",
            title="Table of predictions",
            description="A folder. Rows that an earlier run put there are replaced.",
        ),
        "target": Param("arrival_delay", type="string", title="Target", description="The column to learn: a number."),
        "primary_key": Param(
            "flight_id",
            type="string",
            title="Primary key",
            description="The column that names a row; it is in every row of predictions.",
        ),
    },
) as dag:
    train = SklearnTrainOperator(
        task_id="train",
        estimator="hist_gradient_boosting_regressor",
        target="{{ params.target }}",
        primary_key="{{ params.primary_key }}",
        excluded_columns=EXCLUDED,
        source=Dataset("{{ params.training_table }}", file_format="parquet"),
        model=f"{ROOT}/models/parquet_to_parquet",
        runtime=RUNTIME,
        deadline=timedelta(hours=1),
    )
    predict = sklearn_predict(
        group_id="predict",
        model=train.output,
        source=Dataset("{{ params.table }}", file_format="parquet"),
        destination="{{ params.destination }}",
        partition="all",
        passthrough=["{{ params.target }}"],
        runtime=RUNTIME,
    )
