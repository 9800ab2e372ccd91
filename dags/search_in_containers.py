"""
### A parameter search over many containers

Learns a column of a table of Parquet files with the best of many parameters. The train job's own container says what is
to be fitted; each fit of a fold and its parameters runs in one of `SEARCH_CONTAINERS` further ones, which end with it.
The table is read once, and sent to each container once.

**To make it yours**: set `RUNTIME`, `SEARCH_CONTAINERS`, `PRESET` and `PARAMETERS`, `EXCLUDED`, and the defaults of the
parameters. Any preset or estimator will do, and other ways to search: `Search("hyperband")`. Without `search`, any
estimator that joblib fits in parallel: a large forest, for example. Elsewhere than on this machine the container needs
rights for that: `python -m airflow_sklearn.iam --search-containers`.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from airflow_sklearn import Dataset, LocalRuntime, Search, SklearnTrainOperator
from airflow_sklearn.airflow_compat import DAG, Param

ROOT = os.environ.get("FLIGHTS_ROOT", "s3://my-bucket/flights")
RUNTIME = LocalRuntime()
SEARCH_CONTAINERS = 2
PRESET = "hist_gradient_boosting_regressor"
PARAMETERS = {"learning_rate": [0.05, 0.1], "max_leaf_nodes": [15, 31]}
# Not to be learned from: what is known only when the target is, and tail numbers, of which there are too many.
EXCLUDED = ["late", "very_late", "cancelled", "tail_number"]

with DAG(
    dag_id="search_in_containers",
    description="Search for the best parameters of a model, in many containers at the same time",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2013, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["airflow-sklearn", "template"],
    params={
        "table": Param(
            f"{ROOT}/parquet/2013-0[1-6].parquet",
            type="string",
            title="Table to learn from",
            description="Parquet files: one, a pattern, or a folder that ends in /.",
        ),
        "target": Param("arrival_delay", type="string", title="Target", description="The column to learn: a number."),
        "primary_key": Param(
            "flight_id",
            type="string",
            title="Primary key",
            description="The column that names a row; it is not learned from.",
        ),
    },
) as dag:
    train = SklearnTrainOperator(
        task_id="train",
        estimator=PRESET,
        search=Search("grid", PARAMETERS, cv=3, scoring="r2"),
        target="{{ params.target }}",
        primary_key="{{ params.primary_key }}",
        excluded_columns=EXCLUDED,
        source=Dataset("{{ params.table }}", file_format="parquet"),
        model=f"{ROOT}/models/search_in_containers",
        cross_validation=2,  # folds around the whole search; 0 leaves them out
        runtime=RUNTIME,
        search_containers=SEARCH_CONTAINERS,
        deadline=timedelta(hours=4),
    )
    # To predict with it: sklearn_predict("predict", model=train.output, ...), as in the other templates.
