from __future__ import annotations

import contextlib
import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from airflow_sklearn import LocalRuntime, SklearnTrainOperator
from airflow_sklearn.contract.jobs import TrainJob
from airflow_sklearn.contract.model import ModelManifest, ModelPointer
from airflow_sklearn.runs.model_store import find_version
from airflow_sklearn.storage import Storage
from tests.operators.conftest import HEADER, ROWS, predict, published_rows, rows, train
from tests.operators.database import Run
from tests.operators.fakes import task_context

RunDag = Callable[..., Run]


@pytest.mark.both_airflows
@pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferred"])
def test_a_table_is_trained_on_and_predicted_chunk_by_chunk(run_dag: RunDag, table: Path, deferrable: bool) -> None:
    option = {"deferrable": str(deferrable)}
    run = run_dag(train(table, **option) + predict(table, **option))
    assert run.state == "success"

    model = run.xcom("train")
    assert set(model) == {"model", "version", "manifest_uri", "manifest_sha256", "metrics", "rows", "reused"}
    assert model["model"] == f"file://{table}/model"
    assert model["rows"] == ROWS
    assert model["reused"] is False

    chunks = run.xcoms("score.predict")
    assert len(chunks) == 2
    assert sum(chunk["rows"] for chunk in chunks) == ROWS
    assert not any(chunk["reused"] for chunk in chunks)

    done = run.xcom("score.commit")
    assert done["rows"] == ROWS
    assert done["chunks"] == len(chunks)
    assert done["published"] is True
    assert Path(done["proof"].removeprefix("file://")).exists()
    assert published_rows(table / "scores" / "date=2026-01-01") == list(range(ROWS))
    page = Path(done["proof"].removeprefix("file://")).parents[1] / "report.html"
    assert "The receipts cover the source exactly" in page.read_text()


def test_a_second_run_computes_nothing_again_and_says_so(run_dag: RunDag, table: Path) -> None:
    body = train(table) + predict(table)
    first, second = run_dag(body), run_dag(body)
    assert second.state == "success"
    assert second.xcom("train")["reused"] is True
    assert second.xcom("train")["manifest_sha256"] == first.xcom("train")["manifest_sha256"]
    assert all(chunk["reused"] for chunk in second.xcoms("score.predict"))
    assert second.xcom("score.commit")["published"] is False
    assert published_rows(table / "scores" / "date=2026-01-01") == list(range(ROWS))

    third = run_dag(body, date="2026-01-02")
    assert all(chunk["reused"] for chunk in third.xcoms("score.predict")), "the same rows, only published elsewhere"
    for date in ("2026-01-01", "2026-01-02"):
        assert published_rows(table / "scores" / f"date={date}") == list(range(ROWS))


def test_without_a_partition_each_run_has_a_folder_of_its_own(run_dag: RunDag, table: Path, model: str) -> None:
    run = run_dag(predict(table, model, source=f"'{table}/new/part-0.csv'", partition="''"))
    partition = run.xcom("score.commit")["partition"]
    assert partition.startswith("run=manual")
    assert published_rows(table / "scores" / partition) == list(range(ROWS // 2))


def test_one_passthrough_column_may_be_given_as_text(run_dag: RunDag, table: Path, model: str) -> None:
    run = run_dag(predict(table, model, passthrough="'kind'"))
    assert run.state == "success"
    part = next((table / "scores" / "date=2026-01-01").glob("*.parquet"))
    assert "kind" in pq.read_schema(part).names


def test_a_run_over_a_source_that_has_grown_replaces_the_rows_of_the_one_before(
    run_dag: RunDag, table: Path, model: str
) -> None:
    body = predict(table, model, source=f"'{table}/new/part-1.csv'")
    run_dag(body)
    with (table / "new" / "part-1.csv").open("a") as file:
        file.write(rows(ROWS, ROWS + 10))
    assert run_dag(body).xcom("score.commit")["rows"] == ROWS // 2 + 10
    assert published_rows(table / "scores" / "date=2026-01-01") == list(range(ROWS // 2, ROWS + 10))


@pytest.mark.both_airflows
def test_a_source_that_changes_after_the_plan_is_an_error_never_a_mixture(
    run_dag: RunDag, table: Path, model: str
) -> None:
    meddle = f"""
@task
def meddle():
    from pathlib import Path
    with Path("{table}/new/part-1.csv").open("a") as file:
        file.write("9999,1.0,a,0\\n")
score.plan >> meddle() >> score.predict
"""
    run = run_dag(predict(table, model) + meddle)
    assert run.state == "failed"
    assert sorted(run.states("score.predict").values()) == ["failed", "success"]
    assert run.states("score.commit")[-1] == "upstream_failed"
    assert not (table / "scores" / "date=2026-01-01").exists()


@pytest.mark.both_airflows
def test_more_chunks_than_airflow_maps_make_larger_chunks(
    run_dag: RunDag, table: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "2")
    run = run_dag(predict(table, model, chunk_size="100"))
    assert run.state == "success"
    assert len(run.states("score.predict")) == 2
    assert run.xcom("score.commit")["rows"] == ROWS


@pytest.mark.both_airflows
def test_an_empty_source_is_an_empty_committed_result(run_dag: RunDag, table: Path, model: str) -> None:
    (table / "nothing").mkdir()
    run = run_dag(predict(table, model, source=f"Dataset('{table}/nothing/', file_format='csv')"))
    assert run.state == "success"
    assert run.xcom("score.commit")["rows"] == 0
    assert published_rows(table / "scores" / "date=2026-01-01") == []


@pytest.mark.both_airflows
def test_chunks_are_labelled_for_people(run_dag: RunDag, table: Path, model: str) -> None:
    run = run_dag(predict(table, model, chunk_size="1000000"))
    assert run.labels("score.predict") == ["part-0.csv to part-1.csv, 2 files (1 of 1)"]


@pytest.mark.both_airflows
def test_a_bare_mapped_operator_is_labelled_too(run_dag: RunDag, table: Path, model: str) -> None:
    body = (
        f"plan = SklearnPlanOperator(task_id='plan', model='{model}', source='{table}/new/part-0.csv', "
        f"destination='{table}/scores')\n"
        f"runtime = LocalRuntime(processes=1, state_dir='{table}/state')\n"
        "SklearnPredictOperator.partial(task_id='predict', runtime=runtime).expand(chunk=plan.output)\n"
    )
    assert run_dag(body).labels("predict") == ["part-0.csv (1 of 1)"]


@pytest.mark.both_airflows
def test_many_targets_are_mapped_over(run_dag: RunDag, table: Path) -> None:
    body = f"""
SklearnTrainOperator.partial(
    task_id="train", estimator="sparse_logistic", source=Dataset("{table}/train.csv"), primary_key="id",
    cross_validation=0, runtime=LocalRuntime(state_dir="{table}/state", processes=1),
).expand_kwargs([
    {{"target": "y", "model": "{table}/models/y"}},
    {{"target": "kind", "model": "{table}/models/kind"}},
])
"""
    run = run_dag(body)
    assert run.state == "success"
    assert [model["model"] for model in run.xcoms("train")] == [
        f"file://{table}/models/{name}" for name in ("y", "kind")
    ]


@pytest.mark.both_airflows
def test_templates_render_in_every_place_and_each_run_anew(run_dag: RunDag, table: Path) -> None:
    """The same Dataset object serves two tasks and two runs in one process."""
    for date in ("2026-01-01", "2026-01-02"):
        (table / f"{date}.csv").write_text(HEADER + rows(0, 50 if date.endswith("1") else 60))
    body = (
        f"data = Dataset('{table}/{{{{ ds }}}}.csv', null_values=['{{{{ ds }}}}'])\n"
        + train(table, source="data", target="'{{ \"y\" }}'", model=f"'{table}/{{{{ ds }}}}/model'")
        + predict(table, source="data", destination=f"Dataset('{table}/scores-{{{{ ds }}}}', file_format='csv')")
    )
    for date, count in (("2026-01-01", 50), ("2026-01-02", 60)):
        run = run_dag(body, date=date, name="templates")
        assert run.xcom("train")["model"] == f"file://{table}/{date}/model"
        assert run.xcom("score.commit")["rows"] == count
        assert run.xcom("score.commit")["destination"] == f"file://{table}/scores-{date}"


def test_an_estimator_object_is_handed_over(run_dag: RunDag, table: Path) -> None:
    estimator = "DecisionTreeClassifier(max_depth=2, random_state=0)"
    body = "from sklearn.tree import DecisionTreeClassifier\n" + train(table, estimator=estimator)
    first, second = run_dag(body), run_dag(body)
    assert second.xcom("train")["reused"] is True
    manifest = json.loads(Path(first.xcom("train")["manifest_uri"].removeprefix("file://")).read_bytes())
    assert manifest["estimator"]["description"] == "DecisionTreeClassifier(max_depth=2, random_state=0)"


def test_a_factory_of_the_dags_folder_is_importable_by_the_worker(
    run_dag: RunDag, table: Path, airflow_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (airflow_home / "dags" / "my_models.py").write_text(
        "from sklearn.tree import DecisionTreeClassifier\n"
        "def tree(depth):\n    return DecisionTreeClassifier(max_depth=depth)\n"
    )
    monkeypatch.syspath_prepend(str(airflow_home / "dags"))
    run = run_dag(train(table, estimator="'my_models:tree'", estimator_params="{'depth': 3}"))
    assert run.state == "success"


def test_other_settings_are_another_version_and_reuse_can_be_refused(run_dag: RunDag, table: Path) -> None:
    versions = [
        run_dag(train(table)).xcom("train")["version"],
        run_dag(train(table, excluded_columns="['kind']")).xcom("train")["version"],
        run_dag(train(table, reuse="False")).xcom("train")["version"],
    ]
    assert len(set(versions)) == 3
    latest = json.loads((table / "model" / "latest.json").read_bytes())
    assert latest["version"] == versions[-1]
    run_dag(train(table))
    assert json.loads((table / "model" / "latest.json").read_bytes())["version"] == versions[0]


def test_changed_code_is_trained_anew(
    run_dag: RunDag, table: Path, airflow_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(airflow_home / "dags"))
    body = train(table, estimator="'changing_models:tree'")
    versions = []
    for depth in (1, 2, 1):
        (airflow_home / "dags" / "changing_models.py").write_text(
            "from sklearn.tree import DecisionTreeClassifier\n"
            f"def tree():\n    return DecisionTreeClassifier(max_depth={depth})\n"
        )
        versions.append(run_dag(body).xcom("train"))
    assert versions[0]["version"] != versions[1]["version"]
    assert versions[2]["version"] == versions[0]["version"]
    assert [model["reused"] for model in versions] == [False, False, True]
    said = run_dag(train(table, estimator="'changing_models:tree'", code_version="'{{ ds }}'")).xcom("train")
    assert said["version"] not in {model["version"] for model in versions}


@pytest.mark.both_airflows
@pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferred"])
def test_what_is_deleted_after_a_job_has_succeeded_is_computed_again(
    run_dag: RunDag, table: Path, deferrable: bool
) -> None:
    with contextlib.suppress(ImportError):  # the same run twice: Airflow 2 then deletes the first, which needs this
        importlib.import_module("airflow.providers.fab.auth_manager.models")
    option = {"deferrable": str(deferrable)}
    body = train(table, **option) + predict(table, **option)
    assert run_dag(body, name=f"deleted_{deferrable}").state == "success"
    shutil.rmtree(table / "scores")
    shutil.rmtree(table / "model")
    again = run_dag(body, name=f"deleted_{deferrable}")
    assert again.state == "success"
    assert published_rows(table / "scores" / "date=2026-01-01") == list(range(ROWS))


def test_a_model_whose_artifact_is_gone_or_cut_is_not_taken_for_trained(table: Path, model: str) -> None:
    storage = Storage()
    pointer = ModelPointer.from_json(storage.read(f"{model}/latest.json"), where="")
    manifest = ModelManifest.from_json(storage.read(pointer.manifest_uri), where="")
    root = f"file://{table}/copy"
    uri = f"{root}/versions/{manifest.version}/artifact.joblib"
    artifact = manifest.artifact.model_copy(update={"uri": uri})
    storage.copy(manifest.artifact.uri, uri)
    copy = manifest.model_copy(update={"model": root, "artifact": artifact})
    storage.write(f"{root}/versions/{manifest.version}/manifest.json", copy.to_json())
    job = TrainJob(
        result_uri="",
        model=root,
        version=manifest.version,
        estimator=manifest.estimator,
        target="y",
        source=manifest.source.files,
        objects=(),
    )
    assert find_version(storage, job.model, job.version)
    storage.write(uri, b"half of it")
    assert find_version(storage, job.model, job.version) is None
    storage.delete([uri])
    assert find_version(storage, job.model, job.version) is None


@pytest.mark.both_airflows
def test_without_reuse_a_retry_goes_on_and_a_cleared_task_fits_again() -> None:
    """``max_tries`` is what Airflow changes when a task is cleared, and only then."""

    def salt(try_number: int, max_tries: int) -> list[str | int]:
        task = SklearnTrainOperator(
            task_id="train",
            estimator="sparse_logistic",
            source="/t.csv",
            target="y",
            model="/m",
            runtime=LocalRuntime(),
            reuse=False,
            retries=2,
        )
        context = task_context()
        context["ti"].try_number, context["ti"].max_tries = try_number, max_tries
        return task._who(context)  # type: ignore[arg-type]

    assert salt(1, 2) == salt(2, 2) == salt(3, 2)
    cleared = salt(4, 3 + 2)
    assert cleared != salt(3, 2)
    assert cleared == salt(5, 3 + 2)
