"""A worker records how its attempt at a chunk starts and ends."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from airflow_sklearn.contract.plan import Plan
from airflow_sklearn.runs.attempts import Attempt, read_attempts
from airflow_sklearn.runs.ledger import Ledger
from tests.worker.workbench import Workbench


def attempts(bench: Workbench, plan: Plan, counted: tuple[str, ...] = ()) -> list[Attempt]:
    return read_attempts(bench.storage, plan.ledger, counted, most=10)[0]


def run(bench: Workbench, plan: Plan, attempt: str) -> str:
    uri = Ledger(bench.storage, plan.ledger).result_uri(plan.chunks[0].id, attempt)
    return bench.run(bench.predict_job(plan, plan.chunks[0], result_uri=uri)).status


def test_a_failed_attempt_tells_its_cause_and_a_good_one_is_in_its_receipt(bench: Workbench, table: pa.Table) -> None:
    table = table.slice(0, 300)
    bench.train(bench.write(table, "train.parquet"))
    plan, _ = bench.plan(bench.write(table.drop_columns(["float_1"]), "bad.parquet"))
    assert run(bench, plan, "1-a") == "failed"
    (found,) = attempts(bench, plan)
    assert found.start is not None
    assert found.start.host.cores >= 1
    assert found.end is not None
    assert (found.end.cause, found.end.told_by, found.end.chunk_id) == ("data", "worker", plan.chunks[0].id)
    assert "float_1" in found.end.message
    assert found.start.started_at <= found.end.ended_at

    plan, _ = bench.plan(bench.write(table, "good.parquet"))
    assert run(bench, plan, "1-a") == run(bench, plan, "2-b") == "succeeded"
    receipt = bench.receipt(plan)
    assert receipt.attempt == f"{plan.chunks[0].id}-1-a"
    assert receipt.host.name
    start, late = attempts(bench, plan)
    assert start.start is not None
    assert start.end is None, "the receipt says the rest"
    assert abs(_seconds(start.start.started_at) - _seconds(receipt.started_at)) < 60
    assert late.end is not None
    assert late.end.cause == "not_used"
    assert [one.name for one in attempts(bench, plan, (receipt.attempt,))] == [late.name]


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
