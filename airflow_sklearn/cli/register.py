"""``airflow-sklearn register``: store an estimator that was fitted elsewhere as a version of a model."""

from __future__ import annotations

from typing import Annotated

import typer

from airflow_sklearn.cli.access import need_worker, storage_by
from airflow_sklearn.cli.answer import Answer
from airflow_sklearn.cli.options import AsJson, AwsConnId, Python, Settings, arguments, mapping, one_or_list

Texts = list[str] | None

_REQUIRED = ("fitted", "sha256", "source", "model")


def register(
    fitted: Annotated[str | None, typer.Option(help="The file of the fitted estimator, or an MLflow folder.")] = None,
    sha256: Annotated[str | None, typer.Option(help="Its digest, as sha256sum prints it.")] = None,
    source: Annotated[Texts, typer.Option(help="A sample of rows as the model will predict. Repeatable.")] = None,
    model: Annotated[str | None, typer.Option(help="The URI or path of the model.")] = None,
    target: Annotated[str | None, typer.Option(help="The name of what the model predicts.")] = None,
    primary_key: Annotated[Texts, typer.Option(help="Columns that identify a row. Repeatable.")] = None,
    features: Annotated[Texts, typer.Option(help="Features in the estimator's order. Repeatable.")] = None,
    excluded_columns: Annotated[Texts, typer.Option(help="Columns that are no features. Repeatable.")] = None,
    expected: Annotated[Texts, typer.Option(metavar="OUTPUT=COLUMN", help="What it predicted elsewhere.")] = None,
    policies: Annotated[Texts, typer.Option(metavar="NAME=VALUE", help="unseen_levels=error. Repeatable.")] = None,
    persistence: Annotated[str | None, typer.Option(help="joblib or skops")] = None,
    python: Python = None,
    settings: Settings = None,
    aws_conn_id: AwsConnId = None,
    as_json: AsJson = False,
) -> Answer:
    """Store an estimator that was fitted elsewhere as a version of a model."""
    given = {
        "fitted": fitted,
        "sha256": sha256,
        "source": one_or_list(source or ()),
        "model": model,
        "target": target,
        "primary_key": one_or_list(primary_key or ()),
        "features": list(features or ()),
        "excluded_columns": list(excluded_columns or ()),
        "expected": mapping("expected", expected or ()),
        "policies": mapping("policies", policies or ()),
        "persistence": persistence,
    }
    asked = arguments(settings, given, _REQUIRED, "register")
    need_worker("register")
    from airflow_sklearn import client
    from airflow_sklearn.cli.models import summary
    from airflow_sklearn.cli.progress import shown, watched_runtime

    storage = storage_by(aws_conn_id)
    with shown() as progress:
        made = client.register(
            asked.pop("fitted"),
            asked.pop("source"),
            runtime=watched_runtime(progress.line, aws_conn_id, python, None),
            storage=storage,
            **asked,
        )
    line = f"The model {made.manifest.model} has the version {made.manifest.version}: {made.uri}"
    return Answer({**summary(made.uri, made.manifest), "manifest_sha256": made.sha256}, [line])
