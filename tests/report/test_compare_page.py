"""The comparison ranks models, and says in what they differ."""

from __future__ import annotations

import re
from typing import Any

import pytest

from airflow_sklearn.contract.explanation import Importance, ModelExplanation, TargetExplanation
from airflow_sklearn.contract.metrics import TargetMetrics
from airflow_sklearn.contract.model import PresetEstimator, Versions
from airflow_sklearn.contract.schema import Feature
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.report.compare_page import compare_page
from airflow_sklearn.report.stored import ModelDocuments
from tests.factories import manifest
from tests.report.documents import classified, metrics_of, regressed
from tests.report.html import checked

HOSTILE = "<script>alert(1)</script>"


def model(metrics: TargetMetrics, name: str = "sparse_logistic", **changes: Any) -> ModelDocuments:
    document = manifest("file:///models/m", estimator=PresetEstimator(name=name), **changes)
    importances = (Importance(feature="x", value=3.0), Importance(feature=HOSTILE, value=1.0))
    explained = TargetExplanation(target=metrics.target, kind="other", importances=importances)
    explanation = ModelExplanation(model="file:///models/m", version="1", targets=(explained,))
    return ModelDocuments(document, metrics_of(metrics), explanation)


def ranking(page: str) -> list[str]:
    """The models' names from the first to the last."""
    table = page.partition('<section id="ranking">')[2].partition("</section>")[0]
    return re.findall(r'<td class="name wide"><span.*?</span>(.*?)[< ]', table)


def test_the_best_model_is_the_first_one_of_every_kind_of_metric() -> None:
    weak, strong = classified(("no", "yes"), skill=0.1), classified(("no", "yes"), skill=0.7)
    models = [model(weak, "random_forest_classifier"), model(strong)]
    page = compare_page(models)
    assert "ROC curve" in checked(page)
    assert ranking(page) == ["sparse_logistic", "random_forest_classifier"]
    assert ranking(compare_page(models, metric="log_loss")) == ["sparse_logistic", "random_forest_classifier"]


def test_two_versions_show_what_differs_and_by_how_much_the_metrics_do() -> None:
    weak, strong = classified(("no", "yes"), skill=0.1), classified(("no", "yes"), skill=0.7)
    packages = [Versions(python="3.11.0", packages={"scikit-learn": version}) for version in ("1.8.0", "1.9.0")]
    text = checked(
        compare_page(
            [model(weak, version="aaa", versions=packages[0]), model(strong, version="bbb", versions=packages[1])]
        )
    )
    assert "Versions of m" in text
    differing, _, same = text.partition("What is the same in all of them")
    assert "scikit-learn 1.9.0 1.8.0" in differing
    assert "Python 3.11.0" in same
    lost = weak.values["roc_auc"] - strong.values["roc_auc"]  # type: ignore[operator]
    assert f"−{-lost:.3f}" in text


def test_a_feature_of_one_model_alone_is_remarked_on_and_its_name_is_escaped() -> None:
    feature = Feature(name=HOSTILE, kind="numeric", arrow_type="double")
    schema = manifest("file:///m").feature_schema
    wide = schema.model_copy(update={"features": (*schema.features, feature)})
    metrics = classified(("no", "yes"))
    page = compare_page([model(metrics, version="a", feature_schema=wide), model(metrics, version="b")])
    text = checked(page)
    assert HOSTILE in text
    assert "<script" not in page
    assert "not a feature" in text


def test_models_of_numbers_and_of_several_classes_are_compared_too() -> None:
    numbers = [model(regressed(skill=skill), version=str(skill)) for skill in (0.9, 0.5)]
    assert "Median residual by prediction" in checked(compare_page(numbers, warnings=["other rows."]))
    classes = [model(classified(("a", "b", "c"), skill=skill), version=str(skill)) for skill in (0.1, 0.6)]
    assert "ROC AUC, mean of the classes" in checked(compare_page(classes))


def test_a_leaderboard_of_many_models_has_a_row_for_each() -> None:
    metrics = classified(("no", "yes"))
    models = [model(metrics, f"package.module:made_{number}") for number in range(12)]
    text = checked(compare_page(models))
    assert "12 models" in text
    assert "Of the first 6 models" in text


def test_what_cannot_be_compared_is_said_for_all_models_at_once() -> None:
    metrics = classified(("no", "yes"))
    without = ModelDocuments(manifest("file:///models/old"), None, None)
    with pytest.raises(UserError, match=r"(?s)models/old.*no metrics of 'churned'.*models/old"):
        compare_page([model(metrics), without, without])
