"""Models without a target: clusterings, mixtures, outlier detectors and transformers, from training to prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.cluster import DBSCAN, KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline

from airflow_sklearn.contract.bins import packed
from tests.worker.workbench import Workbench, error_of

#: By estimator: its methods' columns of predictions, the method of ``auto`` first.
COLUMNS: dict[str, dict[str, list[str]]] = {
    "kmeans": {
        "predict": ["cluster_pred"],
        "transform": ["cluster_distance_0", "cluster_distance_1", "cluster_distance_2"],
    },
    "mixture": {
        "predict_proba": ["cluster_proba_0", "cluster_proba_1"],
        "predict": ["cluster_pred"],
        "score_samples": ["cluster_score"],
    },
    "isolation": {
        "predict": ["outlier_pred"],
        "decision_function": ["outlier_decision"],
        "score_samples": ["outlier_score"],
    },
    "neighbors": {
        "predict": ["outlier_pred"],
        "decision_function": ["outlier_decision"],
        "score_samples": ["outlier_score"],
    },
    "pca": {"transform": ["pca0", "pca1"]},
}


def kmeans() -> KMeans:
    return KMeans(3, n_init=1, random_state=0)


def mixture() -> GaussianMixture:
    return GaussianMixture(2, random_state=0)


def isolation() -> IsolationForest:
    return IsolationForest(n_estimators=10, random_state=0)


def neighbors() -> LocalOutlierFactor:
    return LocalOutlierFactor(novelty=True)


def pca() -> PCA:
    return PCA(2, random_state=0)


def dbscan() -> DBSCAN:
    return DBSCAN()


def plain_pca() -> Any:
    return make_pipeline("passthrough", PCA(2))


@pytest.fixture
def rows(table: pa.Table) -> pa.Table:
    """Numbers with nulls, and categories."""
    return table.slice(0, 700).select(["key", "float_0", "integer_0", "category_0"])


def learn(bench: Workbench, rows: pa.Table, name: str, **changes: Any) -> Any:
    return bench.train(bench.write(rows, "table.parquet"), f"tests.worker.test_tasks:{name}", target="", **changes)


@pytest.mark.parametrize("name", COLUMNS)
def test_every_method_predicts_named_columns_with_the_same_bits_over_any_cut(
    bench: Workbench, rows: pa.Table, name: str
) -> None:
    manifest = learn(bench, rows, name)
    assert manifest.methods == tuple(COLUMNS[name])
    assert manifest.metrics == {}
    source = bench.source("table.parquet")
    for method, columns in COLUMNS[name].items():
        whole, cut = (bench.predict(source, chunks=chunks, method=method) for chunks in (1, 7))
        assert whole.column_names == ["key", *columns]
        assert whole.equals(cut)
    auto, _ = bench.plan(source)
    assert auto.spec.method == next(iter(COLUMNS[name]))
    spread = manifest.score_distributions
    assert {column: sum(bins.counts) for column, bins in spread.items()} == {
        column: rows.num_rows for columns in COLUMNS[name].values() for column in columns
    }
    assert b'<section id="predictions">' in bench.storage.read(
        f"{bench.root}/model/versions/{manifest.version}/report.html"
    )


def test_a_run_counts_clusters_by_the_bins_of_training(bench: Workbench, rows: pa.Table) -> None:
    manifest = learn(bench, rows, "kmeans")
    plan, _ = bench.plan(bench.source("table.parquet"), method="predict")
    sizes = manifest.score_distributions["cluster_pred"]
    assert sizes.edges == (0, 1, 2, 2)
    assert bench.run_chunk(plan).status == "succeeded"
    assert bench.receipt(plan).score_counts["cluster_pred"] == packed((0, *sizes.counts, 0))


def test_outputs_of_several_methods_are_written_by_one_run(bench: Workbench, rows: pa.Table) -> None:
    learn(bench, rows, "kmeans")
    source = bench.source("table.parquet")
    found = bench.predict(source, chunks=3, outputs=["pred", "cluster_distance_2", "transform"])
    assert found.column_names[1:] == ["cluster_pred", "cluster_distance_2", "cluster_distance_0", "cluster_distance_1"]
    distances = np.column_stack([found[f"cluster_distance_{number}"] for number in range(3)])
    assert found["cluster_pred"].to_pylist() == distances.argmin(axis=1).tolist()


def test_outliers_are_those_that_scikit_learn_names(bench: Workbench, rows: pa.Table) -> None:
    manifest = learn(bench, rows, "isolation")
    found = bench.predict(bench.source("table.parquet"), outputs=["pred", "decision"])
    assert set(found["outlier_pred"].to_pylist()) == {-1, 1}
    below = np.asarray(found["outlier_decision"]) < 0
    assert (np.asarray(found["outlier_pred"])[below] == -1).all()
    assert bench.estimator(manifest)[-1].n_estimators == 10


@pytest.mark.parametrize(
    ("estimator", "changes", "told"),
    [
        ("tests.worker.test_tasks:dbscan", {"target": ""}, "DBSCAN can be fitted, but then neither predict"),
        ("tests.worker.test_tasks:kmeans", {}, "leave target out, to fit this one"),
        ("sparse_logistic", {"target": ""}, "predicts a target, and none is given. Fix: name its column"),
    ],
    ids=["cannot predict", "needs none", "needs one"],
)
def test_a_target_goes_with_estimators_that_predict_one(
    bench: Workbench, table: pa.Table, estimator: str, changes: dict[str, str], told: str
) -> None:
    job = bench.train_job(bench.write(table.slice(0, 200), "table.parquet"), estimator, **changes)
    assert told in error_of(bench.run(job))
