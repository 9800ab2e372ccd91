"""
### End what was left running

Instances and containers end themselves with their work, with their task, and at their deadline. This is for what nobody
could tell to: a triggerer that was down when a task was cleared, a job without a deadline. What belongs to a run that
this Airflow does not know is left alone.

**To make it yours**: name your ECS clusters in `CLUSTERS`, and the region in `REGION` if it is not the connection's.
Where several Airflows share an AWS account, give your runtimes a tag (`EcsRuntime(tags={"airflow": "production"})`) and
put the same into `TAGS`: DAGs and runs of equal names cannot be told apart otherwise.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow_sklearn import SklearnReapOperator
from airflow_sklearn.airflow_compat import DAG, Param

CLUSTERS: list[str] = []
TAGS: dict[str, str] = {}
REGION = None

with DAG(
    dag_id="reap_leftovers",
    description="End instances and containers of tasks that have ended",
    doc_md=__doc__,
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["airflow-sklearn", "template"],
    params={
        "report_only": Param(
            False,
            type="boolean",
            title="Only say what would be ended",
            description="The task's log lists what was found, and what is left behind.",
        ),
    },
) as dag:
    SklearnReapOperator(
        task_id="reap",
        ec2=True,
        clusters=CLUSTERS,
        tags=TAGS,
        region_name=REGION,
        grace=timedelta(minutes=10),
        report_only="{{ params.report_only }}",
    )
