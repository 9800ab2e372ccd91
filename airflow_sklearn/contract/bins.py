"""Bins by which rows are counted: the same at training and at prediction, so that counts can be added and compared.

A value's bin depends on the value and the model's manifest only, never on how a source was cut. Counts have one of two
forms:

- Edges (numbers, dates, booleans, scores): below the first edge, one count a bin, above the last edge. A bin holds its
  lower edge; the last bin holds its upper edge too.
- Levels (categories): one count a bin. The most frequent levels of training have a bin each, in the order of the
  levels, and the last bin holds all other levels. With few levels, each has its own.

Nulls and levels that training did not have are counted elsewhere.

Documents hold counts as a text of numbers with commas between them. A commit reads 1,000 receipts of 500 features: 11
million numbers as JSON arrays would take five times the memory.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.schema import Distribution, Feature, OutputColumn

#: The largest number of bins of a category.
MOST_LEVEL_BINS = 20
_TEXT = re.compile(r"[0-9,]+")
_PROBABILITY_EDGES = tuple(i / 20 for i in range(21))

Counts = tuple[int, ...]


def packed(counts: Iterable[int]) -> str:
    """Counts as documents hold them."""
    return ",".join(map(str, counts))


def unpacked(text: str) -> Counts:
    """Counts from a document; empty if it is no text of counts."""
    if not _TEXT.fullmatch(text):
        return ()
    try:
        return tuple(json.loads(f"[{text}]"))  # four times as fast as int() for each
    except ValueError:
        return ()


def total_packed(texts: Sequence[str]) -> str:
    """The sum of counts on the same bins; empty if one of them was not counted, because a part says nothing."""
    bins = {text.count(",") + 1 for text in texts}
    counts = unpacked(",".join(texts)) if len(bins) == 1 else ()
    if not counts:
        return ""
    step = bins.pop()
    return packed(sum(counts[place::step]) for place in range(step))


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
