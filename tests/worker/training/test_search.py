"""A train job that fits in further containers: here processes of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pytest.importorskip("psutil", reason="LocalRuntime needs it; a worker image has no use for it")

from airflow_sklearn.contract.jobs import SearchPool
from airflow_sklearn.contract.search import Search
from airflow_sklearn.runtimes.base import JobState
from airflow_sklearn.runtimes.local.runtime import LocalRuntime
from airflow_sklearn.storage import Storage
from airflow_sklearn.worker.parity import with_sample
from airflow_sklearn.worker.training.search import searches
from tests.waiting import wait_for
from tests.worker.workbench import Workbench, error_of

PARAMS = {"preset": "sparse_logistic", "param_grid": {"C": [0.01, 1.0]}, "cv": 2}
GRID = "airflow_sklearn.models.search:grid_search"


def pool(folder: Path) -> SearchPool:
    runtime = LocalRuntime(state_dir=str(folder / "state")).described_for_jobs()
    return SearchPool(containers=2, runtime=runtime, folder=f"file://{folder}/pools")


def test_a_search_in_containers_fits_the_same_model(
    bench: Workbench, table: pa.Table, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = bench.write(table, "train.parquet")
    alone = bench.train(source, GRID, params=PARAMS, cross_validation=2)
    with caplog.at_level("INFO"):
        spread = bench.train(source, GRID, params=PARAMS, cross_validation=2, search=pool(tmp_path))
    assert "2 further containers were started" in caplog.text
    assert spread.metrics == alone.metrics
    samples = [with_sample(bench.storage, one).parity.predictions for one in (spread, alone)]
    assert samples[0] == samples[1]
    assert not list((tmp_path / "pools").iterdir())


def test_the_folds_of_a_preset_run_in_containers_with_the_same_result(
    bench: Workbench, table: pa.Table, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = bench.write(table, "train.parquet")
    alone = bench.train(source, "hist_gradient_boosting_classifier", params={"max_iter": 5}, cross_validation=2)
    with caplog.at_level("INFO"):
        spread = bench.train(
            source,
            "hist_gradient_boosting_classifier",
            params={"max_iter": 5},
            cross_validation=2,
            search=pool(tmp_path),
        )
    assert "2 further containers were started" in caplog.text
    assert spread.metrics == alone.metrics
    assert spread.out_of_sample.parts[0].sha256 == alone.out_of_sample.parts[0].sha256


def test_a_job_that_ends_with_its_task_starts_containers_that_do_not(
    bench: Workbench, table: pa.Table, tmp_path: Path
) -> None:
    """As without deferral: the job's own parent is the task, and that of its containers is nobody."""
    source = bench.write(table, "train.parquet")
    job = bench.train_job(source, GRID, params=PARAMS, cross_validation=2, search=pool(tmp_path))
    uri = f"file://{tmp_path}/job.json"
    Storage().write(uri, job.to_json())
    runtime = LocalRuntime(state_dir=str(tmp_path / "state"))
    handle = runtime.submit(uri, job, survives_parent=False)
    wait_for(lambda: runtime.poll([handle])[0].state.finished, lambda: runtime.logs(handle))
    assert runtime.poll([handle])[0].state is JobState.SUCCEEDED, runtime.logs(handle)
    assert not list((tmp_path / "pools").iterdir())


def test_a_factory_whose_estimator_has_no_work_for_others_fails(
    bench: Workbench, table: pa.Table, tmp_path: Path
) -> None:
    source = bench.write(table, "train.parquet")
    job = bench.train_job(source, "sklearn.linear_model:Ridge", search=pool(tmp_path), cross_validation=0)
    said = error_of(bench.run(job))
    assert "search_containers=2: nothing in Pipeline has joblib do anything in parallel" in said


def test_a_preset_is_searched_and_the_manifest_tells_what_was_found(bench: Workbench, table: pa.Table) -> None:
    source = bench.write(table, "train.parquet")
    asked = Search("randomized", {"C": {"loguniform": [0.01, 10.0]}}, n_iter=2, cv=2)
    manifest = bench.train(source, "sparse_logistic", parameter_search=asked, cross_validation=2)
    (results,) = manifest.search_results
    assert manifest.parameter_search == asked
    assert results.target == "y"
    assert sorted(candidate.rank for candidate in results.candidates) == [1, 2]
    pipeline = bench.estimator(manifest)
    assert pipeline.steps[0][0] == "preprocessing"  # the artifact holds the best estimator, without the search
    assert results.best_params["estimator__C"] == pipeline[-1].C
    assert manifest.metrics["roc_auc"] is not None


def test_a_search_that_cannot_be_made_fails_before_the_table_is_read(bench: Workbench, table: pa.Table) -> None:
    source = bench.write(table, "train.parquet")
    job = bench.train_job(source, "sparse_logistic", parameter_search=Search("grid", {"c": [1]}), target="no_column")
    assert "There is no parameter 'c'. Did you mean 'C'?" in error_of(bench.run(job))


def test_a_preset_is_searched_in_containers_by_hyperband(
    bench: Workbench, table: pa.Table, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = bench.write(table, "train.parquet")
    asked = Search("hyperband", {"learning_rate": {"uniform": [0.1, 0.5]}}, cv=2, cost={"max_iter": (2, 6)})
    preset = "hist_gradient_boosting_classifier"
    with caplog.at_level("INFO"):
        spread = bench.train(source, preset, parameter_search=asked, search=pool(tmp_path))
    assert "2 further containers were started" in caplog.text
    alone = bench.train(source, preset, parameter_search=asked)
    assert spread.search_results[0].best_params == alone.search_results[0].best_params
    assert [c.score for c in spread.search_results[0].candidates] == [
        c.score for c in alone.search_results[0].candidates
    ]


@pytest.mark.parametrize(
    ("estimator", "found"),
    [
        (Ridge(), False),
        (ExtraTreesRegressor(), False),
        (GridSearchCV(Ridge(), {"alpha": [1]}), True),
        (make_pipeline(StandardScaler(), GridSearchCV(Ridge(), {"alpha": [1]})), True),
    ],
    ids=["one piece", "an ensemble", "a search", "a search at the end"],
)
def test_whole_folds_are_spread_but_of_a_search_its_fits(estimator: Any, found: bool) -> None:
    assert searches(estimator) is found
