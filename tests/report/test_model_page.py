"""The page of a model shows what its documents hold, of any task and any version, and is safe to open."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airflow_sklearn.contract.explanation import Importance, ModelExplanation, TargetExplanation
from airflow_sklearn.contract.metrics import ModelMetrics
from airflow_sklearn.contract.model import ModelManifest
from airflow_sklearn.contract.schema import Distribution, Feature, FeatureSchema, Target
from airflow_sklearn.models.metrics.report import target_metrics
from airflow_sklearn.models.metrics.scored import scored_classes, scored_numbers
from airflow_sklearn.report.model_page import model_page
from tests.factories import manifest as a_manifest
from tests.report.documents import classified, metrics_of, regressed
from tests.report.html import checked

GOLDEN = Path(__file__).parents[1] / "golden"
HOSTILE = "<script>alert(1)</script>"


def schema_of(*targets: Target, features: tuple[Feature, ...] = ()) -> FeatureSchema:
    return FeatureSchema(features=features, targets=targets)


def test_a_page_of_two_classes_has_every_chart_and_number() -> None:
    target = Target(name="churned", arrow_type="string", task="classification", classes=("no", "yes"))
    segments = {"region": (np.arange(60) % 2, ["north", "south"])}
    scored = classified(("no", "yes"), segments=segments)
    manifest = a_manifest("file:///models/churn", feature_schema=schema_of(target), thresholds={"churned": 0.4})
    text = checked(model_page(manifest, metrics_of(scored)))
    for words in ("ROC curve", "Precision and recall", "Calibration", "Deciles of yes", "Gain", "Scores", "south"):
        assert words in text
    assert f"{scored.values['roc_auc']:.3f}" in text
    assert "Predicted yes from 0.4 on" in text
    assert 'outputs=["proba:yes"]' in text


def test_a_page_of_several_classes_shows_each_class() -> None:
    target = Target(name="plan", arrow_type="string", task="classification", classes=("gold", "silver", "tin"))
    manifest = a_manifest("file:///m", feature_schema=schema_of(target))
    text = checked(model_page(manifest, metrics_of(classified(("gold", "silver", "tin"), "plan"))))
    assert "ROC AUC, mean of the classes" in text
    assert text.count("Deciles of") == 3


def test_a_page_of_several_targets_has_a_part_for_each() -> None:
    targets = (
        Target(name="churned", arrow_type="bool", task="classification", classes=(False, True)),
        Target(name="spend", arrow_type="double", task="regression"),
    )
    manifest = a_manifest("file:///m", feature_schema=schema_of(*targets), metrics={"spend.r2": 0.875})
    page = model_page(manifest, metrics_of(classified((False, True)), regressed()))
    text = checked(page)
    assert "R² of spend" in text
    assert "0.875" in text
    assert "Residuals by prediction" in text
    assert page.count('<section id="target-') == 2


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("clustering", "Groups rows with"),
        ("outliers", "Finds outliers with"),
        ("transformation", "Transforms rows with"),
    ],
)
def test_a_model_without_a_target_has_a_page_without_metrics(task: Any, words: str) -> None:
    target = Target(name="cluster", arrow_type="int64", task=task)
    text = checked(model_page(a_manifest("file:///m", feature_schema=schema_of(target), metrics={})))
    assert words in text
    assert "Quality" not in text


@pytest.mark.parametrize("rows", [1, 30])
def test_metrics_that_the_rows_do_not_allow_break_no_page(rows: int) -> None:
    """All rows have one class, and a regressor predicts no finite number for some."""
    names, random = np.array(["no", "yes"], dtype=object), np.random.default_rng(0)
    codes, scores = np.zeros(rows, int), random.random((rows, 2))
    one_class = scored_classes(names[codes], names[codes], ["no", "yes"], scores=scores, is_probability=True)
    y = random.normal(size=rows)
    infinite = scored_numbers(y, np.where(np.arange(rows) % 2, y, np.inf))
    for scored, task in ((one_class, "classification"), (infinite, "regression")):
        found = target_metrics(scored, target="y", labels=("no", "yes") if task == "classification" else ())
        target = Target(name="y", arrow_type="string", task=task, classes=found.classes)  # type: ignore[arg-type]
        manifest = a_manifest("file:///m", feature_schema=schema_of(target))
        assert "–" in checked(model_page(manifest, metrics_of(found)))


def test_text_from_data_is_escaped_wherever_it_stands() -> None:
    features = (
        Feature(
            name=HOSTILE, kind="numeric", arrow_type="double", distribution=Distribution(edges=(0, 1), counts=(5,))
        ),
        Feature(
            name="level",
            kind="categorical",
            arrow_type="string",
            levels=(HOSTILE,),
            distribution=Distribution(counts=(5,)),
        ),
    )
    target = Target(name=HOSTILE, arrow_type="string", task="classification", classes=(HOSTILE, "b"))
    manifest = a_manifest(
        f"file:///{HOSTILE}",
        feature_schema=schema_of(target, features=features),
        warnings=(HOSTILE,),
        not_made={HOSTILE: HOSTILE},
        unfit_columns={HOSTILE: HOSTILE},
        excluded_columns=(HOSTILE,),
    )
    explained = TargetExplanation(
        target=HOSTILE,
        kind="other",
        importances=(Importance(feature=HOSTILE, value=1.0),),
        importance_method="permutation",
        scoring=HOSTILE,
    )
    explanation = ModelExplanation(model="file:///m", version="1", targets=(explained,))
    page = model_page(manifest, metrics_of(classified((HOSTILE, "b"), HOSTILE)), explanation)
    assert HOSTILE in checked(page)
    assert "<script" not in page.lower()


@pytest.mark.parametrize("version", ["0.1.0-before-tables", "0.1.0", "0.2.0"])
def test_documents_of_earlier_versions_have_pages(version: str) -> None:
    def read(name: str, kind: Any) -> Any:
        path = GOLDEN / version / name
        return kind.from_json(path.read_bytes()) if path.exists() else None

    manifest = read("model-manifest.json", ModelManifest)
    text = checked(model_page(manifest, read("metrics.json", ModelMetrics), read("explanation.json", ModelExplanation)))
    assert manifest.artifact.sha256 in text
    assert ("ROC curve" in text) == (version == "0.2.0")


LARGE = f"""
import json, resource, sys, time
from airflow_sklearn.contract.schema import Distribution, Feature, FeatureSchema, Target
from airflow_sklearn.report.model_page import model_page
from tests.factories import manifest
def feature(number):
    name = f"{HOSTILE} {{number}} " + "x" * 60
    if number % 2:
        edges = tuple(float(n * n) for n in range(21))
        return Feature(name=name, kind="numeric", arrow_type="double", minimum=0.0, maximum=400.0,
                       distribution=Distribution(edges=edges, counts=tuple(range(1, 21))))
    levels = tuple(f"a level of the column {{n}}" for n in range(300))
    return Feature(name=name, kind="categorical", arrow_type="string", levels=levels,
                   distribution=Distribution(counts=tuple(range(300))))
target = Target(name="y", arrow_type="double", task="regression")
schema = FeatureSchema(features=tuple(map(feature, range(500))), targets=(target,))
document = manifest("file:///m", feature_schema=schema)
before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
page = model_page(document)
print(json.dumps({{
    "bytes": len(page.encode()), "seconds": time.process_time() - started,
    "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3,
    "heavy": [name for name in ("numpy", "pandas", "pyarrow", "sklearn", "airflow") if name in sys.modules],
    "features": page.count("alert(1)"),
}}))
"""


def test_a_page_of_five_hundred_features_is_small_quick_and_needs_no_heavy_library() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", LARGE], env=environment, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["features"] >= 500
    assert found["bytes"] < 2e6
    assert found["seconds"] < 2
    assert found["megabytes"] < 200
    assert not found["heavy"]


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
SCRIPTS = "<script>document.title = 'It ran'</script><img src=x onerror=\"document.title='It ran'\">"


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium: apt-get install chromium")
def test_a_browser_shows_the_page_and_runs_nothing_of_it(tmp_path: Path) -> None:
    schema = FeatureSchema(
        features=(Feature(name=SCRIPTS, kind="numeric", arrow_type="double"),),
        targets=(Target(name="y", arrow_type="string", task="classification", classes=("no", SCRIPTS)),),
    )
    document = a_manifest("file:///models/churn", feature_schema=schema, warnings=(SCRIPTS,))
    page = tmp_path / "report.html"
    page.write_text(model_page(document, metrics_of(classified(("no", SCRIPTS), "y"))))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={tmp_path}"]
    shown = subprocess.run(
        [CHROMIUM, *options, "--dump-dom", page.as_uri()], check=True, capture_output=True, text=True, timeout=120
    )
    assert "<title>churn · model</title>" in shown.stdout
    assert shown.stdout.count("<svg") > 5
    assert "<script" not in shown.stdout
    assert ":CONSOLE" not in shown.stderr  # where a browser says what the page may not do, or what it does not know
