"""The charts of a comparison: the same curve of each model in one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_sklearn.report.charts import Series, line_chart, line_legend
from airflow_sklearn.report.model_figures import (
    Figure,
    calibration_figure,
    points_of,
    precision_recall_figure,
    roc_figure,
)
from airflow_sklearn.report.model_quality import at, numbers_of
from airflow_sklearn.report.svg import Axis, rounded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_sklearn.contract.metrics import TargetMetrics


def compared_figures(models: Sequence[tuple[str, TargetMetrics]]) -> list[Figure]:
    """The charts of several models of one target.

    :param models: the name and the metrics of each, at most as many as there are colours.
    """
    task = models[0][1].task
    return list({"binary": _binary, "regression": _regression}.get(task, _classes)(models))


def _binary(models: Sequence[tuple[str, TargetMetrics]]) -> Iterator[Figure]:
    if curves := _by_name(models, "roc_curve"):
        yield roc_figure(curves)
    if curves := _by_name(models, "precision_recall_curve"):
        yield precision_recall_figure(curves, at(numbers_of(models[0][1], "pop_incidence_true"), 1))
    if curves := _by_name(models, "calibration_curve"):
        yield calibration_figure(curves)
    if lifts := {name: found for name, one in models if (found := numbers_of(one, "lift"))}:
        tenths = [number / 10 for number in range(11)]
        series = [
            Series(name, tenths, [0.0, *(tenths[n + 1] * (value or 0.0) for n, value in enumerate(lift))])
            for name, lift in lifts.items()
        ]
        axes = Axis("rows with the highest scores"), Axis("positive rows found")
        picture = line_chart(series, *axes, "Gain", reference=[(0, 0), (1, 1)])
        yield Figure("Gain", picture, "", line_legend(list(lifts), "by chance"))


def _classes(models: Sequence[tuple[str, TargetMetrics]]) -> Iterator[Figure]:
    """Of several classes the table of metrics says what a picture could."""
    yield from ()


def _regression(models: Sequence[tuple[str, TargetMetrics]]) -> Iterator[Figure]:
    if errors := _by_name(models, "residual_quantiles"):
        series = [Series(name, *points_of(one, "quantile", "residual"), dots=True) for name, one in errors.items()]
        yield _residual_lines(series, Axis("quantile"), "Residuals", "The flatter and the nearer to zero, the better.")
    if deciles := _by_name(models, "residuals_by_decile"):
        series = []
        for name, one in deciles.items():
            medians = {"x": one["predicted"], "y": [row[1] for row in one["residual"]]}
            series.append(Series(name, *points_of(medians, "x", "y"), dots=True))
        ends = [value for one in series for value in one.xs]
        x = Axis("prediction", min(ends, default=0.0), max(ends, default=1.0))
        yield _residual_lines(series, x, "Median residual by prediction", "For each tenth of the predictions.")


def _residual_lines(series: Sequence[Series], x: Axis, title: str, sub: str) -> Figure:
    tops = [0.0, *(value for one in series for value in one.ys)]
    y = Axis("true value minus prediction", *rounded(min(tops), max(tops)))
    picture = line_chart(series, x, y, title, reference=[(x.low, 0), (x.high, 0)])
    return Figure(title, picture, sub, line_legend([one.name for one in series], "no error"))


def _by_name(models: Sequence[tuple[str, TargetMetrics]], key: str) -> dict[str, Any]:
    return {name: found for name, one in models if isinstance(found := one.values.get(key), dict)}
