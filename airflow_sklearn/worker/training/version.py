"""Storing the parts of a model's version, and describing them in its manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_sklearn.contract.model import ModelManifest, TrainingSource
from airflow_sklearn.models.schema import learn_target
from airflow_sklearn.models.tasks import task_of, untargeted
from airflow_sklearn.runs.model_store import version_folder
from airflow_sklearn.worker.training.description import describe
from airflow_sklearn.worker.training.explanation import explain, store_explanation
from airflow_sklearn.worker.training.fitting import keeping_the_model
from airflow_sklearn.worker.training.metrics import store_metrics
from airflow_sklearn.worker.training.out_of_sample import ScoredTarget, store_out_of_sample
from airflow_sklearn.worker.training.percentiles import score_distributions, score_percentiles
from airflow_sklearn.worker.training.training_scores import training_distributions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.jobs import TrainJob
    from airflow_sklearn.contract.schema import Method, OutputColumn, Target
    from airflow_sklearn.models.validation import Metrics
    from airflow_sklearn.storage import Storage
    from airflow_sklearn.worker.training.fitting import Fitted, FittedTarget
    from airflow_sklearn.worker.training.loading import TrainingData


def store_parts(job: TrainJob, storage: Storage, data: TrainingData, fitted: Fitted) -> ModelManifest:
    """Store the artifact, the parity sample and the out-of-sample scores.

    :return: the manifest, which is not stored yet. ``sklearn_config``, ``warnings`` and the peak memory are missing.
    :raises UserError: the estimator cannot be stored, or cannot predict.
    """
    not_made = dict(fitted.not_made)
    targets = [_learned(data, one) for one in fitted.targets]
    estimator, described = describe(job, storage, fitted.estimator, data, targets, fit_seconds=fitted.seconds)
    outputs = _outputs_by_target(described["parity"].outputs, targets)
    scored = [
        ScoredTarget(target, one.validated, outputs[target.name])
        for target, one in zip(targets, fitted.targets, strict=True)
        if one.validated
    ]
    folder = version_folder(job.model, job.version)
    metrics = out_of_sample = None
    spread = {name: bins for one in scored for name, bins in score_distributions(one).items()}
    if not data.targets:
        part = "distribution of predictions"
        made = keeping_the_model(part, lambda: training_distributions(estimator, data.table, described), not_made)
        spread = made or {}
    if scored:
        validated = [one.validated for one in scored]
        metrics = keeping_the_model("metrics", lambda: store_metrics(job, storage, folder, validated), not_made)
        out_of_sample = keeping_the_model(
            "out-of-sample scores",
            lambda: store_out_of_sample(storage, folder, scored=scored, key=job.primary_key),
            not_made,
        )
    explanation = keeping_the_model("explanation", lambda: _explained(job, storage, data, targets, fitted), not_made)
    return ModelManifest(
        source=TrainingSource(
            files=job.source,
            objects=job.objects,
            rows_read=data.rows_read,
            rows_used=data.table.num_rows,
            snapshot=job.snapshot,
        ),
        metrics=_by_target({one.target.name: one.validated.validation.metrics for one in scored}, data),
        metrics_std=_by_target({one.target.name: one.validated.validation.deviations for one in scored}, data),
        metrics_object=metrics,
        **(explanation or {}),
        not_made=not_made,
        thresholds={one.rows.name: one.threshold for one in fitted.targets if one.rows and one.threshold is not None},
        search_results=tuple(one.search_results for one in fitted.targets if one.search_results),
        out_of_sample=out_of_sample,
        score_percentiles={name: values for one in scored for name, values in score_percentiles(one).items()},
        score_distributions=spread,
        **described,
        unfit_columns=dict(data.unfit),
        **{**job.recorded(), "excluded_columns": (*job.excluded_columns, *data.unfit)},
    )


def _explained(
    job: TrainJob, storage: Storage, data: TrainingData, targets: Sequence[Target], fitted: Fitted
) -> dict[str, Any]:
    """Explain the estimators of all targets, and store that.

    :return: the manifest's fields about it.
    """
    if not data.targets:
        return {}
    each = tuple(
        explain(one.estimator, target, data, one.validated.validation.importances if one.validated else None)
        for target, one in zip(targets, fitted.targets, strict=True)
    )
    return store_explanation(job, storage, each)


def _outputs_by_target(
    outputs: Sequence[OutputColumn], targets: Sequence[Target]
) -> dict[str, dict[Method, tuple[OutputColumn, ...]]]:
    """The output columns by target and method."""
    found: dict[str, dict[Method, tuple[OutputColumn, ...]]] = {target.name: {} for target in targets}
    for output in outputs:
        mine = found[output.target or targets[0].name]
        mine[output.method] = (*mine.get(output.method, ()), output)
    return found


def _by_target(found: dict[str, Metrics], data: TrainingData) -> Metrics:
    """Metrics by name; of several targets by ``target.name``."""
    several = len(data.targets) > 1
    return {f"{target}.{name}" if several else name: v for target, each in found.items() for name, v in each.items()}


def _learned(data: TrainingData, one: FittedTarget) -> Target:
    """The description of what the fitted estimator predicts."""
    if one.rows is None:
        return untargeted(task_of(one.estimator) or "transformation")
    name, has_classes = one.rows.name, one.rows.has_classes
    classes = [_plain(value) for value in one.estimator.classes_] if has_classes else []
    return learn_target(data.table[name], name, has_classes, classes)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
