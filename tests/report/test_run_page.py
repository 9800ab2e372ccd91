"""The page of a run says whether it is complete and why, and shows its time and its data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from airflow_sklearn.contract.attempt import AttemptEnd, AttemptStart, Host
from airflow_sklearn.contract.bins import packed, training_counts
from airflow_sklearn.contract.plan import Plan
from airflow_sklearn.contract.receipt import FeatureSketch, Receipt, Timings
from airflow_sklearn.contract.schema import Distribution, Feature, FeatureSchema, Target
from airflow_sklearn.report.links import href
from airflow_sklearn.report.run_page import run_page
from airflow_sklearn.report.stored_runs import page_uri, store_first_page, store_page, store_page_of_failure
from airflow_sklearn.runs.attempts import Attempt, record
from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.runs.verify import verify
from airflow_sklearn.storage import Storage
from tests import factories

SCRIPT = "<script>alert(1)</script>"


def features(count: int) -> tuple[Feature, ...]:
    edges = tuple(n / 2 for n in range(21))
    numbers = [
        Feature(
            name=f"x{n}",
            kind="numeric",
            arrow_type="double",
            minimum=0.0,
            maximum=10.0,
            distribution=Distribution(edges=edges, counts=(50,) * 20),
        )
        for n in range(count - 1)
    ]
    levels = Distribution(counts=(600, 400))
    return Feature(
        name=SCRIPT, kind="categorical", arrow_type="string", levels=("a", "b"), distribution=levels
    ), *numbers


def schema(count: int) -> FeatureSchema:
    target = Target(name="y", arrow_type="int64", task="classification", classes=(0, 1))
    return FeatureSchema(features=features(count), targets=(target,))


def planned(folder: Path, count: int = 3, chunks: int = 4) -> tuple[Plan, str, Storage]:
    storage, root = Storage(), f"file://{folder}"
    factories.stored_model(storage, f"{root}/model", feature_schema=schema(count))
    return *factories.csv_plan(storage, root, rows=chunks * 25, chunks=chunks), storage


def receipt(storage: Storage, plan: Plan, number: int, **changes: Any) -> Receipt:
    found = features(3)
    fields: dict[str, Any] = {
        "sketches": {one.name: FeatureSketch(nulls=1, unseen_levels=1 if one.levels else 0) for one in found},
        "feature_counts": {one.name: packed(training_counts(one)) for one in found},
        "score_counts": {"y_proba_1": packed([0, *[5] * 20, 0])},
        "timings": Timings(start_up=1, read=2, predict=3, write=0.5, wall=5.5),
        "attempt": f"{plan.chunks[number].id}-1",
        "started_at": f"2026-01-01T00:00:{number:02}+00:00",
        "host": Host(name=f"arn:aws:ecs:r:1:task/c/host{number}", cores=2),
    }
    return factories.receipt(storage, plan, number, **{**fields, **changes})


def attempt(plan: Plan, number: int, cause: Any, message: str = "", **more: Any) -> Attempt:
    chunk = plan.chunks[number].id
    start = AttemptStart(chunk_id=chunk, started_at="2026-01-01T00:00:01+00:00", host=Host(name="h"))
    end = AttemptEnd(
        chunk_id=chunk, ended_at="2026-01-01T00:00:09+00:00", cause=cause, message=message, told_by="airflow", **more
    )
    return Attempt(f"{chunk}-1", start, end)


def words(page: str) -> str:
    """What a person reads, without the style."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.rpartition("<body>")[2]))


def test_a_planned_run_says_that_nothing_is_done(tmp_path: Path) -> None:
    plan, uri, storage = planned(tmp_path)
    store_first_page(storage, plan, uri)
    page = storage.read(page_uri(plan.ledger)).decode()
    assert "Planned No chunk has been predicted yet." in words(page)
    assert "0 of 4" in words(page)


def test_a_failed_run_says_which_chunks_are_missing_and_why(tmp_path: Path) -> None:
    plan, uri, storage = planned(tmp_path)
    done = {plan.chunks[n].id: receipt(storage, plan, n) for n in (0, 1)}
    tries = [attempt(plan, 2, "out_of_memory", "Container killed."), attempt(plan, 3, "data", f"column {SCRIPT}")]
    text = words(run_page(plan, done, tries, None, None, plan_uri=uri))
    assert "Incomplete 2 of 4 chunks are not done." in text
    assert "Memory ran out: 1 chunk Container killed. Give the job more memory." in text
    assert "The data break a policy: 1 chunk" in text
    assert plan.chunks[3].label in text


def test_a_complete_run_compares_its_rows_and_shows_where_the_time_went(tmp_path: Path) -> None:
    plan, uri, storage = planned(tmp_path)
    for number in range(4):
        Ledger(storage, plan.ledger).record(receipt(storage, plan, number))
    proof = verify(storage, plan, uri)
    assert store_page(storage, uri, plan=plan, proof=proof) == page_uri(plan.ledger)
    page = storage.read(page_uri(plan.ledger)).decode()
    text = words(page)
    assert "Complete The receipts cover the source exactly" in text
    assert "8 s" in text, "the first start to the last end: 3 + 5.5 s"
    assert "Predict the estimator 12 s 46.2%" in text
    assert "None of 3 features has moved." in text
    assert page.count('class="spark"') == 3
    assert f'href="receipts/{plan.chunks[0].id}.json"' in page


def test_what_has_moved_is_said(tmp_path: Path) -> None:
    plan, uri, storage = planned(tmp_path)
    moved = {"x0": packed([0, 900, *[0] * 19, 100]), "x1": packed([0, *[50] * 20, 0])}
    done = {plan.chunks[n].id: receipt(storage, plan, n, feature_counts=moved, rows_in=1000) for n in range(4)}
    manifest = factories.manifest("file:///m", feature_schema=schema(3))
    page = run_page(plan, done, [], None, manifest, plan_uri=uri)
    assert "1 of 2 features have moved (50.0%)." in words(page)
    row = words(page.partition('<td class="name">x0')[2].partition("</tr>")[0])
    assert "much drift" in row
    assert "10.0%" in row, "out of range"


def test_text_from_data_is_escaped_and_no_link_runs_code(tmp_path: Path) -> None:
    plan, uri, storage = planned(tmp_path)
    done = {plan.chunks[0].id: receipt(storage, plan, 0, host=Host(name=SCRIPT, log_url="javascript:alert(1)"))}
    manifest = factories.manifest("file:///m", feature_schema=schema(3))
    page = run_page(plan, done, [attempt(plan, 1, "lost", SCRIPT)], None, manifest, plan_uri=uri, failure=SCRIPT)
    assert SCRIPT not in page
    assert "<script" not in page.lower()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert 'href="javascript' not in page


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("file:///led/receipts/a b.json", "receipts/a%20b.json"),
        ("file:///other/x", "file:///other/x"),
        ("s3://b/k/", "https://console.aws.amazon.com/s3/buckets/b?prefix=k/"),
        ("https://e.org/x", "https://e.org/x"),
        ("javascript://x", ""),
        ("https://e.org/\n", ""),
        ("plain", ""),
    ],
)
def test_links_lead_to_files_s3_and_the_web_only(uri: str, expected: str) -> None:
    assert href(uri, "file:///led") == expected


def test_receipts_of_an_earlier_worker_have_a_page_too(tmp_path: Path) -> None:
    plan, uri, storage = planned(tmp_path)
    old = {"attempt": "", "started_at": "", "host": Host(), "feature_counts": {}, "score_counts": {}}
    done = {plan.chunks[n].id: receipt(storage, plan, n, **old) for n in range(4)}
    manifest = factories.manifest("file:///m", feature_schema=schema(3))
    page = run_page(plan, done, [], None, manifest, plan_uri=uri)
    assert "Predicted All chunks are done." in words(page)
    assert 'class="spark"' not in page


def test_failing_tasks_make_the_page_anew_but_not_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, uri, storage = planned(tmp_path)
    end = attempt(plan, 0, "lost", "The first one.").end
    assert end is not None
    record(storage, plan.ledger, f"{plan.chunks[0].id}-1", end)
    store_page_of_failure(storage, uri, plan.ledger)
    assert "The first one." in storage.read(page_uri(plan.ledger)).decode()

    monkeypatch.setattr("airflow_sklearn.report.stored_runs._PAUSE_OF_A_CHUNK", 1000.0)
    other = end.model_copy(update={"message": "The second one."})
    record(storage, plan.ledger, f"{plan.chunks[1].id}-1", other)
    store_page_of_failure(storage, uri, plan.ledger)
    assert "The second one." not in storage.read(page_uri(plan.ledger)).decode()

    monkeypatch.setattr("airflow_sklearn.report.stored_runs._PAUSE_OF_A_CHUNK", 0.0)
    store_page_of_failure(storage, uri, plan.ledger)
    assert "The second one." in storage.read(page_uri(plan.ledger)).decode()


def test_a_page_that_cannot_be_made_fails_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plan, uri, storage = planned(tmp_path)
    Path(page_uri(plan.ledger).removeprefix("file://")).mkdir(parents=True)
    assert store_page(storage, uri, plan=plan) == ""
    store_page_of_failure(storage, uri, plan.ledger)
    assert "could not be made" in caplog.text
    assert store_page(storage, "file:///nowhere/plans/x.json") == ""


def test_a_manifest_that_was_changed_is_not_shown(tmp_path: Path) -> None:
    plan, uri, storage = planned(tmp_path)
    changed = factories.manifest("file:///m", feature_schema=schema(3), version="changed")
    storage.write(plan.spec.model_manifest_uri, changed.to_json())
    store_page(storage, uri)
    assert "version changed" not in words(storage.read(page_uri(plan.ledger)).decode())


def test_a_thousand_chunks_and_five_hundred_features_stay_below_two_megabytes(tmp_path: Path) -> None:
    plan, uri, storage = planned(tmp_path)
    first = receipt(storage, plan, 0)
    many = tuple(
        plan.chunks[0].model_copy(update={"id": f"{n:016x}", "label": f"part-{n:05}.csv"}) for n in range(1000)
    )
    plan = plan.model_copy(update={"chunks": many})
    counts = {one.name: packed(training_counts(one)) for one in features(500)}
    sketches = {name: FeatureSketch(nulls=3, minimum=-123.4, maximum=56_789.1) for name in counts}
    update = {
        "feature_counts": counts,
        "sketches": sketches,
        "host": Host(name="h" * 60, log_url="https://" + "x" * 200),
    }
    done = {}
    for number, chunk in enumerate(plan.chunks):
        more = {
            "chunk_id": chunk.id,
            "attempt": f"{chunk.id}-1",
            "started_at": f"2026-01-01T00:{number % 60:02}:00+00:00",
        }
        done[chunk.id] = first.model_copy(update={**update, **more})
    tries = [attempt(plan, number, "lost", "The host was reclaimed.") for number in range(0, 1000, 10)]
    manifest = factories.manifest("file:///m", feature_schema=schema(500))
    page = run_page(plan, done, tries, None, manifest, plan_uri=uri)
    assert page.count('class="spark"') == 500
    assert len(page.encode()) < 2_000_000
