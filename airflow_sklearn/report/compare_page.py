"""The page that compares models of one target: versions of one model, or those of a leaderboard."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.metrics import LOWER_IS_BETTER, MAIN_METRIC, Interval
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.report.charts import COLOURS
from airflow_sklearn.report.compare_differences import differences, feature_table
from airflow_sklearn.report.compare_figures import compared_figures
from airflow_sklearn.report.formats import brief, clipped, counted, fixed, moment, seconds, short_digest, size
from airflow_sklearn.report.model_quality import as_number, interval_text
from airflow_sklearn.report.page import render
from airflow_sklearn.report.words import METRICS, estimator_name, metric_hint, metric_name, model_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.metrics import TargetMetrics
    from airflow_sklearn.report.stored import ModelDocuments

_MOST_COLUMNS = 5  # models that are columns of the table of metrics; more are its rows


@dataclass(frozen=True)
class Compared:
    """One model of the comparison.

    :param name: tells it from the others.
    :param metrics: those of the compared target.
    """

    name: str
    documents: ModelDocuments
    metrics: TargetMetrics

    def value(self, metric: str) -> float | None:
        """A metric; None: the rows or the estimator do not allow it."""
        return as_number(self.metrics.values.get(metric))

    def interval(self, metric: str) -> Interval | None:
        """The interval of a metric."""
        found = self.metrics.intervals.get(metric)
        return found if isinstance(found, Interval) and found.low is not None and found.high is not None else None


def compare_page(
    models: Sequence[ModelDocuments], *, target: str = "", metric: str | None = None, warnings: Sequence[str] = ()
) -> str:
    """The page as HTML: the best model first.

    :param models: the models' documents, all with metrics of the target.
    :param target: the target to compare; empty: the first model's first one.
    :param metric: the metric to rank by; None: the main one of the target's kind.
    :param warnings: reasons why the comparison may be unfair.
    :raises UserError: there is no model, or one has no metrics of the target.
    """
    compared = _compared(models, target)
    first = compared[0].metrics
    by = metric or MAIN_METRIC[first.task]
    sign = 1 if by in LOWER_IS_BETTER else -1
    compared.sort(key=lambda one: (one.value(by) is None, sign * (one.value(by) or 0.0)))
    of_one = len({one.documents.manifest.model for one in compared}) == 1
    names = [_metric for _metric in [*METRICS, by] if any(_is_shown(one, _metric) for one in compared)]
    return render(
        "compare.html",
        title=f"Versions of {model_name(models[0].manifest.model)}" if of_one else f"Models of {first.target}",
        noun="version" if of_one else "model",
        target=first.target,
        metric=metric_name(by),
        way="lower" if by in LOWER_IS_BETTER else "higher",
        warnings=list(warnings),
        models=[_ranked(number, one, compared, by) for number, one in enumerate(compared)],
        tiles=_tiles(compared, by),
        scale=_scale_text(compared, by),
        as_columns=len(compared) <= _MOST_COLUMNS,
        metrics=_metric_table(compared, list(dict.fromkeys(names))),
        with_difference=len(compared) == 2,
        figures=compared_figures([(one.name, one.metrics) for one in compared[:COLOURS]]),
        drawn=min(COLOURS, len(compared)),
        differences=differences([(one.name, one.documents.manifest) for one in compared]),
        features=feature_table([(one.name, one.documents) for one in compared[:_MOST_COLUMNS]], first.target),
        confidence=models[0].metrics.confidence if models[0].metrics else 0.95,
    )


def _compared(models: Sequence[ModelDocuments], target: str) -> list[Compared]:
    if not models:
        raise UserError("A comparison needs models, and there is none.")
    found: list[tuple[ModelDocuments, TargetMetrics]] = []
    faults = []
    for one in models:
        scored = one.metrics.targets if one.metrics else ()
        wanted = target or (found[0][1].target if found else "")
        metrics = next((each for each in scored if wanted in ("", each.target)), None)
        if metrics is None:
            faults.append(f"{one.manifest.model}, version {one.manifest.version}, has no metrics of {wanted!r}")
        else:
            found.append((one, metrics))
    if faults:
        raise UserError("These models cannot be compared:" + "".join(f"\n  - {fault}." for fault in faults))
    names = _names([one for one, _ in found], found[0][1].target)
    return [Compared(name, one, metrics) for name, (one, metrics) in zip(names, found, strict=True)]


def _names(models: Sequence[ModelDocuments], target: str) -> list[str]:
    """What tells the models from each other: the estimator, the model's name, or the version."""
    manifests = [one.manifest for one in models]
    of = [
        [clipped(estimator_name(one, target if one.estimator.kind == "several" else ""), 48) for one in manifests],
        [clipped(model_name(one.model), 48) for one in manifests],
    ]
    for names in of:
        if len(set(names)) == len(names):
            return names
    short = [short_digest(one.version) for one in manifests]
    repeated = Counter(short)
    return [name if repeated[name] == 1 else f"{name} ({number})" for number, name in enumerate(short, start=1)]


def _is_shown(one: Compared, metric: str) -> bool:
    return one.value(metric) is not None


def _ranked(number: int, one: Compared, compared: Sequence[Compared], by: str) -> dict[str, Any]:
    """A model in the ranking, with its place on an axis that all share."""
    manifest, value, interval = one.documents.manifest, one.value(by), one.interval(by)
    best = compared[0].interval(by)
    near = number > 0 and best is not None and value is not None and best.low <= value <= best.high  # type: ignore[operator]
    return {
        "rank": number + 1,
        "key": f"k{number}" if number < COLOURS else "",
        "name": one.name,
        "estimator": estimator_name(manifest),
        "model": manifest.model,
        "version": manifest.version,
        "made": moment(manifest.created_at),
        "value": fixed(value),
        "interval": interval_text(interval),
        "places": _places(value, interval, compared, by),
        "is_near": near,
        "fitted": seconds(manifest.performance.fit_seconds or None),
        "rate": brief(round(manifest.performance.predict_rows_per_second)),
        "size": size(manifest.artifact.size),
        "rows": manifest.source.rows_used,
    }


def _places(
    value: float | None, interval: Interval | None, compared: Sequence[Compared], by: str
) -> tuple[float, float | None, float | None] | None:
    """The value and its interval as parts of the range of all models."""
    if value is None:
        return None
    low, high = _range(compared, by)
    span = (high - low) or 1.0
    ends = [(end - low) / span for end in _ends(interval)]
    return ((value - low) / span, *ends) if ends else ((value - low) / span, None, None)  # type: ignore[return-value]


def _range(compared: Sequence[Compared], by: str) -> tuple[float, float]:
    """The least and the largest value of a metric in all models, with their intervals."""
    ends = [end for one in compared for end in (one.value(by), *_ends(one.interval(by))) if end is not None]
    return min(ends, default=0.0), max(ends, default=0.0)


def _scale_text(compared: Sequence[Compared], by: str) -> str:
    low, high = _range(compared, by)
    return f"From {fixed(low)} to {fixed(high)}" if low < high else ""


def _ends(interval: Interval | None) -> list[float]:
    return [] if interval is None or interval.low is None or interval.high is None else [interval.low, interval.high]


def _tiles(compared: Sequence[Compared], by: str) -> list[tuple[str, str, str, str]]:
    best, value = compared[0], compared[0].value(by)
    tiles = [(f"Best {metric_name(by)}", fixed(value), interval_text(best.interval(by)), "first")]
    tiles.append(("Best model", clipped(best.name, 40), f"of {counted(len(compared), 'model')}", ""))
    if len(compared) > 1 and value is not None and compared[1].value(by) is not None:
        ahead = abs(value - (compared[1].value(by) or 0.0))
        tiles.append(("Ahead of the next by", fixed(ahead), clipped(compared[1].name, 40), ""))
    rows = {one.metrics.rows for one in compared}
    text = " and ".join(f"{count:,}" for count in sorted(rows)[:2]) + (", …" if len(rows) > 2 else "")
    tiles.append(("Rows scored", text, "by models that had not seen them", ""))
    return tiles


def _metric_table(compared: Sequence[Compared], names: Sequence[str]) -> list[dict[str, Any]]:
    """For each metric the values of the models, which of them is best, and for two models the difference."""
    rows = []
    for name in names:
        values = [one.value(name) for one in compared]
        known = [value for value in values if value is not None]
        best = (min(known) if name in LOWER_IS_BETTER else max(known)) if len(known) > 1 else None
        rows.append(
            {
                "name": metric_name(name),
                "hint": metric_hint(name),
                "cells": [
                    (fixed(value), interval_text(one.interval(name)), value is not None and value == best)
                    for one, value in zip(compared, values, strict=True)
                ],
                "difference": _difference(values) if len(values) == 2 else "",
            }
        )
    return rows


def _difference(values: Sequence[float | None]) -> str:
    first, second = values
    if first is None or second is None:
        return ""
    return ("+" if second > first else "") + fixed(second - first) if second != first else "0"
