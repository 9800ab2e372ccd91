"""
### Register a model that was fitted in a notebook, and score with it

A notebook fits a model on the months that it likes, and leaves it with its digest:

    import hashlib, joblib, pandas as pd
    from sklearn.ensemble import HistGradientBoostingClassifier
    flights = pd.concat(map(pd.read_csv, months)).dropna(subset="late")
    model = HistGradientBoostingClassifier().fit(flights[["distance", "temperature", "wind_speed"]], flights["late"])
    joblib.dump(model, "late.joblib")
    print(hashlib.sha256(open("late.joblib", "rb").read()).hexdigest())

Copy the file to `models/notebook/late.joblib`, and start this DAG with the digest. The model is loaded only if the
digest matches, checked on a sample of rows, and stored as a version. From then on it is like a trained one.

**To make it yours**: set `ROOT`, the sample, `target` and `primary_key`. Let the notebook write its predictions of the
sample into a column, and name it in `expected`, and a model that predicts otherwise in the container is refused.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from airflow_sklearn import LocalRuntime, SklearnRegisterOperator, sklearn_predict
from airflow_sklearn.airflow_compat import DAG, Param

ROOT = os.environ.get("FLIGHTS_ROOT", "s3://my-bucket/flights")
RUNTIME = LocalRuntime(processes=1)

with DAG(
    dag_id="register_from_notebook",
    description="Register a model fitted in a notebook, and predict with it",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2013, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["airflow-sklearn", "template"],
    params={
        "fitted": Param(
            f"{ROOT}/models/notebook/late.joblib",
            type="string",
            title="Fitted model",
            description="A file of joblib, pickle or skops, or the folder of an MLflow model.",
        ),
        "sha256": Param(
            "0" * 64,
            type="string",
            pattern="^[0-9a-f]{64}$",
            title="Its SHA-256",
            description="As sha256sum prints it. Another file is not loaded.",
        ),
        "sample": Param(
            "2013-06",
            type="string",
            title="Sample",
            description="The month on which the model is checked.",
        ),
        "months": Param(
            "2013-0[7-9]",
            type="string",
            title="Months to predict",
            description="A pattern of file names: 2013-0[7-9] is July to September.",
        ),
    },
) as dag:
    register = SklearnRegisterOperator(
        task_id="register",
        fitted="{{ params.fitted }}",
        sha256="{{ params.sha256 }}",
        source=f"{ROOT}/csv/{{{{ params.sample }}}}.csv",
        target="late",
        primary_key="flight_id",
        model=f"{ROOT}/models/late_from_notebook",
        runtime=RUNTIME,
        deadline=timedelta(minutes=30),
    )
    predict = sklearn_predict(
        group_id="predict",
        model=register.output,
        source=f"{ROOT}/csv/{{{{ params.months }}}}.csv",
        destination=f"{ROOT}/predictions/late_from_notebook",
        partition="current",
        passthrough=["late"],
        runtime=RUNTIME,
    )
