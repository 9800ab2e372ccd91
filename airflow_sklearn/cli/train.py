"""``airflow-sklearn train``: train a version of a model on this machine, as a DAG with ``LocalRuntime`` does."""

from __future__ import annotations

from typing import Annotated

import typer

from airflow_sklearn.cli.access import need_worker, storage_by
from airflow_sklearn.cli.answer import Answer, Rows
from airflow_sklearn.cli.options import (
    AsJson,
    AwsConnId,
    Processes,
    Python,
    Settings,
    arguments,
    mapping,
    one_or_list,
    value_of,
)

Texts = list[str] | None

_REQUIRED = ("estimator", "source", "model")


def train(
    estimator: Annotated[str | None, typer.Option(help="A preset, or a factory package.module:callable.")] = None,
    source: Annotated[Texts, typer.Option(help="Training rows: a URI, path, glob or folder/. Repeatable.")] = None,
    target: Annotated[Texts, typer.Option(help="The column to predict. Repeatable.")] = None,
    model: Annotated[str | None, typer.Option(help="The URI or path of the model.")] = None,
    estimator_params: Annotated[
        Texts, typer.Option(metavar="NAME=VALUE", help="Parameters of the preset, or arguments of the factory.")
    ] = None,
    primary_key: Annotated[Texts, typer.Option(help="Columns that identify a row. Repeatable.")] = None,
    excluded_columns: Annotated[Texts, typer.Option(help="Columns not to learn from. Repeatable.")] = None,
    sample_weight: Annotated[str | None, typer.Option(help="The column with the rows' weights.")] = None,
    fit_params: Annotated[Texts, typer.Option(metavar="NAME=COLUMN", help="Further columns for fit.")] = None,
    class_weight: Annotated[str | None, typer.Option(help="balanced")] = None,
    calibration: Annotated[str | None, typer.Option(help="sigmoid, isotonic or temperature")] = None,
    threshold: Annotated[str | None, typer.Option(help="A metric such as f1, or a number.")] = None,
    cross_validation: Annotated[int | None, typer.Option(help="Folds for the metrics; 0: none. [4]")] = None,
    metrics_by: Annotated[Texts, typer.Option(help="Columns whose values get metrics. Repeatable.")] = None,
    preprocessing: Annotated[str | None, typer.Option(help="auto, default, none, or package.module:callable")] = None,
    preprocessing_params: Annotated[Texts, typer.Option(metavar="NAME=VALUE", help="max_levels=100.")] = None,
    policies: Annotated[Texts, typer.Option(metavar="NAME=VALUE", help="unseen_levels=error. Repeatable.")] = None,
    persistence: Annotated[str | None, typer.Option(help="joblib or skops")] = None,
    search: Annotated[
        str | None, typer.Option(help='randomized, halving, hyperband, or a grid as JSON: {"C": [0.1, 1]}')
    ] = None,
    will_score: Annotated[str | None, typer.Option(help="The table that the model will score.")] = None,
    python: Python = None,
    processes: Processes = None,
    settings: Settings = None,
    aws_conn_id: AwsConnId = None,
    as_json: AsJson = False,
) -> Answer:
    """Train a version of a model on this machine, unless the same version exists."""
    given = {
        "estimator": estimator,
        "source": one_or_list(source or ()),
        "target": one_or_list(target or ()),
        "model": model,
        "estimator_params": mapping("estimator_params", estimator_params or ()),
        "primary_key": one_or_list(primary_key or ()),
        "excluded_columns": list(excluded_columns or ()),
        "sample_weight": sample_weight,
        "fit_params": mapping("fit_params", fit_params or ()),
        "class_weight": class_weight,
        "calibration": calibration,
        "threshold": value_of(threshold),
        "cross_validation": cross_validation,
        "metrics_by": list(metrics_by or ()),
        "preprocessing": preprocessing,
        "preprocessing_params": mapping("preprocessing_params", preprocessing_params or ()),
        "policies": mapping("policies", policies or ()),
        "persistence": persistence,
        "search": value_of(search),
        "will_score": will_score,
    }
    asked = arguments(settings, given, _REQUIRED, "train")
    need_worker("train")
    from airflow_sklearn import client
    from airflow_sklearn.cli.models import summary
    from airflow_sklearn.cli.progress import shown, watched_runtime
    from airflow_sklearn.runs.model_store import page_uri_of

    storage = storage_by(aws_conn_id)
    with shown() as progress:
        made = client.train(
            asked.pop("estimator"),
            asked.pop("source"),
            target=asked.pop("target", None),
            runtime=watched_runtime(progress.line, aws_conn_id, python, processes),
            storage=storage,
            **asked,
        )
    manifest = made.manifest
    page = page_uri_of(manifest.model, manifest.version)
    document = {
        **summary(made.uri, manifest),
        "manifest_sha256": made.sha256,
        "warnings": list(manifest.warnings),
        "page": page if storage.exists(page) else None,
    }
    numbers = [(name, "-" if value is None else f"{value:,.4f}") for name, value in manifest.metrics.items()]
    line = f"The model {manifest.model} has the version {manifest.version}: {made.uri}"
    return Answer(document, [*([Rows(("metric", ">mean of folds"), numbers)] if numbers else []), line])
