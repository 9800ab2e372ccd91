"""What operators read below a destination, or what containers wrote, is not believed when it leads elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_sklearn import LocalRuntime, SklearnCommitOperator, SklearnPredictOperator, SklearnTrainOperator
from airflow_sklearn.airflow_compat import AirflowFailException
from airflow_sklearn.contract.data import OutputFiles
from airflow_sklearn.contract.jobs import JobIdentity, JobResult, job_from_json
from airflow_sklearn.contract.model import ModelManifest, OutOfSample
from airflow_sklearn.contract.plan import Plan
from airflow_sklearn.contract.receipt import OutputPart
from airflow_sklearn.contract.schema import Column
from airflow_sklearn.datasets.base import Attempt
from airflow_sklearn.datasets.out_of_sample import publish_out_of_sample
from airflow_sklearn.datasets.registry import destination_of
from airflow_sklearn.exceptions import DocumentError, JobLostError
from airflow_sklearn.operators.base import final_errors
from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.runs.model_store import is_manifest_of
from airflow_sklearn.runtimes.base import JobState
from airflow_sklearn.storage import Storage
from tests.factories import csv_plan, manifest, receipt, stored_model
from tests.operators.fakes import Script, ScriptedOperator, ScriptedRuntime, status, task_context


@pytest.fixture
def root(tmp_path: Path) -> str:
    return f"file://{tmp_path}"


@pytest.fixture
def planned(root: str) -> tuple[Plan, str]:
    return csv_plan(Storage(), root)


def forge(plan: Plan, uri: str) -> None:
    """Another model, from below the destination, in the plan and in its copy."""
    spec = plan.spec.model_copy(update={"model_manifest_uri": f"{plan.destination.uri}/evil/manifest.json"})
    for found in list(Storage().list(f"{uri.rpartition('/')[0]}/")):
        Storage().write(found.uri, plan.model_copy(update={"spec": spec}).to_json())


def predict_operator(plan: Plan, uri: str) -> SklearnPredictOperator:
    chunk = {"plan": uri, "id": plan.chunks[0].id, "label": plan.chunks[0].label}
    return SklearnPredictOperator(task_id="predict", chunk=chunk, runtime=LocalRuntime(), aws_conn_id=None)


def test_neither_a_chunk_is_predicted_nor_a_run_committed_by_a_plan_that_was_changed(planned: tuple[Plan, str]) -> None:
    plan, uri = planned
    forge(plan, uri)
    commit = SklearnCommitOperator(task_id="commit", plan=uri, aws_conn_id=None)
    for work in (predict_operator(plan, uri).work, commit.work):
        with pytest.raises(AirflowFailException, match="clear the plan task"), final_errors():
            work(task_context())


def test_a_result_that_says_success_makes_no_receipt(planned: tuple[Plan, str]) -> None:
    plan, uri = planned
    result = JobResult(status="succeeded", output_uri="file:///etc/passwd", output_sha256="0" * 64)
    with pytest.raises(JobLostError, match="no valid receipt"):
        predict_operator(plan, uri).finish(task_context(), result)


def test_a_result_that_names_another_receipt_does_not_replace_the_chunk_s(planned: tuple[Plan, str], root: str) -> None:
    plan, uri = planned
    ledger = Ledger(Storage(), plan.ledger)
    ledger.record(receipt(Storage(), plan, 0))
    other = JobResult(status="succeeded", output_uri=f"{root}/elsewhere.json")
    answer = predict_operator(plan, uri).finish(task_context(), other)
    assert answer["receipt"] == ledger.receipt_uri(plan.chunks[0].id)


# --- Training: containers write manifests and results; Airflow publishes, and deletes, with more rights ---


@pytest.fixture
def train(root: str) -> SklearnTrainOperator:
    return SklearnTrainOperator(
        task_id="train",
        estimator="sparse_logistic",
        source=f"{root}/train.csv",
        target="y",
        model=f"{root}/model",
        runtime=LocalRuntime(),
        aws_conn_id=None,
    )


@pytest.mark.parametrize(
    "uri",
    [
        "{root}/other/versions/v1/manifest.json",
        "{root}/model/versions/../../other/versions/v1/manifest.json",
        "{root}/model/versions/v1/other.json",
        "{root}/model/latest.json",
        "file:///etc/passwd",
        "",
    ],
)
def test_a_result_that_names_another_model_s_manifest_is_refused(
    train: SklearnTrainOperator, root: str, uri: str
) -> None:
    stored_model(Storage(), f"{root}/other")
    with pytest.raises(DocumentError, match="no version of the model"):
        train.finish(task_context(), JobResult(status="succeeded", output_uri=uri.format(root=root)))


def test_a_manifest_of_the_model_is_known_by_its_place() -> None:
    assert is_manifest_of("s3://b/m", "s3://b/m/versions/0123abc/manifest.json")
    assert not is_manifest_of("s3://b/m", "s3://b/m2/versions/0123abc/manifest.json")


def test_scores_that_a_manifest_names_elsewhere_are_not_published(root: str) -> None:
    part = OutputPart(uri="file:///etc/passwd", sha256="0" * 64, size=1, rows=1)
    scores = OutOfSample(parts=(part,), columns=(Column(name="id", arrow_type="int64"),), rows=1, method="predict")
    made: ModelManifest = manifest(f"{root}/model", out_of_sample=scores)
    destination, attempt = destination_of(OutputFiles(uri=f"{root}/scores")), Attempt(Storage(), JobIdentity())
    with pytest.raises(DocumentError, match="Nothing is published"):
        publish_out_of_sample(attempt, made, destination, run="r")
    assert not list(Storage().list(f"{root}/scores/"))


# --- The job's own document, when it is read again ---


@pytest.mark.parametrize("changed", [False, True])
def test_whether_the_work_was_done_all_the_same_is_asked_of_the_job_that_was_submitted(
    request: pytest.FixtureRequest, tmp_path: Path, changed: bool
) -> None:
    runtime = ScriptedRuntime(name=request.node.name)
    script: Script = ScriptedRuntime.scripts[request.node.name]
    script.polls = [status(JobState.LOST)]
    operator = ScriptedOperator(task_id="task", folder=str(tmp_path), runtime=runtime, aws_conn_id=None)
    asked: list[Any] = []
    answers = iter([None, None, "done all the same"])

    def done_before(context: Any, job: Any) -> Any:
        asked.append(job)
        return next(answers)

    operator.done_before = done_before  # type: ignore[method-assign]
    uri = f"file://{tmp_path}/job.json"

    def forge_job() -> None:
        job = job_from_json(Storage().read(uri), where=uri)
        if changed:
            Storage().write(uri, job.model_copy(update={"ledger": "file:///elsewhere"}).to_json())

    script.on_submit = forge_job
    if changed:
        with pytest.raises(JobLostError):
            operator.work(task_context())
    else:
        assert operator.work(task_context()) == "done all the same"
    assert {job.ledger for job in asked} == {asked[0].ledger}
