"""Documents of models that nobody has trained, with real metrics of some rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from airflow_sklearn.contract.metrics import ModelMetrics, TargetMetrics
from airflow_sklearn.models.metrics.report import target_metrics
from airflow_sklearn.models.metrics.scored import scored_classes, scored_numbers

ROWS = 60


def metrics_of(*targets: TargetMetrics) -> ModelMetrics:
    return ModelMetrics(
        model="file:///m", version="1", folds=4, confidence=0.95, interval_method="a bootstrap.", targets=targets
    )


def classified(
    classes: tuple[Any, ...], target: str = "churned", *, skill: float = 0.4, **options: Any
) -> TargetMetrics:
    """Metrics of a classification.

    :param skill: from 0 to 1: how much the probabilities know of the truth.
    """
    rng = np.random.default_rng(0)
    codes = rng.integers(0, len(classes), ROWS)
    scores = rng.dirichlet(np.ones(len(classes)), ROWS) * (1 - skill) + skill * np.eye(len(classes))[codes]
    names = np.array(classes, dtype=object)
    rows = scored_classes(names[codes], names[scores.argmax(axis=1)], classes, scores=scores, is_probability=True)
    return target_metrics(rows, target=target, labels=classes, **options)


def regressed(target: str = "spend", *, skill: float = 0.9) -> TargetMetrics:
    """Metrics of a regression."""
    y = np.random.default_rng(0).normal(size=ROWS)
    return target_metrics(scored_numbers(y, y * skill + 0.1), target=target)
