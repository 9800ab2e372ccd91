from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from local_cloud.ministack import Cloud
from tests.operators.conftest import HEADER, ROWS, rows
from tests.operators.database import Run


@pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferred"])
def test_everything_in_s3_with_credentials_from_the_airflow_connection_only(
    run_dag: Callable[..., Run], cloud: Cloud, bucket: str, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    for name in cloud.environment:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AIRFLOW_CONN_ML_ACCOUNT", json.dumps(cloud.connection))
    cloud.client().put_object(Bucket=bucket, Key="t/train.csv", Body=(HEADER + rows(0, ROWS)).encode())
    run = run_dag(
        f"""
options = dict(runtime=LocalRuntime(processes=1), aws_conn_id="ml_account", deferrable={deferrable})
train = SklearnTrainOperator(
    task_id="train", estimator="sparse_logistic", source="s3://{bucket}/t/*.csv", target="y", primary_key="id",
    model="s3://{bucket}/model", cross_validation=0, **options,
)
sklearn_predict(
    "score", model=train.output, source="s3://{bucket}/t/train.csv", destination="s3://{bucket}/scores", partition="p",
    **options,
)
"""
    )
    assert run.state == "success"
    assert run.xcom("train")["manifest_uri"].startswith(f"s3://{bucket}/model/versions/")
    assert run.xcom("score.commit")["rows"] == ROWS
    manifest = json.loads(cloud.client().get_object(Bucket=bucket, Key="scores/p/_manifest.json")["Body"].read())
    assert manifest["rows"] == ROWS
    link = run.xcom("score.commit", key="airflow_sklearn_published_data")
    assert link == f"s3://{bucket}/scores/p/"
    page = run.xcom("train", key="airflow_sklearn_model_page")
    assert page == run.xcom("train")["manifest_uri"].replace("manifest.json", "report.html")
    shown = cloud.client().get_object(Bucket=bucket, Key=page.removeprefix(f"s3://{bucket}/"))
    assert shown["ContentType"] == "text/html; charset=utf-8"
