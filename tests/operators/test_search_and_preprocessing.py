"""A search and a preprocessing of one's own, as objects in a DAG that runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import joblib

from airflow_sklearn.contract.model import ModelManifest
from airflow_sklearn.contract.search import Search

if TYPE_CHECKING:
    from tests.operators.database import Run


def test_a_search_and_a_transformer_are_objects_of_a_dag(run_dag: Callable[..., Run], table: Path) -> None:
    run = run_dag(
        f"""
        from sklearn.compose import make_column_transformer
        from sklearn.preprocessing import OrdinalEncoder

        SklearnTrainOperator(
            task_id="train",
            estimator="hist_gradient_boosting_classifier",
            source="{table}/train.csv",
            target="y",
            primary_key="id",
            model="{table}/model",
            cross_validation=0,
            search=Search("randomized", {{"max_iter": {{"integers": [2, 9]}}}}, n_iter=2, cv=2),
            preprocessing=make_column_transformer((OrdinalEncoder(), ["kind"]), remainder="passthrough"),
            runtime=LocalRuntime(state_dir="{table}/state", processes=1),
        )
        """
    )
    assert run.state == "success"
    uri = run.xcom("train")["manifest_uri"]
    manifest = ModelManifest.from_json(Path(uri.removeprefix("file://")).read_bytes())
    assert manifest.parameter_search == Search("randomized", {"max_iter": {"integers": [2, 9]}}, n_iter=2, cv=2)
    pipeline = joblib.load(manifest.artifact.uri.removeprefix("file://"))
    assert type(pipeline[0]).__name__ == "ColumnTransformer"
    assert pipeline[-1].max_iter == manifest.search_results[0].best_params["estimator__max_iter"]
