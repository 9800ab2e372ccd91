"""A run's rows and scores beside those of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_sklearn.contract.bins import MOST_LEVEL_BINS, edge_counts, score_edges, training_counts, unpacked
from airflow_sklearn.report.charts import Spread, histogram, spark, spread
from airflow_sklearn.report.formats import brief, clipped, date, share
from airflow_sklearn.runs.drift import Drift, drift

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

    from airflow_sklearn.contract.bins import Counts
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.receipt import FeatureSketch
    from airflow_sklearn.contract.schema import Feature, OutputColumn, Scalar

_BARS = 20
_MOST_SCORES = 12


@dataclass(frozen=True)
class FeatureRow:
    """A feature of the run beside training.

    :param picture: its histogram over training's; None: the run has no counts.
    :param nulls: the share of nulls in the run, and in training.
    :param unseen: the share of rows with a level that training did not have; None: it has no levels.
    :param outside: the share of rows beyond training's range; None: it has no range, or was not counted.
    """

    name: str
    kind: str
    drift: Drift | None
    picture: Markup | None
    nulls: tuple[float, float]
    unseen: float | None
    outside: float | None
    range: str
    trained_range: str


def feature_rows(
    manifest: ModelManifest, sketches: Mapping[str, FeatureSketch], counts: Mapping[str, str], rows: int
) -> list[FeatureRow]:
    """All features that the run has read, those that have moved most first.

    :param counts: the rows by feature and bin.
    :param rows: the run's rows.
    """
    found = [
        _feature_row(feature, sketches[feature.name], unpacked(counts.get(feature.name, "")), rows)
        for feature in manifest.feature_schema.features
        if feature.name in sketches
    ]
    return sorted(found, key=lambda one: -(one.drift.index if one.drift else -1.0))


def _feature_row(feature: Feature, sketch: FeatureSketch, counts: Counts, rows: int) -> FeatureRow:
    before = training_counts(feature)
    distance = (
        drift((*counts, sketch.nulls, sketch.unseen_levels), (*before, feature.null_count, 0)) if counts else None
    )
    has_edges, total = bool(feature.distribution.edges), max(1, rows)
    is_range = has_edges and bool(counts) and feature.kind != "boolean"
    return FeatureRow(
        name=feature.name,
        kind=feature.kind,
        drift=distance,
        picture=_picture(feature, sketch, counts, before) if distance else None,
        nulls=(sketch.nulls / total, feature.null_rate),
        unseen=sketch.unseen_levels / total if feature.levels is not None else None,
        outside=(counts[0] + counts[-1]) / total if is_range else None,
        range=_range(sketch.minimum, sketch.maximum),
        trained_range=_range(feature.minimum, feature.maximum),
    )


def _picture(feature: Feature, sketch: FeatureSketch, counts: Counts, before: Counts) -> Markup:
    label = f"{feature.name}: the run's rows as bars, training's as a line"
    if feature.distribution.edges:
        trained, run = _spreads(feature.distribution.edges, counts, before)
        return spark(run, label, trained)
    total, trained_total = sum(counts) + sketch.unseen_levels or 1, sum(before) or 1
    shown = len(counts) - (
        len(feature.levels or ()) > MOST_LEVEL_BINS
    )  # all rare levels in one bar would dwarf the others
    bars = tuple(n / total for n in counts[:shown])
    lines = tuple(n / trained_total for n in before[:shown])
    if sketch.unseen_levels:
        bars, lines = (*bars, sketch.unseen_levels / total), (*lines, 0.0)
    return spark(Spread(bars, 0, len(bars)), label, Spread(lines, 0, len(lines)))


def _spreads(edges: Sequence[float], counts: Counts, before: Counts) -> tuple[Spread, Spread]:
    """Training's spread and the run's, with the same ends. Rows beyond training's range are in the outermost bars."""
    trained = spread(edges, before[1:-1], _BARS)
    inner, total = sum(counts[1:-1]), sum(counts) or 1
    run = spread(edges, counts[1:-1], _BARS, trained)
    heights = [height * inner / total for height in run.heights]
    heights[0] += counts[0] / total
    heights[-1] += counts[-1] / total
    return trained, Spread(tuple(heights), trained.low, trained.high, trained.is_cut)


def _range(low: Scalar, high: Scalar) -> str:
    if low is None or high is None:
        return ""
    if isinstance(low, str) or isinstance(high, str):
        return f"{date(str(low))} to {date(str(high))}"
    return f"{brief(float(low))} to {brief(float(high))}"


@dataclass(frozen=True)
class ScorePicture:
    """A column of predictions beside training's out-of-sample scores.

    :param drift: None: training has no out-of-sample scores of this column.
    """

    name: str
    drift: Drift | None
    picture: Markup
    has_training: bool


def score_pictures(
    manifest: ModelManifest, outputs: Sequence[OutputColumn], scores: Mapping[str, str]
) -> list[ScorePicture]:
    """The columns of predictions that were counted, at most 12: those that have moved most."""
    found = []
    for output in outputs:
        counts, edges = unpacked(scores.get(output.name, "")), score_edges(manifest, output)
        if len(counts) != len(edges) + 1 or not sum(counts):
            continue
        known = manifest.score_distributions.get(output.name)
        before = edge_counts(known) if known else counts
        distance = drift(counts, before) if known else None
        trained, run = _spreads(edges, counts, before)
        label = f"{output.name}: shares of rows by score"
        step = (run.high - run.low) / len(run.heights) or 1.0
        bars = [run.low + step * number for number in range(len(run.heights) + 1)]
        other = trained.heights if known else ()
        picture = histogram(bars, run.heights, label, x=clipped(output.name, 40), y="share of rows", other=other)
        found.append(ScorePicture(output.name, distance, picture, known is not None))
    return sorted(found, key=lambda one: -(one.drift.index if one.drift else 0.0))[:_MOST_SCORES]


def drift_words(found: Drift | None) -> tuple[str, str]:
    """What a distance means, as a badge's text and its tone."""
    if found is None:
        return "", ""
    return {"none": ("no drift", "good"), "some": ("some drift", "warn"), "much": ("much drift", "bad")}[found.level]


def outline(rows: Sequence[FeatureRow]) -> str:
    """One sentence about the drift of all features."""
    measured = [one for one in rows if one.drift]
    moved = [one for one in measured if one.drift and one.drift.level != "none"]
    if not measured:
        return ""
    if not moved:
        return f"None of {len(measured):,} features has moved."
    return f"{len(moved):,} of {len(measured):,} features have moved ({share(len(moved) / len(measured))})."
