"""The features of a model page: how their values are spread, nulls, levels, and what they count in the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_sklearn.contract.schema import KIND_WORDS
from airflow_sklearn.report.charts import Spread, spark, spread
from airflow_sklearn.report.formats import brief, clipped, counted, date, share
from airflow_sklearn.report.words import label

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from markupsafe import Markup

    from airflow_sklearn.contract.schema import Feature

_MOST_BARS = 24
_LEVELS_SHOWN = 3


@dataclass(frozen=True)
class FeatureRow:
    """A row of the table of features.

    :param picture: how the values are spread; empty: it is not known.
    :param ends: what stands below the picture, at its left and its right end.
    :param values: the range, or the most frequent levels.
    :param importance: from 0 to 1, relative to the most important feature; None: not known.
    """

    name: str
    kind: str
    picture: Markup | str
    ends: tuple[str, str]
    values: str
    null_rate: float
    importance: float | None


def feature_rows(features: Sequence[Feature], importances: Mapping[str, float]) -> list[FeatureRow]:
    """The rows: the most important feature first, if that is known, else in the table's order.

    :param importances: by feature.
    """
    most = max((abs(value) for value in importances.values()), default=0.0)
    rows = [_row(one, max(0.0, importances.get(one.name, 0.0)) / most if most else None) for one in features]
    return sorted(rows, key=lambda row: -(row.importance or 0.0))


def _row(feature: Feature, importance: float | None) -> FeatureRow:
    picture, ends = _picture(feature)
    return FeatureRow(
        name=feature.name,
        kind=KIND_WORDS[feature.kind][0],
        picture=picture,
        ends=ends,
        values="no value at all" if feature.is_unused else _values(feature),
        null_rate=feature.null_rate,
        importance=importance,
    )


def _picture(feature: Feature) -> tuple[Markup | str, tuple[str, str]]:
    name, counts = feature.name, feature.distribution.counts
    if not counts or not sum(counts):
        return "", ("", "")
    if feature.kind in ("numeric", "datetime"):
        found = spread(feature.distribution.edges, counts)
        shown: Callable[[float], str] = date if feature.kind == "datetime" else brief
        ends = (_end(shown(found.low), found.is_cut[0], "≤ "), _end(shown(found.high), found.is_cut[1], "≥ "))
        return spark(found, f"How {name} is spread"), ends
    total = sum(counts)
    ordered = counts if feature.ordered or feature.kind == "boolean" else sorted(counts, reverse=True)
    found = Spread(tuple(value / total for value in ordered[:_MOST_BARS]), 0, 0)
    return spark(found, f"How often {name} has each value, of at most {_MOST_BARS}"), ("", "")


def _end(text: str, is_cut: bool, sign: str) -> str:
    return sign + text if is_cut else text


def _values(feature: Feature) -> str:
    if feature.kind in ("numeric", "datetime"):
        if feature.minimum is None:
            return ""
        shown: Callable[..., str] = date if feature.kind == "datetime" else brief
        return f"{shown(feature.minimum)} to {shown(feature.maximum)}"
    if feature.kind == "text":
        return "free text"
    total = sum(feature.distribution.counts) or 1
    pairs = _by_count(feature)
    named = ", ".join(f"{clipped(name, 24)} {share(number / total)}" for name, number in pairs[:_LEVELS_SHOWN])
    if feature.kind == "boolean" or len(pairs) <= _LEVELS_SHOWN:
        return named
    return f"{counted(len(pairs), 'level')}: {named}, …"


def _by_count(feature: Feature) -> list[tuple[str, int]]:
    levels = ("false", "true") if feature.kind == "boolean" else feature.levels or ()
    pairs = zip((label(level) for level in levels), feature.distribution.counts, strict=False)
    return sorted(pairs, key=lambda pair: -pair[1])
