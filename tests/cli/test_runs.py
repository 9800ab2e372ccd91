"""``runs``, ``verify`` and ``plan`` on the documents of real runs; nothing here needs scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_sklearn.contract.jobs import JobError, JobIdentity, JobResult, PredictJob
from airflow_sklearn.contract.plan import Plan
from airflow_sklearn.contract.planned import Planned
from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.runs.verify import verify
from airflow_sklearn.storage import Storage
from tests.cli.conftest import Call
from tests.factories import csv_plan, publish, receipt, stored_model


def record(storage: Storage, plan: Plan, numbers: range) -> None:
    for number in numbers:
        Ledger(storage, plan.ledger).record(receipt(storage, plan, number, data=b"part %d\n" % number))


def published(storage: Storage, root: str, **changes: Any) -> tuple[Plan, str]:
    planned = Planned.now(dag_id="churn", task_id="plan", run_id="r1")
    plan, uri = csv_plan(storage, root, **{"planned": planned, **changes})
    record(storage, plan, range(len(plan.chunks)))
    publish(storage, plan, verify(storage, plan, uri))
    return plan, uri


@pytest.fixture
def root(here: Path) -> str:
    return f"file://{here}"


def test_a_run_is_proven_again_by_any_of_its_documents(root: str, here: Path, called: Call) -> None:
    plan, uri = published(Storage(), root)
    proof = next(here.rglob("proofs/*.json"))
    for name in ("out/day=1", "out/day=1/_manifest.json", uri, plan.ledger, proof):
        found = called("verify", name)
        assert (found["rows_in"], found["rows_out"], found["chunks"], found["files_checked"]) == (100, 100, 4, 4)
        assert found["run"] == uri


def test_a_published_run_is_proven_without_the_ledgers_parts(root: str, here: Path, printed: Call) -> None:
    published(Storage(), root)
    for part in here.rglob("_airflow_sklearn/*/parts/*"):
        part.unlink()
    assert "4 published files read" in printed("verify", "out/day=1")


@pytest.mark.parametrize("fault", ["changed", "gone", "left over"])
def test_output_that_is_not_what_the_receipts_say_is_refused(root: str, here: Path, fault: str, called: Call) -> None:
    published(Storage(), root)
    part = next(here.glob("out/day=1/part-*"))
    if fault == "changed":
        part.write_bytes(part.read_bytes().upper())
    elif fault == "gone":
        part.unlink()
    else:
        (here / "out/day=1/part-99999-0123456789abcdef.csv").write_text("1,2\n")
    error = called("verify", "out/day=1", code=65)["error"]
    assert error["type"] == "IncompleteRunError"
    assert {"changed": part.name, "gone": f"{part.name} is gone", "left over": "part-99999"}[fault] in error["message"]


def test_a_run_whose_receipts_leave_a_gap_is_refused(root: str, called: Call) -> None:
    storage = Storage()
    plan, uri = csv_plan(storage, root)
    record(storage, plan, range(3))
    assert "3 of 4 chunks are done" in called("verify", uri, code=65)["error"]["message"]


def test_what_is_no_run_is_refused_with_what_to_give(root: str, here: Path, called: Call) -> None:
    (here / "empty").mkdir()
    assert "give a published partition's folder" in called("verify", "empty", code=64)["error"]["message"]
    called("runs", "show", "empty", code=64)


def test_runs_are_listed_with_their_states_the_newest_first(root: str, called: Call, printed: Call) -> None:
    storage = Storage()
    published(storage, root)
    stored_model(storage, f"{root}/second", version="v2")
    published(storage, root, model=f"{root}/second")  # replaces the first one's rows
    plan, _ = csv_plan(storage, root, partition="day=2", passthrough=["x"], look_at_columns=False)
    record(storage, plan, range(2))
    runs = called("runs", "list", "out")["runs"]
    assert [(run["partition"], run["state"], run["chunks_done"]) for run in runs] == [
        ("day=2", "incomplete", 2),
        ("day=1", "published", 4),
        ("day=1", "replaced", 4),
    ]
    assert runs[1]["planned"]["dag_id"] == "churn"
    assert runs[1]["rows_published"] == 100
    assert "churn.plan (r1)" in printed("runs", "list", "out")
    assert called("runs", "list", "nothing")["runs"] == []


def test_a_run_shows_which_chunks_are_done_failed_started_or_waiting(root: str, called: Call, printed: Call) -> None:
    storage = Storage()
    plan, uri = csv_plan(storage, root)
    record(storage, plan, range(1))
    ledger = Ledger(storage, plan.ledger)
    for number, name in ((1, "1-a"), (2, "1-a"), (2, "2-b")):
        chunk = plan.chunks[number]
        job = PredictJob(
            identity=JobIdentity(),
            result_uri=ledger.result_uri(chunk.id, name),
            spec=plan.spec,
            fingerprint=plan.fingerprint,
            ledger=plan.ledger,
            chunk=chunk,
        )
        storage.write(ledger.job_uri(chunk.id, name), job.to_json())
        if name != "2-b":
            error = JobError(kind="data", type="DataError", message="The chunk has faults")
            storage.write(job.result_uri, JobResult(status="failed", error=error).to_json())
    chunks = called("runs", "show", uri)["chunks"]
    assert [chunk["state"] for chunk in chunks] == ["done", "failed", "started", "waiting"]
    assert [chunk["attempts"] for chunk in chunks] == [0, 1, 2, 0]
    assert (chunks[0]["rows"], chunks[1]["error"]) == (25, "DataError: The chunk has faults")
    assert "DataError: The chunk has faults" in printed("runs", "show", uri)


def test_a_plan_is_shown_and_nothing_is_stored(root: str, here: Path, called: Call, printed: Call) -> None:
    storage = Storage()
    stored_model(storage, f"{root}/model")
    (here / "rows.csv").write_text("id,x\n" + "".join(f"{n},{n % 7}\n" for n in range(500)))
    asked = ["--model", "model", "--source", "rows.csv", "--destination", "out", "--chunk-size", "1kB"]
    found = called("plan", *asked)
    assert len(found["chunks"]) > 2
    assert sum(chunk["bytes"] for chunk in found["chunks"]) == found["bytes"] == (here / "rows.csv").stat().st_size
    assert (found["rows"], found["chunks_done"], found["columns_checked"]) == (500, 0, ["x"])
    assert found["output_columns"] == ["id", "y_proba_0", "y_proba_1"]
    assert "about 500 rows" in printed("plan", *asked)
    assert not (here / "out").exists()


def test_rows_of_parquet_files_are_counted_or_estimated_where_there_are_many(
    root: str, here: Path, called: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored_model(Storage(), f"{root}/model")
    (here / "rows").mkdir()
    for number in range(4):
        table = pa.table({"id": range(100), "x": range(number, number + 100)})
        pq.write_table(table, here / f"rows/{number}.parquet")
    asked = ["--model", "model", "--source", "rows/*.parquet", "--destination", "out"]
    assert [called("plan", *asked)[name] for name in ("rows", "rows_are_exact")] == [400, True]
    monkeypatch.setattr("airflow_sklearn.cli.plan._FOOTERS", 2)
    found = called("plan", *asked)
    assert found["rows"] == pytest.approx(400, rel=0.02)
    assert not found["rows_are_exact"]


def test_a_source_and_a_destination_with_options_come_from_a_file_of_settings(
    root: str, here: Path, called: Call
) -> None:
    stored_model(Storage(), f"{root}/model")
    (here / "rows.csv").write_text("id;x\n1;2\n")
    (here / "plan.yaml").write_text(
        "model: model\nsource: {uri: rows.csv, delimiter: ';'}\ndestination: {uri: out, file_format: csv}\n"
    )
    found = called("plan", "--settings", "plan.yaml")
    assert (found["rows"], found["destination"]) == (1, f"{root}/out/all/")


def test_a_plan_names_all_that_does_not_fit(root: str, here: Path, called: Call) -> None:
    stored_model(Storage(), f"{root}/model")
    (here / "rows.csv").write_text("key,z\n1,2\n")
    asked = ["--model", "model", "--source", "rows.csv", "--destination", "out", "--passthrough", "name"]
    message = called("plan", *asked, code=64)["error"]["message"]
    assert all(f"'{name}'" in message for name in ("x", "id", "name"))
    called("plan", *asked, "--chunk-size", "huge", code=64)
    assert "model, source, destination: not given" in called("plan", code=64)["error"]["message"]


def test_a_run_that_has_not_ended_has_a_page(root: str, here: Path, called: Call) -> None:
    storage = Storage()
    plan, uri = csv_plan(storage, root)
    record(storage, plan, range(1))
    found = called("report", uri, "--output", "run.html")
    assert found["page"].startswith(plan.ledger)
    assert "1 of 4" in (here / "run.html").read_text()
    called("report", "in", code=64)
