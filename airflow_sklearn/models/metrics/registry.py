"""The registry of metrics, and computing them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_sklearn.contract.metrics import MetricTask
    from airflow_sklearn.models.metrics.scored import Scored

#: What a metric is computed from: predicted labels, the order of scores, or probabilities.
Needs = Literal["labels", "ranking", "probabilities"]


@dataclass(frozen=True)
class Metric:
    """A metric of some kinds of targets.

    :param compute: the function. It returns a number, an array of numbers, or a dict or list of these.
    :param has_interval: whether a confidence interval is computed. The function is then called with weights of shape
        (resamples, rows) too, and returns shape (resamples,), or (resamples, numbers).
    """

    name: str
    needs: Needs
    has_interval: bool
    compute: Callable[[Scored], Any]

    def of(self, scored: Scored) -> Any:
        """The metric of some rows; None: they do not allow it."""
        if not len(scored.y):
            return None
        if self.needs != "labels" and scored.scores is None:
            return None
        if self.needs == "probabilities" and not scored.is_probability:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.compute(scored)


#: All metrics by kind of target, in the order in which they are written.
METRICS: dict[MetricTask, dict[str, Metric]] = {"binary": {}, "multiclass": {}, "regression": {}}


def metric(
    *tasks: MetricTask, name: str = "", needs: Needs = "labels", interval: bool = False
) -> Callable[[Callable[[Scored], Any]], Callable[[Scored], Any]]:
    """Register a function as a metric.

    :param tasks: the kinds of targets.
    :param name: the metric's name; empty: the function's.
    :param needs: what it is computed from.
    :param interval: whether to compute a confidence interval.
    """

    def register(function: Callable[[Scored], Any]) -> Callable[[Scored], Any]:
        for task in tasks:
            known = name or function.__name__
            METRICS[task][known] = Metric(known, needs, interval, function)
        return function

    return register


def compute(scored: Scored) -> dict[str, Any]:
    """All metrics of some rows by name; None where they do not allow it. ``plain`` makes JSON's types of them."""
    return {name: one.of(scored) for name, one in METRICS[scored.task].items()}


def plain(value: Any) -> Any:
    """A metric's value in JSON's types. What is not finite is None."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
