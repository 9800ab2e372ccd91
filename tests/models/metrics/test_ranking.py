from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from airflow_sklearn.models.metrics.ranking import deciles_of, lift_of, pr_curve_of, roc_curve_of
from airflow_sklearn.models.metrics.registry import compute, plain
from airflow_sklearn.models.metrics.report import target_metrics
from airflow_sklearn.models.metrics.scored import Ranking, Scored, scored_classes

ONES = np.ones(500)


def computed(scored: Scored) -> dict[str, Any]:
    return plain(compute(scored))


def case(kind: str, ties: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores with ties, and weights."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 500)
    scores = np.clip(y * 0.2 + rng.random(500) * 0.8, 0, 1)
    return y, np.round(scores, 2) if ties else scores, rng.random(500) * 3 if kind == "weighted" else ONES


@pytest.mark.parametrize("kind", ["plain", "weighted"])
def test_areas_are_those_of_scikit_learn(kind: str) -> None:
    y, scores, weight = case(kind)
    found = computed(scored_classes(y, y, [0, 1], scores=scores, is_probability=True, weight=weight))
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(y, scores, sample_weight=weight), rel=1e-12)
    expected = metrics.average_precision_score(y, scores, sample_weight=weight)
    assert found["average_precision"] == pytest.approx(expected, rel=1e-12)
    fpr, tpr, _ = metrics.roc_curve(y, scores, sample_weight=weight)
    assert found["ks"] == pytest.approx(np.max(tpr - fpr), rel=1e-12)


def test_areas_of_several_classes_are_those_of_each_against_the_others() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    scores = rng.dirichlet(np.ones(3), 300) + np.eye(3)[y]
    found = computed(scored_classes(y, y, [0, 1, 2], scores=scores))
    each = [metrics.roc_auc_score(y == i, scores[:, i]) for i in range(3)]
    assert found["roc_auc"] == pytest.approx(each)
    assert found["roc_auc_macroavg"] == pytest.approx(np.mean(each))
    assert [len(curve["fpr"]) for curve in found["roc_curve_by_class"]]
    assert found["log_loss"] is found["calibration_curve_by_class"] is None  # these are no probabilities


def test_deciles_divide_tied_rows_as_if_drawn_at_random() -> None:
    y = np.array([0.0, 1.0] * 50)
    assert deciles_of(y, Ranking(np.zeros(100)), np.ones(100)) == pytest.approx([0.5] * 10)
    scores = np.arange(100.0)
    assert deciles_of((scores >= 80).astype(float), Ranking(scores), np.ones(100)).tolist() == [0.0] * 8 + [1.0] * 2


def test_lift_is_relative_to_the_incidence() -> None:
    scores = np.arange(100.0)
    found = lift_of((scores >= 80).astype(float), Ranking(scores), np.ones(100))
    assert found[:2] == pytest.approx([5.0, 5.0])
    assert found[-1] == pytest.approx(1.0)


def test_weights_count_like_repeated_rows() -> None:
    y, scores, _ = case("plain")
    times = np.random.default_rng(1).integers(0, 4, 500)
    repeated = np.repeat(np.arange(500), times)
    weighted = computed(scored_classes(y, y, [0, 1], scores=scores, is_probability=True, weight=times.astype(float)))
    again = computed(scored_classes(y[repeated], y[repeated], [0, 1], scores=scores[repeated], is_probability=True))
    for name in ("roc_auc", "average_precision", "ks", "deciles", "lift", "log_loss", "confusion_matrix", "accuracy"):
        assert np.allclose(weighted[name], again[name]), name


def test_curves_have_few_points_and_both_ends() -> None:
    y, scores, weight = case("plain", ties=False)
    curve = roc_curve_of(y.astype(float), Ranking(scores), weight)
    assert len(curve["fpr"]) == 201
    assert (curve["fpr"][0], curve["tpr"][0], curve["fpr"][-1], curve["tpr"][-1]) == (0, 0, 1, 1)
    assert (np.diff(curve["tpr"]) >= 0).all()
    curve = pr_curve_of(y.astype(float), Ranking(scores), weight)
    assert curve["recall"][-1] == 1
    assert curve["precision"][-1] == pytest.approx(y.mean())


def test_rows_of_one_class_have_no_curve_but_metrics() -> None:
    found = target_metrics(scored_classes(np.ones(9, int), np.ones(9, int), [0, 1], scores=np.ones(9)), target="y")
    assert found.values["roc_auc"] is None
    assert found.intervals["roc_auc"].low is None
    assert found.values["accuracy"] == 1.0
