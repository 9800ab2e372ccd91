"""Models are ranked by a metric of their out-of-sample rows, with intervals; what cannot be compared is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from airflow_sklearn import client
from airflow_sklearn.exceptions import UserError

SMALL = {"hist_gradient_boosting_classifier": {"max_iter": 5}, "random_forest_classifier": {"n_estimators": 5}}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, client.Model]:
    folder = tmp_path_factory.mktemp("models")
    random = np.random.default_rng(0)
    x = random.normal(size=300)
    rows = pd.DataFrame({"id": np.arange(300), "x": x, "y": x + random.normal(size=300) > 0, "z": 2 * x + 1})

    def train(name: str, estimator: str, target: Any = "y", **changes: Any) -> client.Model:
        asked = {"primary_key": "id", "excluded_columns": ["z", "y"], "cross_validation": 2, **changes}
        asked["excluded_columns"] = [one for one in asked["excluded_columns"] if one not in target]
        model = f"{folder}/{name}"
        used = rows.iloc[:299] if name == "fewer" else rows
        return client.train(estimator, used, target=target, model=model, estimator_params=SMALL.get(estimator), **asked)

    return {
        "linear": train("linear", "sparse_logistic"),
        "fewer": train("fewer", "sparse_logistic"),
        "trees": train("trees", "hist_gradient_boosting_classifier"),
        "forest": train("forest", "random_forest_classifier", cross_validation=3),
        "numbers": train("numbers", "sparse_linear_regressor", "z"),
        "unknown": train("unknown", "sparse_logistic", cross_validation=0),
        "both": client.train(
            {"y": "sparse_logistic", "z": "sparse_linear_regressor"},
            rows, target=["y", "z"], model=f"{folder}/both", primary_key="id", cross_validation=2,
        ),
    }  # fmt: skip


def test_the_best_model_comes_first_with_the_intervals_of_its_metrics_document(models: dict[str, client.Model]) -> None:
    found = client.leaderboard([models["trees"], models["linear"]])
    assert (found.metric, found.target, found.warnings) == ("roc_auc", "y", ())
    assert [one.estimator for one in found.models] == ["sparse_logistic", "hist_gradient_boosting_classifier"]
    assert found.best.value == models["linear"].metrics["roc_auc"]
    assert found.best.low < found.best.value < found.best.high
    lines = str(found).splitlines()
    assert lines[0] == "roc_auc of 'y', higher is better, with 95% intervals:"
    assert lines[1].startswith(
        f"  1. sparse_logistic                     {found.best.value:.4f}  [{found.best.low:.4f}, "
    )
    assert client.load(found.best.model).uri == models["linear"].uri


def test_of_an_error_the_smallest_is_the_best(models: dict[str, client.Model]) -> None:
    found = client.leaderboard([models["trees"].manifest.model, models["linear"]], metric="log_loss")
    values = [one.value for one in found.models]
    assert values == sorted(values)
    assert "lower is better" in str(found)


def test_one_of_several_targets_is_compared_by_its_own_estimator(models: dict[str, client.Model]) -> None:
    found = client.leaderboard([models["both"], models["numbers"]], target="z")
    assert {one.estimator for one in found.models} == {"sparse_linear_regressor"}
    assert found.metric == "r_squared"


def test_another_validation_and_other_rows_are_warnings(models: dict[str, client.Model]) -> None:
    found = client.leaderboard([models["linear"], models["forest"]])
    assert found.warnings == ("the models were validated in different ways.",)
    assert "Warning: the models were validated in different ways." in str(found)
    assert client.leaderboard([models["linear"], models["fewer"]]).warnings == (
        "the models were scored on different rows.",
    )


@pytest.mark.parametrize(
    ("names", "asked", "message"),
    [
        ([], {}, "needs models"),
        (["linear", "unknown"], {}, "has no metrics, because it was trained without a validation"),
        (["linear", "numbers"], {}, r"predicts 'z' \(numbers\), and the first one predicts 'y' \(2 classes\)"),
        (["linear"], {"metric": "roc_acu"}, "no metric 'roc_acu' that is one number. Did you mean 'roc_auc'"),
        (["linear"], {"metric": "confusion_matrix"}, "no metric 'confusion_matrix' that is one number"),
        (["linear"], {"target": "Y"}, "has no target 'Y'. Did you mean 'y'"),
        (["both"], {}, "has several targets: 'y', 'z'. Fix: name one, target='y'"),
    ],
)
def test_what_cannot_be_compared_is_said(
    models: dict[str, client.Model], names: list[str], asked: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        client.leaderboard([models[name] for name in names], **asked)
