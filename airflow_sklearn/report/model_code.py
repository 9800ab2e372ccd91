"""How to score with a model, as code to copy."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from airflow_sklearn.contract.schema import label_text
from airflow_sklearn.runs.model_store import manifest_uri_of

if TYPE_CHECKING:
    from airflow_sklearn.contract.model import ModelManifest


def scoring_code(manifest: ModelManifest) -> list[tuple[str, str]]:
    """Titles with code: in a DAG, in a notebook, and on the command line."""
    latest, version = json.dumps(manifest.model), json.dumps(manifest_uri_of(manifest.model, manifest.version))
    output = f"    outputs=[{json.dumps(_output(manifest))}],\n" if _output(manifest) else ""
    dag = (
        "from airflow_sklearn import LocalRuntime, sklearn_predict\n\n"
        f"latest = {latest}\n"
        f"this_version = {version}\n\n"
        "scores = sklearn_predict(\n"
        '    group_id="score",\n'
        "    model=latest,  # or this_version\n"
        '    source="s3://my-bucket/to_score/{{ ds }}/*.parquet",\n'
        '    destination="s3://my-bucket/scores",\n'
        f"{output}"
        "    runtime=LocalRuntime(),  # or EcsRuntime(...), Ec2Runtime(...)\n"
        ")"
    )
    notebook = (
        "from airflow_sklearn import client\n\n"
        f"model = client.load({version})\n"
        "scores = model.predict(rows)  # a DataFrame with the features' columns"
    )
    command = (
        f"airflow-sklearn predict --model {shlex.quote(manifest.model)} \\\n"
        "    --source to_score.parquet --destination scores"
    )
    return [("In a DAG", dag), ("In a notebook", notebook), ("On the command line", command)]


def _output(manifest: ModelManifest) -> str:
    """What ``outputs`` would name first; empty: the model's own columns do."""
    targets = manifest.feature_schema.targets
    is_binary = len(targets) == 1 and len(targets[0].classes) == 2 and "predict_proba" in manifest.methods
    return f"proba:{label_text(targets[0].classes[-1])}" if is_binary else ""
