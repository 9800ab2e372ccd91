"""All metrics of a target, with confidence intervals, in all rows and in segments of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_sklearn.contract.metrics import Interval, SegmentMetrics, TargetMetrics
from airflow_sklearn.models.metrics import classes, ranking, regression  # noqa: F401  (they register metrics)
from airflow_sklearn.models.metrics.intervals import intervals
from airflow_sklearn.models.metrics.registry import compute, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.contract.schema import Scalar
    from airflow_sklearn.models.metrics.scored import Scored

#: The most segments of a column: those with the most rows.
MOST_SEGMENTS = 50


def target_metrics(
    scored: Scored,
    *,
    target: str,
    labels: Sequence[Scalar] = (),
    weighted: bool = False,
    segments: Mapping[str, tuple[np.ndarray, Sequence[Scalar]]] | None = None,
    table: str = "",
) -> TargetMetrics:
    """The metrics of a target.

    :param scored: the rows.
    :param target: the target's column.
    :param labels: the classes.
    :param weighted: whether the rows have weights.
    :param segments: by column, for each row the number of its value, and the values.
    :param table: the URI of the folder with the rows.
    """
    found = []
    for column, (numbers, values) in (segments or {}).items():
        sizes = np.bincount(numbers, minlength=len(values))
        largest = np.argsort(-sizes, kind="stable")[:MOST_SEGMENTS]
        for number in np.sort(largest[sizes[largest] > 0]).tolist():
            part = scored.of(numbers == number)
            found.append(SegmentMetrics(column=column, value=values[number], **_values(part, weighted)))
    return TargetMetrics(
        target=target,
        task=scored.task,
        classes=tuple(labels),
        segments=tuple(found),
        oos_score_table=table,
        **_values(scored, weighted),
    )


def _values(scored: Scored, weighted: bool) -> dict[str, Any]:
    values = compute(scored)
    return {
        "rows": len(scored.y),
        "weight": float(scored.weight.sum()) if weighted else None,
        "values": plain(values),
        "intervals": {name: _interval(ends) for name, ends in intervals(scored, values).items()},
    }


def _interval(ends: Any) -> Interval | tuple[Interval, ...]:
    if isinstance(ends[0], list):
        return tuple(Interval(low=low, high=high) for low, high in ends)
    return Interval(low=ends[0], high=ends[1])
