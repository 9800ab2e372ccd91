"""How well scores order the rows: areas, curves, deciles and lift. For several classes, of each against the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_sklearn.models.metrics.registry import metric

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_sklearn.models.metrics.scored import Ranking, Scored

DECILES = 10
MOST_POINTS = 200  # of a curve


def roc_auc_of(positive: np.ndarray, ranking: Ranking, weight: np.ndarray) -> np.ndarray:
    """The area under the ROC curve; NaN if all rows, or none, are positive.

    :param positive: 0.0 or 1.0, of shape (rows,).
    :param weight: shape (rows,), or (resamples, rows).
    :return: shape (), or (resamples,).
    """
    tp, fp = _cumulative(positive, ranking, weight)
    added = np.diff(fp, prepend=0.0, axis=-1)
    return np.asarray(
        np.sum(added * (2 * tp - np.diff(tp, prepend=0.0, axis=-1)), axis=-1) / (2 * tp[..., -1] * fp[..., -1])
    )


def average_precision_of(positive: np.ndarray, ranking: Ranking, weight: np.ndarray) -> np.ndarray:
    """The mean of the precisions at all thresholds, weighted by the recall that each adds; NaN without positive rows.

    Parameters and result are those of ``roc_auc_of``.
    """
    tp, fp = _cumulative(positive, ranking, weight)
    precision = np.divide(tp, tp + fp, out=np.zeros_like(tp), where=tp + fp > 0)
    return np.asarray(np.sum(np.diff(tp, prepend=0.0, axis=-1) * precision, axis=-1) / tp[..., -1])


def ks_of(positive: np.ndarray, ranking: Ranking, weight: np.ndarray) -> np.ndarray:
    """The Kolmogorov-Smirnov statistic: the largest distance between the distributions of the scores of positive and
    of other rows; NaN if there are none of one kind. Parameters and result are those of ``roc_auc_of``.
    """
    tp, fp = _cumulative(positive, ranking, weight)
    return np.asarray(np.max(np.abs(tp / tp[..., -1:] - fp / fp[..., -1:]), axis=-1))


def deciles_of(positive: np.ndarray, ranking: Ranking, weight: np.ndarray) -> np.ndarray:
    """The share of positive rows in each tenth of the weight, from the lowest scores to the highest.

    Rows of equal score that a border divides count in parts, as if drawn at random. The parameters are those of
    ``roc_auc_of``.
    """
    captured = _captured(positive, ranking, weight)
    total = weight.sum()
    return np.diff(captured)[::-1] / (total / DECILES) if total > 0 else np.full(DECILES, np.nan)


def lift_of(positive: np.ndarray, ranking: Ranking, weight: np.ndarray) -> np.ndarray:
    """How many times as many positive rows the highest 10%, 20%, ... 100% of the scores have as the same share of all
    rows. The parameters are those of ``roc_auc_of``.
    """
    captured = _captured(positive, ranking, weight)
    return captured[1:] / captured[-1] / (np.arange(1, DECILES + 1) / DECILES)


def roc_curve_of(positive: np.ndarray, ranking: Ranking, weight: np.ndarray) -> dict[str, np.ndarray]:
    """The ROC curve: ``fpr``, ``tpr`` and ``thresh``, from the highest threshold to the lowest.

    It begins at (0, 0) without a threshold, and has at most 200 points. The parameters are those of ``roc_auc_of``.
    """
    tp, fp = _cumulative(positive, ranking, weight)
    kept = _thinned(len(tp))
    fpr, tpr = fp[kept] / fp[-1], tp[kept] / tp[-1]
    return {"fpr": np.append(0, fpr), "tpr": np.append(0, tpr), "thresh": np.append(np.nan, ranking.thresholds[kept])}


def pr_curve_of(positive: np.ndarray, ranking: Ranking, weight: np.ndarray) -> dict[str, np.ndarray]:
    """The precision-recall curve: ``precision``, ``recall`` and ``thresh``, from the highest threshold to the lowest.

    It has at most 200 points. The parameters are those of ``roc_auc_of``.
    """
    tp, fp = _cumulative(positive, ranking, weight)
    kept = _thinned(len(tp))
    tp, fp, recall = tp[kept], fp[kept], tp[kept] / tp[-1]
    return {"precision": tp / (tp + fp), "recall": recall, "thresh": ranking.thresholds[kept]}


def _cumulative(positive: np.ndarray, ranking: Ranking, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weights of positive and of other rows at and above each distinct score, from the highest on."""
    tp, fp = ranking.sums(positive * weight), ranking.sums((1 - positive) * weight)
    return np.cumsum(tp, axis=-1), np.cumsum(fp, axis=-1)


def _captured(positive: np.ndarray, ranking: Ranking, weight: np.ndarray) -> np.ndarray:
    """The weight of positive rows among the highest 0%, 10%, ... 100% of the weight."""
    tp, fp = _cumulative(positive, ranking, weight)
    every = tp + fp
    borders = np.linspace(0, every[-1], DECILES + 1)
    return np.interp(borders, np.append(0, every), np.append(0, tp))


def _thinned(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).astype(int))


def _register(name: str, by_class: str, of: Callable[..., Any], *, interval: bool = False) -> None:
    """Register a metric of one class, and of each of several classes."""

    def one(scored: Scored) -> Any:
        return of(scored.positive(0), scored.rankings[0], scored.weight)

    def each(scored: Scored) -> Any:
        found = [of(scored.positive(i), ranking, scored.weight) for i, ranking in enumerate(scored.rankings)]
        return np.stack(found, axis=-1) if interval else found

    metric("binary", name=name, needs="ranking", interval=interval)(one)
    metric("multiclass", name=by_class, needs="ranking", interval=interval)(each)


_register("roc_auc", "roc_auc", roc_auc_of, interval=True)
_register("average_precision", "average_precision", average_precision_of, interval=True)
_register("ks", "ks", ks_of, interval=True)
_register("deciles", "deciles", deciles_of)
_register("lift", "lift", lift_of)
_register("roc_curve", "roc_curve_by_class", roc_curve_of)
_register("precision_recall_curve", "precision_recall_curve_by_class", pr_curve_of)


@metric("multiclass", needs="ranking", interval=True)
def roc_auc_macroavg(scored: Scored) -> np.ndarray:
    """The mean over the classes of the area under the ROC curve."""
    areas = [roc_auc_of(scored.positive(i), ranking, scored.weight) for i, ranking in enumerate(scored.rankings)]
    return np.asarray(np.mean(areas, axis=0))
