"""Confidence intervals of metrics, by a bootstrap that gives the same numbers in each run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_sklearn.models.metrics.registry import METRICS, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_sklearn.models.metrics.scored import Scored

CONFIDENCE = 0.95
RESAMPLES = 200
MOST_ROWS = 10_000
_LEAST_DEFINED = 0.9  # of the resamples
_MOST_COUNTS = 1 << 20  # rows times resamples that are computed at a time: 8 MB an array
_METHOD = (
    f"percentiles of {RESAMPLES} bootstrap resamples of %s, "
    f"with a fixed seed; the folds' models are taken as given. Of more than {MOST_ROWS:,} rows as many are drawn, and "
    "the deviations are scaled by the root of their share."
)


def interval_method(by_group: bool) -> str:
    """How the intervals are computed, in words.

    :param by_group: whether the rows have groups.
    """
    rows = "the scored rows (within each class, if there are classes)"
    return _METHOD % ("whole groups of the scored rows" if by_group else rows)


def intervals(scored: Scored, values: Mapping[str, Any]) -> dict[str, Any]:
    """The confidence intervals of all metrics that have one: (low, high), or a list of these for a list of numbers.

    Rows are drawn within each class, so that no resample lacks one; if there are groups, whole groups are drawn. NaN:
    the metric is not defined in enough resamples.

    :param values: the metrics of all rows, by name.
    """
    wanted = [one for one in METRICS[scored.task].values() if one.has_interval and values[one.name] is not None]
    if _units(scored) < 2:
        return {}
    random = np.random.default_rng(0)
    drawn = _subset(scored, random)
    shrink = np.sqrt(_units(drawn) / _units(scored))
    draws: dict[str, list[Any]] = {one.name: [] for one in wanted}
    done = 0
    while done < RESAMPLES:
        count = min(RESAMPLES - done, max(1, _MOST_COUNTS // len(drawn.y)))
        resampled = drawn.weighted(_counts(drawn, count, random))
        for one in wanted:
            draws[one.name].append(one.of(resampled))
        done += count
    found = {}
    for one in wanted:
        whole, part = np.asarray(values[one.name], float), np.asarray(one.of(drawn), float)
        ends = whole + (_percentiles(np.concatenate(draws[one.name])) - part) * shrink
        found[one.name] = plain(ends.T)
    return found


def _counts(scored: Scored, resamples: int, random: np.random.Generator) -> np.ndarray:
    """How often each resample draws each row, of shape (resamples, rows)."""
    if scored.groups is not None:
        _, groups = np.unique(scored.groups, return_inverse=True)
        return _drawn(groups.max() + 1, resamples, random)[:, groups]
    counts = np.zeros((resamples, len(scored.y)))
    for part in _strata(scored):
        counts[:, part] = _drawn(len(part), resamples, random)
    return counts


def _drawn(units: int, resamples: int, random: np.random.Generator) -> np.ndarray:
    """How often each of some units is drawn, if as many are drawn with replacement; of shape (resamples, units)."""
    drawn = random.integers(0, units, (resamples, units)) + units * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * units).reshape(resamples, units).astype(float)


def _units(scored: Scored) -> int:
    """The number of what is drawn: rows, or groups."""
    return len(scored.y) if scored.groups is None else len(np.unique(scored.groups))


def _percentiles(draws: np.ndarray) -> np.ndarray:
    """The ends of the interval, of shape (2, ...): NaN where too many draws are."""
    tail = 100 * (1 - CONFIDENCE) / 2
    defined = np.isfinite(draws).mean(axis=0) >= _LEAST_DEFINED
    known = np.where(np.isfinite(draws) & defined, draws, np.nan)
    safe = np.where(defined, known, 0.0)
    return np.where(defined, np.nanpercentile(safe, [tail, 100 - tail], axis=0), np.nan)


def _subset(scored: Scored, random: np.random.Generator) -> Scored:
    """The rows to resample: all, or as many as an interval needs, with each class's share."""
    if len(scored.y) <= MOST_ROWS:
        return scored
    share = MOST_ROWS / len(scored.y)
    if scored.groups is not None:
        groups = np.unique(scored.groups)
        kept_groups = random.choice(groups, max(2, round(len(groups) * share)), replace=False)
        return scored.of(np.isin(scored.groups, kept_groups))
    kept = [random.choice(rows, max(1, round(len(rows) * share)), replace=False) for rows in _strata(scored)]
    return scored.of(np.sort(np.concatenate(kept)))


def _strata(scored: Scored) -> list[np.ndarray]:
    if scored.task == "regression":
        return [np.arange(len(scored.y))]
    return [rows for number in range(scored.n_classes) if len(rows := np.flatnonzero(scored.y == number))]
