"""Metrics of predicted numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_sklearn.models.metrics.ranking import DECILES
from airflow_sklearn.models.metrics.registry import metric

if TYPE_CHECKING:
    from airflow_sklearn.models.metrics.scored import Scored

BINS = 20
OUTLIERS = 20  # rows
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


@metric("regression", interval=True)
def r_squared(scored: Scored) -> np.ndarray:
    """One minus the squared error relative to that of the mean; not defined if the target is the same in all rows."""
    return _r_squared(scored.y, scored.predicted, scored.weight)


@metric("regression", interval=True)
def rmse(scored: Scored) -> np.ndarray:
    """The root of the mean squared error, in the target's unit."""
    return np.asarray(np.sqrt(scored.mean((scored.y - scored.predicted) ** 2)))


@metric("regression", interval=True)
def mae(scored: Scored) -> np.ndarray:
    """The mean absolute error, in the target's unit."""
    return scored.mean(np.abs(scored.y - scored.predicted))


@metric("regression", interval=True)
def mad(scored: Scored) -> np.ndarray:
    """The median absolute error, in the target's unit."""
    errors = np.abs(scored.y - scored.predicted)
    order = np.argsort(errors, kind="stable")
    errors, weight = errors[order], scored.weight[..., order]
    return np.apply_along_axis(lambda one: _interpolated(errors, (0.5,), one)[0], -1, weight)


@metric("regression")
def residual_quantiles(scored: Scored) -> dict[str, Any]:
    """Quantiles of the target minus the prediction: ``quantile`` and ``residual``."""
    found = weighted_quantiles(scored.y - scored.predicted, QUANTILES, scored.weight)
    return {"quantile": list(QUANTILES), "residual": found}


@metric("regression")
def residual_histogram(scored: Scored) -> dict[str, np.ndarray]:
    """The weight of rows by the target minus the prediction: ``bin_edges`` and ``values``.

    The bins hold the middle 98% of the residuals; the first and the last one hold all beyond them too.
    """
    residuals = scored.y - scored.predicted
    known = np.isfinite(residuals)
    low, high = weighted_quantiles(residuals[known], (0.01, 0.99), scored.weight[known])
    if not low < high:  # all are the same, or no row has a weight
        low, high = np.nan_to_num(low) - 0.5, np.nan_to_num(low) + 0.5
    edges = np.histogram_bin_edges([], BINS, (low, high))
    values, _ = np.histogram(np.clip(residuals, edges[0], edges[-1]), edges, weights=scored.weight)
    return {"bin_edges": edges, "values": values}


@metric("regression")
def residuals_by_decile(scored: Scored) -> dict[str, Any]:
    """For each tenth of the weight, from the lowest predictions to the highest: the mean ``predicted``, and
    ``residual``, the 10%, 50% and 90% quantiles of the target minus the prediction. Tenths without rows are left out.
    """
    rows = [part for part in _decile_rows(scored) if scored.weight[part].sum() > 0]
    quantiles = (0.1, 0.5, 0.9)
    return {
        "predicted": [np.average(scored.predicted[part], weights=scored.weight[part]) for part in rows],
        "quantile": list(quantiles),
        "residual": [
            weighted_quantiles(scored.y[part] - scored.predicted[part], quantiles, scored.weight[part]) for part in rows
        ],
    }


@metric("regression")
def r_squared_by_decile(scored: Scored) -> list[np.ndarray]:
    """R² within each tenth of the weight, from the lowest predictions to the highest."""
    rows = _decile_rows(scored)
    return [_r_squared(scored.y[part], scored.predicted[part], scored.weight[part]) for part in rows]


@metric("regression")
def score_histogram(scored: Scored) -> dict[str, np.ndarray]:
    """The weight of rows by prediction: ``bin_edges`` and ``values``. The bins are those of ``training_histogram``."""
    values, edges = np.histogram(scored.predicted, _edges(scored), weights=scored.weight)
    return {"bin_edges": edges, "values": values}


@metric("regression")
def training_histogram(scored: Scored) -> dict[str, np.ndarray]:
    """The weight of rows by target: ``bin_edges`` and ``values``."""
    values, edges = np.histogram(scored.y, _edges(scored), weights=scored.weight)
    return {"bin_edges": edges, "values": values}


@metric("regression")
def y_yhat_plot(scored: Scored) -> dict[str, np.ndarray]:
    """The weight of rows by target (rows of ``values``) and prediction (columns), with ``bin_edges`` for both."""
    edges = _edges(scored)
    values, _, _ = np.histogram2d(scored.y, scored.predicted, [edges, edges], weights=scored.weight)
    return {"bin_edges": edges, "values": values}


@metric("regression")
def y_yhat_outlier_rows(scored: Scored) -> np.ndarray:
    """The numbers, from 0, of the 20 out-of-sample rows with the largest errors, the worst first."""
    return np.argsort(-np.abs(scored.y - scored.predicted), kind="stable")[:OUTLIERS]


def weighted_quantiles(values: np.ndarray, quantiles: tuple[float, ...], weight: np.ndarray) -> np.ndarray:
    """Quantiles of values of shape (rows,), interpolated between the middles of the rows' weights.

    With equal weights, the median is the usual one.
    """
    order = np.argsort(values, kind="stable")
    return _interpolated(values[order], quantiles, weight[order])


def _interpolated(values: np.ndarray, quantiles: tuple[float, ...], weight: np.ndarray) -> np.ndarray:
    """Quantiles of sorted values."""
    values, weight = values[weight > 0], weight[weight > 0]
    if not len(values):
        return np.full(len(quantiles), np.nan)
    middle = (np.cumsum(weight) - weight / 2) / weight.sum()
    return np.interp(quantiles, middle, values)


def _decile_rows(scored: Scored) -> list[np.ndarray]:
    """The numbers of the rows of each tenth of the weight, from the lowest predictions to the highest."""
    order = np.argsort(scored.predicted, kind="stable")
    weight = scored.weight[order]
    middle = np.cumsum(weight) - weight / 2
    decile = np.minimum((middle / weight.sum() * DECILES).astype(int), DECILES - 1)
    return [order[decile == number] for number in range(DECILES)]


def _edges(scored: Scored) -> np.ndarray:
    both = np.append(scored.y, scored.predicted)
    return np.histogram_bin_edges(both[np.isfinite(both)], BINS)


def _r_squared(y: np.ndarray, predicted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    total = weight.sum(axis=-1)
    mean = weight @ y / total
    spread = np.sum((y - mean[..., None]) ** 2 * weight, axis=-1)
    return np.asarray(
        1 - np.divide(weight @ (y - predicted) ** 2, spread, where=spread > 0, out=np.full_like(spread, np.nan))
    )
