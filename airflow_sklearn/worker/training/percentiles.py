"""The distribution of out-of-sample scores: percentiles, by which prediction ranks a row without knowing the other
rows, and bins, with which those of prediction runs are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from airflow_sklearn.models.schema import quantile_bins

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_sklearn.contract.schema import Distribution, OutputColumn
    from airflow_sklearn.worker.training.out_of_sample import ScoredTarget

_MOST_COLUMNS = 50  # with more classes there are no percentiles and no bins
_PERCENTS = np.arange(1, 100)


def score_percentiles(scored: ScoredTarget) -> dict[str, tuple[float, ...]]:
    """The 1st to the 99th percentile of each column of a target's scores, by the column's name.

    Linear interpolation between the scores (``numpy.quantile``'s default). Rows count alike, whatever their weights.
    """
    return {
        output.name: tuple(np.percentile(values, _PERCENTS).tolist())
        for output, values in _scores(scored)
        if len(values) and np.isfinite(values).all()
    }


def score_distributions(scored: ScoredTarget) -> dict[str, Distribution]:
    """The bins of each column of a target's scores, by the column's name."""
    found = {output.name: quantile_bins(values[np.isfinite(values)]) for output, values in _scores(scored)}
    return {name: bins for name, bins in found.items() if bins.edges}


def _scores(scored: ScoredTarget) -> Iterator[tuple[OutputColumn, np.ndarray]]:
    is_label = scored.target.task == "classification" and scored.validated.validation.method == "predict"
    for method, values in scored.answers.items():
        outputs = scored.outputs.get(method, ())
        if len(outputs) <= _MOST_COLUMNS and not (is_label and method == "predict"):
            yield from ((one, values if one.index is None else values[:, one.index]) for one in outputs)
