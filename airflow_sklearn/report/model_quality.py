"""How well a model predicts one target: the tables of its metrics. The charts are in ``model_figures``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.metrics import MAIN_METRIC, Interval
from airflow_sklearn.report.formats import fixed
from airflow_sklearn.report.words import METRICS, OF_FOLDS, SHARES, label, metric_hint, metric_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.metrics import MetricValues, TargetMetrics
    from airflow_sklearn.contract.model import ModelManifest

_PER_CLASS = ("p_correct", "roc_auc", "average_precision", "ks", "brier_score")


@dataclass(frozen=True)
class MetricRow:
    """A metric that is a number.

    :param folds: the mean over the folds and its standard deviation, as a text.
    :param places: of a metric between 0 and 1: the value and its interval, to be drawn.
    """

    name: str
    hint: str
    value: str
    interval: str
    folds: str
    places: tuple[float, float | None, float | None] | None


def main_metric(target: TargetMetrics) -> tuple[str, float | None, Interval | None]:
    """The metric that models are compared by: its name, value and interval."""
    name = MAIN_METRIC[target.task]
    value, interval = target.values.get(name), target.intervals.get(name)
    return name, as_number(value), interval if isinstance(interval, Interval) else None


def interval_text(interval: Interval | None) -> str:
    """An interval in words; empty: there is none."""
    if interval is None or interval.low is None or interval.high is None:
        return ""
    return f"{fixed(interval.low)} to {fixed(interval.high)}"


def metric_rows(target: MetricValues, manifest: ModelManifest, prefix: str = "") -> list[MetricRow]:
    """The metrics that are numbers.

    :param prefix: before the metric's name in the manifest's means over the folds.
    """
    rows = []
    for name in [*METRICS, *(name for name in target.values if name not in METRICS)]:
        value, interval = target.values.get(name), target.intervals.get(name)
        if as_number(value) is None and not (name in target.values and isinstance(interval, Interval)):
            continue
        known = interval if isinstance(interval, Interval) else None
        rows.append(
            MetricRow(
                metric_name(name),
                metric_hint(name),
                fixed(as_number(value)),
                interval_text(known),
                _folds(manifest, prefix + OF_FOLDS.get(name, name)),
                _places(as_number(value), known) if name in SHARES else None,
            )
        )
    return rows


def _folds(manifest: ModelManifest, name: str) -> str:
    mean, deviation = manifest.metrics.get(name), manifest.metrics_std.get(name)
    if mean is None:
        return ""
    return fixed(mean) + (f" ± {fixed(deviation)}" if deviation is not None else "")


def _places(value: float | None, interval: Interval | None) -> tuple[float, float | None, float | None] | None:
    if value is None:
        return None
    low, high = (interval.low, interval.high) if interval else (None, None)
    return value, low, high


@dataclass(frozen=True)
class ClassRow:
    """A class in the table of classes; what is not known is None."""

    name: str
    true: float | None
    predicted: float | None
    values: tuple[float | None, ...]


def class_rows(target: TargetMetrics) -> tuple[list[str], list[ClassRow]]:
    """What is known of each class: the names of its metrics, and a row for each class."""
    names = [name for name in _PER_CLASS if _is_list(target.values.get(name), len(target.classes))]
    true, predicted = (numbers_of(target, key) for key in ("pop_incidence_true", "pop_incidence_pred"))
    rows = [
        ClassRow(
            label(value),
            at(true, number),
            at(predicted, number),
            tuple(at(numbers_of(target, name), number) for name in names),
        )
        for number, value in enumerate(target.classes)
    ]
    return ["Recall" if name == "p_correct" else metric_name(name) for name in names], rows


@dataclass(frozen=True)
class SegmentRow:
    """The main metric of the rows with one value in a column."""

    column: str
    value: str
    rows: float
    metric: float | None
    interval: Interval | None


def segment_rows(target: TargetMetrics) -> list[SegmentRow]:
    """The main metric for each value of the columns of ``metrics_by``."""
    name = MAIN_METRIC[target.task]
    return [
        SegmentRow(
            one.column,
            label(one.value),
            one.rows,
            as_number(one.values.get(name)),
            interval if isinstance(interval := one.intervals.get(name), Interval) else None,
        )
        for one in target.segments
    ]


def as_number(value: Any) -> float | None:
    """A stored value that is a number; None: it is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _is_list(value: Any, length: int) -> bool:
    return isinstance(value, list) and len(value) == length


def numbers_of(target: MetricValues, name: str) -> list[float | None]:
    """A metric that is a list of numbers; empty: it is not known."""
    found = target.values.get(name)
    return [as_number(value) for value in found] if isinstance(found, list) else []


def at(values: Sequence[float | None], number: int) -> float | None:
    """A value of a list; None: the list is shorter."""
    return values[number] if number < len(values) else None
