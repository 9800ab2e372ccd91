"""The code of the guides makes the tasks that it says. That of training, registering and notebooks is run elsewhere."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import airflow_sklearn
from airflow_sklearn import EcsRuntime, LocalRuntime
from airflow_sklearn.airflow_compat import DAG

DOCS = Path(__file__).parents[2] / "docs"
TRAIN = {"source": "s3://acme/c.csv", "target": "churned", "model": "s3://acme/models/churn", "runtime": LocalRuntime()}
PREDICT = {"model": "s3://acme/models/churn", "source": "s3://acme/c.csv", "runtime": LocalRuntime()}
GROUP = {"score.plan", "score.predict", "score.commit"}


@pytest.mark.parametrize(
    ("page", "asked", "tasks"),
    [
        ("concepts/features", {**PREDICT, "destination": "s3://acme/scores"}, GROUP),
        ("guides/files", PREDICT, GROUP),
        ("guides/estimators", TRAIN, {"train"}),
        (
            "guides/many_models",
            {},
            {
                "train",
                *(
                    f"score_{country}.{task}"
                    for country in ("de", "fr", "it")
                    for task in ("plan", "predict", "commit")
                ),
            },
        ),
        ("guides/backfills", {}, GROUP),
        ("guides/redshift", {}, {"train", *GROUP}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_code_of_a_guide_makes_its_tasks(page: str, asked: dict[str, Any], tasks: set[str]) -> None:
    names: dict[str, Any] = {name: getattr(airflow_sklearn, name) for name in airflow_sklearn.__all__}
    names |= {"DAG": DAG, "datetime": datetime, "asked": asked, "RUNTIME": LocalRuntime(), "fargate": EcsRuntime()}
    with DAG("dag", start_date=datetime(2026, 1, 1), schedule=None) as dag:
        for block in re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL):
            exec(block, names)
    made = dag if dag.task_ids else names["dag"]
    assert set(made.task_ids) == tasks
