from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from airflow_sklearn.models.metrics.registry import METRICS, compute, plain
from airflow_sklearn.models.metrics.report import target_metrics
from airflow_sklearn.models.metrics.scored import Scored, scored_classes

#: What CivisML recorded.
BINARY = (
    "accuracy roc_auc log_loss brier_score confusion_matrix p_correct pop_incidence_true pop_incidence_pred roc_curve "
    "calibration_curve deciles score_histogram training_histogram"
)
MULTICLASS = (
    "accuracy log_loss roc_auc roc_auc_macroavg brier_score confusion_matrix p_correct pop_incidence_true "
    "pop_incidence_pred deciles roc_curve_by_class calibration_curve_by_class score_histogram training_histogram"
)


def computed(scored: Scored) -> dict[str, Any]:
    return plain(compute(scored))


def case(classes: int, weighted: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Scored]:
    rng = np.random.default_rng(0)
    names = np.array(["ham", "jam", "spam"][:classes], dtype=object)
    codes = rng.integers(0, classes, 400)
    probabilities = rng.dirichlet(np.ones(classes), 400) * 0.7 + 0.3 * np.eye(classes)[codes]
    weight = rng.random(400) if weighted else np.ones(400)
    y, labels = names[codes], names[probabilities.argmax(axis=1)]
    scored = scored_classes(
        y, labels, names.tolist(), scores=probabilities, is_probability=True, weight=weight if weighted else None
    )
    return y, labels, probabilities, weight, scored


@pytest.mark.parametrize(("classes", "keys"), [(2, BINARY), (3, MULTICLASS)], ids=["binary", "multiclass"])
def test_every_key_of_civisml_is_there_and_known(classes: int, keys: str) -> None:
    found = computed(case(classes)[-1])
    assert not [name for name in keys.split() if found.get(name) is None]


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("classes", [2, 3])
def test_metrics_of_classes_are_those_of_scikit_learn(classes: int, weighted: bool) -> None:
    y, labels, probabilities, weight, scored = case(classes, weighted)
    found = computed(scored)
    options = {"sample_weight": weight}
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(y, labels, **options))
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(y, labels, **options))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(y, probabilities, **options))
    assert np.allclose(found["confusion_matrix"], metrics.confusion_matrix(y, labels, **options))
    assert found["p_correct"] == pytest.approx(metrics.recall_score(y, labels, average=None, **options))
    if classes == 2:
        positive = y == "jam"
        assert found["brier_score"] == pytest.approx(metrics.brier_score_loss(positive, probabilities[:, 1], **options))
        for name, of in {"f1": metrics.f1_score, "precision": metrics.precision_score}.items():
            assert found[name] == pytest.approx(of(positive, labels == "jam", **options))


def test_incidences_and_histograms_add_up() -> None:
    y, labels, _, weight, scored = case(3, weighted=True)
    found = computed(scored)
    assert sum(found["pop_incidence_true"]) == pytest.approx(1)
    assert found["pop_incidence_pred"][2] == pytest.approx(weight[labels == "spam"].sum() / weight.sum())
    assert found["training_histogram"][0] == pytest.approx(weight[y == "ham"].sum())
    assert sum(found["score_histogram"][1]["values"]) == pytest.approx(weight.sum())


def test_the_scores_of_positive_rows_are_a_part_of_all_scores() -> None:
    y, _, probabilities, weight, scored = case(2, weighted=True)
    found = computed(scored)
    positive, every = found["score_histogram_positive"], found["score_histogram"]
    assert positive["bin_edges"] == every["bin_edges"]
    assert sum(positive["values"]) == pytest.approx(weight[y == "jam"].sum())
    highest = (y == "jam") & (probabilities[:, 1] >= 0.95)
    assert positive["values"][-1] == pytest.approx(weight[highest].sum())


def test_a_calibrated_model_is_on_the_diagonal() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(40_000)
    y = (rng.random(40_000) < scores).astype(int)
    curve = computed(scored_classes(y, y, [0, 1], scores=scores, is_probability=True))["calibration_curve"]
    assert np.allclose(curve["predicted"], curve["observed"], atol=0.03)
    assert sum(curve["weight"]) == 40_000


def test_a_metric_is_computed_once_it_is_registered() -> None:
    from airflow_sklearn.models.metrics.registry import metric

    metric("binary", name="rows_twice")(lambda scored: 2 * len(scored.y))
    try:
        assert computed(case(2)[-1])["rows_twice"] == 800
    finally:
        del METRICS["binary"]["rows_twice"]


def test_segments_have_the_metrics_of_their_rows() -> None:
    y, labels, probabilities, _, scored = case(2)
    numbers = np.arange(400) % 3
    found = target_metrics(scored, target="y", segments={"region": (numbers, ["north", None, "south"])})
    assert [(one.column, one.value, one.rows) for one in found.segments] == [
        ("region", "north", 134),
        ("region", None, 133),
        ("region", "south", 133),
    ]
    rows = numbers == 2
    assert found.segments[2].values["accuracy"] == np.mean(y[rows] == labels[rows])
    assert found.segments[2].values["roc_auc"] == pytest.approx(
        metrics.roc_auc_score(y[rows] == "jam", probabilities[rows, 1])
    )
