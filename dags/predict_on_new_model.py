"""
### Predict again whenever the model changes

Scheduled by the model's asset: each training of it, in whatever DAG, starts a run of this one. If the training found
the version that was there already, this run finds its predictions there, and nothing is computed again. The
predictions are an asset too, so that what reads them can be scheduled the same way.

**To make it yours**: `MODEL` is the `model` of your `SklearnTrainOperator`; set the source and the destination.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime

from airflow_sklearn import LocalRuntime, sklearn_predict
from airflow_sklearn.airflow_compat import DAG, Asset, Param

ROOT = os.environ.get("FLIGHTS_ROOT", "s3://my-bucket/flights")
MODEL = f"{ROOT}/models/late"

with DAG(
    dag_id="predict_on_new_model",
    description="Predict a table again whenever a new version of the model was trained",
    doc_md=__doc__,
    schedule=[Asset(MODEL)],
    start_date=datetime(2013, 1, 1, tzinfo=UTC),
    catchup=False,
    # Two new versions at once are predicted one after the other: the newer one's rows stay.
    max_active_runs=1,
    tags=["airflow-sklearn", "template"],
    params={
        "months": Param(
            "2013-1[0-2]",
            type="string",
            title="Months to predict",
            description="A pattern of file names: 2013-1[0-2] is October to December.",
        ),
        "method": Param(
            "auto",
            type="string",
            enum=["auto", "predict", "predict_proba", "decision_function"],
            title="Method",
            description="What the estimator is asked for; auto: probabilities where there are any.",
        ),
    },
) as dag:
    predict = sklearn_predict(
        group_id="predict",
        model=MODEL,
        source=f"{ROOT}/csv/{{{{ params.months }}}}.csv",
        destination=f"{ROOT}/predictions/newest_model",
        partition="current",
        method="{{ params.method }}",
        runtime=LocalRuntime(processes=1),
    )
