"""The charts of a model without a target: how its predictions are spread over the training rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.report.charts import bar_chart, histogram, spread
from airflow_sklearn.report.formats import brief, clipped, counted, share
from airflow_sklearn.report.model_figures import Figure
from airflow_sklearn.report.svg import Axis, rounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.schema import Distribution

_MOST_FIGURES = 9
_BARS = 20
_FEW = 3  # values whose shares are written out
_OUTLIERS = {-1.0: "outlier", 1.0: "inlier"}  # what scikit-learn's detectors predict


def prediction_figures(manifest: ModelManifest) -> list[Figure]:
    """A chart for each output column whose distribution is known; none for a model with a target."""
    task = manifest.feature_schema.targets[0].task
    if task in ("classification", "regression"):
        return []
    known = [(name, bins) for name, bins in manifest.score_distributions.items() if sum(bins.counts)]
    known.sort(key=lambda pair: not _is_discrete(pair[1]))  # what a row is comes before how much so
    return [_figure(name, bins, task == "outliers") for name, bins in known[:_MOST_FIGURES]]


def _is_discrete(bins: Distribution) -> bool:
    """Whether there is one bin a value."""
    return bins.edges[-1] == bins.edges[-2]


def _figure(name: str, bins: Distribution, is_outlier: bool) -> Figure:
    title, total = clipped(name, 40), sum(bins.counts)
    sub = counted(total, "training row")
    if _is_discrete(bins):
        names = [_OUTLIERS.get(value, brief(value)) if is_outlier else brief(value) for value in bins.edges[:-1]]
        parts = [value / total for value in bins.counts]
        if len(parts) <= _FEW:
            sub = ", ".join(f"{name} {share(part)}" for name, part in zip(names, parts, strict=True)) + f" of {sub}"
        return Figure(title, _sizes(parts, names, name), sub)
    found = spread(bins.edges, bins.counts, _BARS)
    step = (found.high - found.low) / _BARS
    edges = [found.low + number * step for number in range(_BARS + 1)]
    rows = [round(part * total) for part in found.heights]
    return Figure(title, histogram(edges, rows, f"How {name} is spread", x=title), sub)


def _sizes(parts: Sequence[float], names: Sequence[str], label: str) -> Markup:
    axis = Axis("share of the rows", 0, min(1.0, rounded(0, max(parts))[1]), lambda value: share(value, 0))
    return bar_chart(parts, names, "", axis, f"How often {label} has each value")
