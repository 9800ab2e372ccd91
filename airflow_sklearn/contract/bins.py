"""Bins by which rows are counted: the same at training and at prediction, so that counts can be added and compared.

A value's bin depends on the value and the model's manifest only, never on how a source was cut. Counts have one of two
forms:

- Edges (numbers, dates, booleans, scores): below the first edge, one count a bin, above the last edge. A bin holds its
  lower edge; the last bin holds its upper edge too.
- Levels (categories): one count a bin. The most frequent levels of training have a bin each, in the order of the
  levels, and the last bin holds all other levels. With few levels, each has its own.

Nulls and levels that training did not have are counted elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.schema import Distribution, Feature, OutputColumn

#: The largest number of bins of a category.
MOST_LEVEL_BINS = 20
_PROBABILITY_EDGES = tuple(i / 20 for i in range(21))

Counts = tuple[int, ...]


def add_counts(one: Counts, other: Counts) -> Counts:
    """The sum of counts on the same bins; empty if one of both was not counted, because a part says nothing."""
    return tuple(map(int.__add__, one, other)) if len(one) == len(other) else ()


def level_bins(feature: Feature) -> Counts:
    """The bin of each level of a category, from 0 on; empty for other kinds."""
    levels, counts = feature.levels or (), feature.distribution.counts
    if len(levels) <= MOST_LEVEL_BINS or len(counts) != len(levels):
        return tuple(min(number, MOST_LEVEL_BINS - 1) for number in range(len(levels)))
    frequent = sorted(range(len(levels)), key=lambda number: -counts[number])[: MOST_LEVEL_BINS - 1]
    bins = {number: place for place, number in enumerate(sorted(frequent))}
    return tuple(bins.get(number, MOST_LEVEL_BINS - 1) for number in range(len(levels)))


def training_counts(feature: Feature) -> Counts:
    """Training's own counts of a feature, in the form of a receipt's; empty: its manifest has none."""
    distribution = feature.distribution
    if distribution.edges:
        return edge_counts(distribution)
    bins = level_bins(feature)
    if not bins or len(distribution.counts) != len(bins):
        return ()
    sums = [0] * (max(bins) + 1)
    for place, count in zip(bins, distribution.counts, strict=True):
        sums[place] += count
    return tuple(sums)


def edge_counts(distribution: Distribution) -> Counts:
    """The counts of a distribution that has edges, in the form of a receipt's."""
    return (0, *distribution.counts, 0)


def score_edges(manifest: ModelManifest, output: OutputColumn) -> tuple[float, ...]:
    """The edges on which a column of predictions is counted; empty: it is not.

    They are those of the out-of-sample scores of training. Probabilities without them are counted in bins of 0.05.
    """
    if output.bins is not None or output.reason is not None:
        return ()
    if (found := manifest.score_distributions.get(output.name)) is not None:
        return found.edges
    return _PROBABILITY_EDGES if output.method == "predict_proba" else ()
