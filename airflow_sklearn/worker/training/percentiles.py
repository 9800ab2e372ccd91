"""The percentiles of out-of-sample scores, by which prediction ranks a row without knowing the other rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_sklearn.models.outputs import output_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_sklearn.contract.schema import OutputColumn, Target
    from airflow_sklearn.models.validation import Validation

_MOST_COLUMNS = 50  # with more classes there are no percentiles
_PERCENTS = np.arange(1, 100)


def score_percentiles(estimator: Any, target: Target, validation: Validation) -> dict[str, tuple[float, ...]]:
    """The 1st to the 99th percentile of each column of scores, by the column's name.

    Linear interpolation between the scores (``numpy.quantile``'s default). Rows count alike, whatever their weights.

    :param estimator: fitted on all rows. It names the columns.
    :param target: the target.
    :param validation: the out-of-sample scores.
    """
    return {
        output.name: tuple(np.percentile(values, _PERCENTS).tolist())
        for output, values in _scores(estimator, target, validation)
        if len(values) and np.isfinite(values).all()
    }


def _scores(estimator: Any, target: Target, validation: Validation) -> Iterator[tuple[OutputColumn, np.ndarray]]:
    is_label = target.task == "classification" and validation.method == "predict"
    found = {} if is_label else {validation.method: validation.answers}
    if validation.decisions is not None:
        found["decision_function"] = validation.decisions
    for method, values in found.items():
        outputs = output_columns(estimator, target, method)
        if len(outputs) <= _MOST_COLUMNS:
            yield from ((one, values if one.index is None else values[:, one.index]) for one in outputs)
