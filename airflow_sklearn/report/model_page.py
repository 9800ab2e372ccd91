"""The page of one version of a model, from its stored documents."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_sklearn.report.charts import dot_chart
from airflow_sklearn.report.formats import brief, clipped, count, counted, fixed, moment, number, seconds, share, size
from airflow_sklearn.report.model_code import scoring_code
from airflow_sklearn.report.model_features import feature_rows
from airflow_sklearn.report.model_figures import Figure, figures
from airflow_sklearn.report.model_predictions import prediction_figures
from airflow_sklearn.report.model_quality import class_rows, interval_text, main_metric, metric_rows, segment_rows
from airflow_sklearn.report.page import render
from airflow_sklearn.report.svg import Axis, rounded
from airflow_sklearn.report.words import (
    DOES,
    IMPORTANCES,
    estimator_name,
    kinds,
    label,
    metric_name,
    model_name,
    params_text,
    validation_words,
)
from airflow_sklearn.runs.model_store import version_folder

if TYPE_CHECKING:
    from airflow_sklearn.contract.explanation import ModelExplanation, TargetExplanation
    from airflow_sklearn.contract.metrics import ModelMetrics, TargetMetrics
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.schema import Target
    from airflow_sklearn.contract.search import SearchResults

_DOCUMENT = re.compile(r"[a-z]+-[0-9a-f]+\.json")
_MOST_TILES = 3  # of targets
_MOST_COEFFICIENTS = 500  # columns of a linear model on the page
_MOST_OUTPUTS = 6  # classes whose coefficients have a column each
_MOST_DRAWN = 30  # combinations of a search


def model_page(
    manifest: ModelManifest, metrics: ModelMetrics | None = None, explanation: ModelExplanation | None = None
) -> str:
    """The page as HTML. It shows what the documents hold: those of earlier versions hold less.

    :param manifest: the version.
    :param metrics: its metrics; None: there was no validation.
    :param explanation: its coefficients and importances; None: there are none.
    """
    explained = {one.target: one for one in explanation.targets} if explanation else {}
    importances = _mean_importances(list(explained.values()))
    targets = [_target(manifest, one, metrics, explained.get(one.name)) for one in manifest.feature_schema.targets]
    return render(
        "model.html",
        manifest=manifest,
        name=model_name(manifest.model),
        estimator=estimator_name(manifest),
        predicts=manifest.feature_schema.targets[0].task in ("classification", "regression"),
        is_registered=manifest.estimator.kind == "registered",
        tiles=_tiles(manifest, metrics),
        warnings=_warnings(manifest),
        left_out=[f"{column}: {reason}" for column, reason in manifest.unfit_columns.items()],
        metrics=metrics,
        validated=validation_words(metrics.folds, metrics.validation) if metrics else "",
        targets=targets,
        predictions=prediction_figures(manifest),
        features=feature_rows(manifest.feature_schema.features, importances),
        has_importances=bool(importances),
        trained=_trained(manifest),
        made=_made(manifest),
        code=scoring_code(manifest),
        documents=_documents(manifest),
    )


def _tiles(manifest: ModelManifest, metrics: ModelMetrics | None) -> list[tuple[str, str, str, str]]:
    """The name, the value, what stands below, and the tone of each."""
    scored = metrics.targets if metrics else ()
    tiles = []
    for one in scored[:_MOST_TILES]:
        name, value, interval = main_metric(one)
        of = f" of {one.target}" if len(scored) > 1 else ""
        tiles.append((metric_name(name) + of, fixed(value), interval_text(interval), "first"))
    source, features, times = manifest.source, manifest.feature_schema.features, manifest.performance
    files = counted(len(source.objects), "file")
    left = (
        f", {count(source.rows_read - source.rows_used)} without a target"
        if source.rows_read > source.rows_used
        else ""
    )
    tiles.append(("Rows", count(source.rows_used), files + left, ""))
    tiles.append(("Features", count(len(features)), kinds(features), ""))
    if times.fit_seconds:
        tiles.append(("Fitted in", seconds(times.fit_seconds), f"{size(times.peak_memory_bytes)} of memory", ""))
    if times.predict_rows_per_second:
        rate = brief(round(times.predict_rows_per_second))
        tiles.append(("Rows per second", rate, f"one process; the model has {size(manifest.artifact.size)}", ""))
    return tiles


def _warnings(manifest: ModelManifest) -> list[str]:
    failed = [f"There is no {part}: {reason}" for part, reason in manifest.not_made.items()]
    return [*failed, *manifest.warnings]


def _target(
    manifest: ModelManifest, target: Target, metrics: ModelMetrics | None, explained: TargetExplanation | None
) -> dict[str, Any]:
    """What the page shows of one target."""
    several = len(manifest.feature_schema.targets) > 1
    scored = next((one for one in metrics.targets if one.target == target.name), None) if metrics else None
    threshold = manifest.thresholds.get(target.name)
    found = next((one for one in manifest.search_results if one.target == target.name), None)
    return {
        "name": target.name,
        "task": target.task,
        "does": DOES[target.task],
        "classes": [label(value) for value in target.classes],
        "estimator": estimator_name(manifest, target.name) if several else "",
        "threshold": threshold,
        "explained": _explained(explained) if explained else None,
        "search": _search(found) if found else None,
        **(_scored(scored, manifest, f"{target.name}." if several else "", threshold) if scored else {"scored": None}),
    }


def _scored(scored: TargetMetrics, manifest: ModelManifest, prefix: str, threshold: float | None) -> dict[str, Any]:
    class_metrics, classes = class_rows(scored)
    rows = metric_rows(scored, manifest, prefix)
    return {
        "scored": scored,
        "metric_rows": rows,
        "has_folds": any(row.folds for row in rows),
        "has_places": any(row.places for row in rows),
        "figures": figures(scored, threshold),
        "class_metrics": class_metrics,
        "class_rows": classes,
        "segment_metric": metric_name(main_metric(scored)[0]),
        "segment_rows": [(row, interval_text(row.interval)) for row in segment_rows(scored)],
    }


def _explained(explained: TargetExplanation) -> dict[str, Any]:
    """Importances as parts of the largest one, and coefficients, the largest effects first."""
    most = max((abs(one.value) for one in explained.importances), default=0.0) or 1.0
    columns = [column for column in explained.columns if any(column.coefficients)]
    columns.sort(key=lambda column: -max(map(abs, column.coefficients)))
    outputs = explained.outputs if len(explained.outputs) <= _MOST_OUTPUTS else explained.outputs[:_MOST_OUTPUTS]
    return {
        "importances": [(one.feature, one.value, abs(one.value) / most) for one in explained.importances],
        "method": IMPORTANCES.get(explained.importance_method or "", ""),
        "scoring": explained.scoring,
        "used": len(explained.used_features),
        "outputs": list(outputs) or ["coefficient"],
        "coefficients": [
            (one.name, one.feature, [number(value) for value in one.coefficients[:_MOST_OUTPUTS]])
            for one in columns[:_MOST_COEFFICIENTS]
        ],
        "intercepts": [number(value) for value in explained.intercepts[:_MOST_OUTPUTS]],
        "left_out": max(0, len(columns) - _MOST_COEFFICIENTS),
    }


def _mean_importances(explained: list[TargetExplanation]) -> dict[str, float]:
    """By feature, the mean over the targets of the importance as a part of the target's sum."""
    found: dict[str, float] = {}
    for one in explained:
        total = sum(max(0.0, each.value) for each in one.importances)
        for each in one.importances if total > 0 else ():
            found[each.feature] = found.get(each.feature, 0.0) + each.value / total / len(explained)
    return found


def _search(found: SearchResults) -> dict[str, Any]:
    ranked = sorted(found.candidates, key=lambda one: (one.score is None, one.rank))
    drawn = [one for one in ranked if one.score is not None][:_MOST_DRAWN]
    figure = None
    if len(drawn) > 1:
        ends = [(one.score or 0.0) + sign * (one.deviation or 0.0) for one in drawn for sign in (-1, 1)]
        axis = Axis(found.scoring or "score", *rounded(min(ends), max(ends)))
        points = [(one.score or 0.0, one.deviation or 0.0, params_text(one.params)) for one in drawn]
        picture = dot_chart(points, Axis("rank", 0.5, len(drawn) + 0.5), axis, "The combinations by rank")
        sub = f"The best {len(drawn)} combinations, with the standard deviation over the folds"
        figure = Figure("Scores by rank", picture, sub)
    rows = [
        (one.rank, params_text(one.params), one.score, one.deviation, one.seconds, one.resources, one.bracket)
        for one in ranked
    ]
    return {
        "figure": figure,
        "rows": rows,
        "best": params_text(found.best_params) or "the defaults",
        "scoring": found.scoring or "the estimator's own score",
        "spends": any(one.resources is not None for one in ranked),
    }


def _trained(manifest: ModelManifest) -> list[tuple[str, Any]]:
    """What the model learned from, and how."""
    source, schema = manifest.source, manifest.feature_schema
    objects = sum(one.size for one in source.objects)
    weights = f"{manifest.sample_weight}" if manifest.sample_weight else None
    return [
        ("Source", ", ".join(source.files.uris[:3]) + (", …" if len(source.files.uris) > 3 else "")),
        ("Objects", f"{counted(len(source.objects), 'object')}, {size(objects)}, {source.files.file_format}"),
        ("Rows", f"{count(source.rows_used)} of {count(source.rows_read)} read"),
        ("Query", clipped(source.snapshot.query, 400) if source.snapshot else None),
        ("Primary key", ", ".join(one.name for one in schema.primary_key)),
        ("Not learned from", _listed(manifest.excluded_columns)),
        ("Weights", weights),
        ("Other columns for fit", ", ".join(f"{name}={column}" for name, column in manifest.fit_params.items())),
        (
            "Validation",
            validation_words(manifest.cross_validation, manifest.validation) if manifest.metrics else "none",
        ),
        ("Class weight", manifest.class_weight),
        ("Calibration", manifest.calibration),
        ("Threshold", ", ".join(f"{target}: {number(value)}" for target, value in manifest.thresholds.items())),
        ("Parameters", _params(manifest)),
    ]


def _documents(manifest: ModelManifest) -> list[str]:
    """The names of the version's documents, which lie in the page's folder."""
    folder = f"{version_folder(manifest.model, manifest.version)}/"
    found = (manifest.metrics_object, manifest.explanation_object)
    names = [one.uri.removeprefix(folder) for one in found if one and one.uri.startswith(folder)]
    return ["manifest.json", *(name for name in names if _DOCUMENT.fullmatch(name))]


def _listed(names: tuple[str, ...], most: int = 20) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _params(manifest: ModelManifest) -> str:
    spec = manifest.estimator
    if spec.kind == "several":
        each = {name: params_text(getattr(one, "params", {})) for name, one in spec.by_target.items()}
        return "; ".join(f"{name}: {text}" for name, text in each.items() if text)
    if spec.kind == "pickle":
        return spec.description
    return spec.uri if spec.kind == "registered" else params_text(spec.params)


def _made(manifest: ModelManifest) -> list[tuple[str, Any]]:
    """The code, the software and the artifact."""
    versions, artifact = manifest.versions, manifest.artifact
    return [
        ("Estimator", manifest.estimator_class),
        ("Made", moment(manifest.created_at)),
        ("Version", manifest.version),
        ("Model", manifest.model),
        ("Artifact", f"{size(artifact.size)}, {artifact.serializer}, SHA-256 {artifact.sha256}"),
        ("Image", versions.image),
        ("Python", versions.python),
        ("Packages", ", ".join(f"{name} {version}" for name, version in sorted(versions.packages.items()))),
        ("Machine", ", ".join(part for part in (versions.processor, versions.platform) if part)),
        ("Answers to", ", ".join(manifest.methods)),
        ("Policies", ", ".join(f"{name}: {value}" for name, value in manifest.feature_schema.policies)),
        ("Nulls in training", _nulls(manifest)),
    ]


def _nulls(manifest: ModelManifest) -> str:
    features = manifest.feature_schema.features
    some = sum(1 for one in features if one.null_rate)
    return (
        f"{some} of {counted(len(features), 'feature')}; at most {share(max(f.null_rate for f in features))}"
        if some
        else "none"
    )
