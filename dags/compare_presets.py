"""
### Which preset is the best?

One mapped training a preset, side by side, on the same rows and folds; then a leaderboard with confidence intervals in
the log of `compare`. The winner is trained again with calibrated probabilities, and scores the months that follow.
Presets that were trained before on the same data are not trained again.

**To make it yours**: set `ROOT`, the sources, `target`, `primary_key` and `EXCLUDED`. Add names of factories
(`"package.module:callable"`) to the presets, and `search="randomized"` to `train`. Pools limit how many run at a time.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_sklearn import LocalRuntime, SklearnCompareOperator, SklearnTrainOperator, sklearn_predict
from airflow_sklearn.airflow_compat import DAG, Param, task

ROOT = os.environ.get("FLIGHTS_ROOT", "s3://my-bucket/flights")
# Known only after the flight, or (tail numbers) too many to learn from.
EXCLUDED = ["arrival_delay", "very_late", "cancelled", "tail_number"]
RUNTIME = LocalRuntime(processes=1)

with DAG(
    dag_id="compare_presets",
    description="Train presets side by side, compare them, calibrate the best one and predict with it",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2013, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["airflow-sklearn", "template"],
    params={
        "presets": Param(
            [
                "best_classifier",
                "hist_gradient_boosting_classifier",
                "gradient_boosting_classifier",
                "random_forest_classifier",
                "extra_trees_classifier",
                "sparse_logistic",
            ],
            type="array",
            items={"type": "string"},
            title="Presets",
            description="Each one is trained and compared.",
        ),
        "metric": Param(
            "roc_auc",
            type="string",
            title="Metric",
            description="A number of metrics.json: roc_auc, average_precision, log_loss, ...",
        ),
        "training_months": Param(
            "2013-0[1-6]",
            type="string",
            title="Training months",
            description="A pattern of file names: 2013-0[1-6] is January to June.",
        ),
        "months": Param(
            "2013-0[7-9]",
            type="string",
            title="Months to predict",
            description="A pattern of file names: 2013-0[7-9] is July to September.",
        ),
    },
) as dag:
    learned: dict[str, Any] = {
        "target": "late",
        "primary_key": "flight_id",
        "excluded_columns": EXCLUDED,
        "source": f"{ROOT}/csv/{{{{ params.training_months }}}}.csv",
        "runtime": RUNTIME,
        "deadline": timedelta(hours=1),
    }

    @task
    def choose(params: dict[str, Any] | None = None) -> list[dict[str, str]]:
        """The arguments in which the trainings differ."""
        return [
            {"estimator": name, "model": f"{ROOT}/models/late_by/{name.replace(':', '_')}"}
            for name in (params or {})["presets"]
        ]

    train = SklearnTrainOperator.partial(
        task_id="train", map_index_template="{{ task.estimator }}", **learned
    ).expand_kwargs(choose())
    compare = SklearnCompareOperator(task_id="compare", models=train.output, metric="{{ params.metric }}")
    winner: Any = compare.output
    calibrate = SklearnTrainOperator(
        task_id="calibrate",
        estimator=winner["estimator"],
        calibration="sigmoid",
        model=f"{ROOT}/models/late_calibrated",
        **learned,
    )
    predict = sklearn_predict(
        group_id="predict",
        model=calibrate.output,
        source=f"{ROOT}/csv/{{{{ params.months }}}}.csv",
        destination=f"{ROOT}/predictions/late_calibrated",
        partition="current",
        passthrough=["late"],
        runtime=RUNTIME,
    )
