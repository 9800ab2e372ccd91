"""``airflow-sklearn models``: the models in a folder, one of them, and a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from airflow_sklearn.cli.access import storage_by, uris
from airflow_sklearn.cli.answer import Answer, Rows, command
from airflow_sklearn.cli.options import AsJson, AwsConnId

if TYPE_CHECKING:
    from airflow_sklearn.contract.metrics import ModelMetrics
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.storage import Storage

models = typer.Typer(help="List models, show one, or compare several.", no_args_is_help=True)

_FEATURES = 30  # shown to people
_FIRST = ("roc_auc", "roc_auc_macro", "r2")


@command(models, "list")
def list_(
    folder: Annotated[str, typer.Argument(help="A folder; models in it and below it are listed.")],
    aws_conn_id: AwsConnId = None,
    as_json: AsJson = False,
) -> Answer:
    """List the models in a folder, with their latest versions."""
    from airflow_sklearn.contract.faults import counted
    from airflow_sklearn.report.words import estimator_name
    from airflow_sklearn.runs.model_catalog import models_below
    from airflow_sklearn.storage.uris import place_uri

    where = place_uri(folder)
    found = models_below(storage_by(aws_conn_id), where)
    rows = [
        (
            manifest.model.removeprefix(where).lstrip("/") or manifest.model,
            estimator_name(manifest),
            ", ".join(target.name for target in manifest.feature_schema.targets),
            _first_metric(manifest),
            f"{manifest.source.rows_used:,}",
            manifest.created_at[:19].replace("T", " "),
        )
        for _, manifest in found
    ]
    columns = ("model", "estimator", "target", "metric", ">rows", "trained")
    title = f"{counted(len(found), 'model')} in {where}"
    return Answer({"folder": where, "models": [summary(*pair) for pair in found]}, [Rows(columns, rows, title)])


@command(models, "show")
def show(
    model: Annotated[str, typer.Argument(help="A model's URI or path (its latest version), or a manifest's.")],
    aws_conn_id: AwsConnId = None,
    as_json: AsJson = False,
) -> Answer:
    """Show a version of a model: what it learned from, its metrics, features and versions."""
    from airflow_sklearn.contract.faults import counted
    from airflow_sklearn.report.words import estimator_name
    from airflow_sklearn.runs.model_catalog import versions_of
    from airflow_sklearn.runs.model_store import resolve_model
    from airflow_sklearn.storage.uris import place_uri

    storage = storage_by(aws_conn_id)
    manifest, uri, _ = resolve_model(storage, place_uri(model))
    versions, metrics = versions_of(storage, manifest.model), metrics_of(storage, manifest)
    features = manifest.feature_schema.features
    document = {
        **summary(uri, manifest),
        "metrics_in_full": metrics.model_dump(mode="json") if metrics else None,
        "features": [{"name": one.name, "kind": one.kind, "null_rate": one.null_rate} for one in features],
        "primary_key": [column.name for column in manifest.feature_schema.primary_key],
        "source": list(manifest.source.files.uris),
        "methods": list(manifest.methods),
        "packages": {"python": manifest.versions.python, **manifest.versions.packages},
        "image": manifest.versions.image,
        "warnings": list(manifest.warnings),
        "versions": [
            {"version": one.version, "created_at": one.created_at, "manifest_uri": where, "latest": where == uri}
            for where, one in versions
        ],
    }
    lines = [
        f"Model: {manifest.model}, version {manifest.version}, {manifest.created_at[:19].replace('T', ' ')}",
        f"Estimator: {estimator_name(manifest)} ({manifest.estimator_class})",
        f"Trained on: {counted(manifest.source.rows_used, 'row')} of {', '.join(manifest.source.files.uris)}",
        f"Predicts: {', '.join(one.name for one in manifest.feature_schema.targets) or 'no target'}, by "
        f"{', '.join(manifest.methods)}",
        f"Software: {', '.join(f'{name} {version}' for name, version in document['packages'].items())}",
    ]
    lines += [f"Warning: {text}" for text in manifest.warnings]
    numbers = [(name, _number(value)) for name, value in manifest.metrics.items()]
    kinds = [(one.name, one.kind, f"{one.null_rate:.1%}") for one in features[:_FEATURES]]
    more = len(features) - _FEATURES
    notes = [f"and {counted(more, 'more feature')}"] if more > 0 else []
    old = [(one.version, one.created_at[:19].replace("T", " "), _first_metric(one)) for _, one in versions]
    return Answer(
        document,
        [
            *lines,
            Rows(("metric", ">mean of folds"), numbers),
            Rows(("feature", "kind", ">nulls"), kinds, counted(len(features), "feature"), notes),
            Rows(("version", "trained", "metric"), old, counted(len(old), "version")),
        ],
    )


@command(models, "compare")
def compare(
    models: Annotated[list[str], typer.Argument(help="Models' or manifests' URIs or paths.")],
    metric: Annotated[str | None, typer.Option(help="A metric by its name in metrics.json.")] = None,
    target: Annotated[str, typer.Option(help="The target to compare, of models with several.")] = "",
    aws_conn_id: AwsConnId = None,
    as_json: AsJson = False,
) -> Answer:
    """Compare models of the same target by a metric of their out-of-sample rows, the best first."""
    from dataclasses import asdict

    from airflow_sklearn.runs.leaderboard import leaderboard

    found = leaderboard(storage_by(aws_conn_id), uris(models), metric=metric, target=target)
    return Answer(asdict(found), [str(found)])


def summary(uri: str, manifest: ModelManifest) -> dict[str, Any]:
    """A version of a model in a few values, as ``SklearnTrainOperator`` returns it, and more."""
    from airflow_sklearn.report.words import estimator_name

    return {
        "model": manifest.model,
        "version": manifest.version,
        "manifest_uri": uri,
        "created_at": manifest.created_at,
        "estimator": estimator_name(manifest),
        "estimator_class": manifest.estimator_class,
        "targets": [target.name for target in manifest.feature_schema.targets],
        "metrics": dict(manifest.metrics),
        "rows": manifest.source.rows_used,
    }


def metrics_of(storage: Storage, manifest: ModelManifest) -> ModelMetrics | None:
    """All metrics of a version; None: there was no validation."""
    from airflow_sklearn.contract.metrics import ModelMetrics

    stored = manifest.metrics_object
    return ModelMetrics.from_json(storage.read(stored.uri), where=stored.uri) if stored else None


def _first_metric(manifest: ModelManifest) -> str:
    """The metric that people look at first, with its name; empty: there is none."""
    known = {name: value for name, value in manifest.metrics.items() if value is not None}
    name = next((name for name in _FIRST if name in known), next(iter(known), ""))
    return f"{name} {known[name]:.4f}" if name else ""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4f}"
