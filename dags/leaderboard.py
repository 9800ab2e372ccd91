"""
### A leaderboard of presets

Trains several presets on one table, side by side, and compares them on out-of-sample rows. The log of `leaderboard` has
the table: the best one first, each with its 95% interval. The winner is then fitted again, with calibrated
probabilities, and scores a month.

Presets whose intervals overlap do about as well: the first one need not be better than the second one.

**To make it yours**: set `ROOT`, `PRESETS`, `METRIC`, `TRAINING` and the sources. For numbers take presets that end in
`_regressor`, `METRIC = "r_squared"`, and no calibration. Pools limit how many run at a time.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_sklearn import LocalRuntime, SklearnTrainOperator, sklearn_predict
from airflow_sklearn.airflow_compat import DAG, Param, task

ROOT = os.environ.get("FLIGHTS_ROOT", "s3://my-bucket/flights")
RUNTIME = LocalRuntime(processes=1)
PRESETS = [
    "sparse_logistic",
    "gradient_boosting_classifier",
    "random_forest_classifier",
    "extra_trees_classifier",
    "hist_gradient_boosting_classifier",
    "best_classifier",
]
METRIC = "roc_auc"
TRAINING: dict[str, Any] = {
    "source": f"{ROOT}/csv/{{{{ params.training_months }}}}.csv",
    "target": "late",
    "primary_key": "flight_id",
    # Known only after the flight, or (tail numbers) too many to learn from.
    "excluded_columns": ["arrival_delay", "very_late", "cancelled", "tail_number"],
    "runtime": RUNTIME,
    "deadline": timedelta(hours=1),
}


@task
def leaderboard(presets: list[str], trained: Any) -> str:
    """Print the presets, the best one first, and return it."""
    rows = [(*model["intervals"][METRIC], preset) for preset, model in zip(presets, trained, strict=True)]
    for value, low, high, preset in sorted(rows, reverse=True):
        print(f"{preset:40} {METRIC} {value:.4f} ({low:.4f} to {high:.4f})")
    return str(max(rows)[-1])


with DAG(
    dag_id="leaderboard",
    description="Compare presets on one table, then calibrate and score with the best one",
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
    },
) as dag:
    train = SklearnTrainOperator.partial(
        task_id="train", map_index_template="{{ task.estimator }}", **TRAINING
    ).expand_kwargs([{"estimator": preset, "model": f"{ROOT}/models/leaderboard/{preset}"} for preset in PRESETS])
    best = leaderboard(PRESETS, train.output)
    winner = SklearnTrainOperator(
        task_id="winner",
        estimator=best,
        model=f"{ROOT}/models/late",
        calibration="sigmoid",
        **TRAINING,
    )
    sklearn_predict(
        group_id="score",
        model=winner.output,
        source=f"{ROOT}/csv/{{{{ params.month }}}}.csv",
        destination=f"{ROOT}/predictions/leaderboard",
        partition="{{ params.month }}",
        runtime=RUNTIME,
    )
