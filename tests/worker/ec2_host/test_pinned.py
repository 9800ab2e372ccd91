"""An instance that was launched for a plan does its chunks, and refuses what somebody has put into its job queue."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from airflow_sklearn.contract import exit_codes
from airflow_sklearn.contract.job_queue import QueueEntry
from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.runtimes.ec2.job_queue import JobQueue
from airflow_sklearn.storage import Storage
from airflow_sklearn.worker.ec2_host.__main__ import main
from tests.worker.workbench import Workbench


def test_chunks_of_the_plan_are_done_and_a_job_of_another_plan_is_refused(tmp_path: Path) -> None:
    bench, storage = Workbench(f"file://{tmp_path}"), Storage()
    table = pa.table({"key": range(40), "x": [float(i % 7) for i in range(40)], "y": [i % 2 for i in range(40)]})
    bench.train(bench.write(table, "t.csv"), "sklearn.linear_model:LogisticRegression", preprocessing="none")
    plan, uri = bench.plan(bench.source("t.csv"))
    ledger = Ledger(storage, plan.ledger)
    queue = JobQueue(storage, f"{ledger.jobs_folder}pools/0123456789abcdef", "000000", 2)
    for slot, (name, ledger_uri) in enumerate([("good", plan.ledger), ("forged", f"{bench.root}/elsewhere")]):
        job = bench.predict_job(plan, plan.chunks[0], result_uri=f"{ledger.jobs_folder}{name}.result.json")
        storage.write(f"{ledger.jobs_folder}{name}.json", job.model_copy(update={"ledger": ledger_uri}).to_json())
        queue.take(slot, QueueEntry(job_uri=f"{ledger.jobs_folder}{name}.json"))
    assert main([queue.pool, "000000", "--places", "2", "--plan", uri, "--idle-timeout", "0"]) == 0
    ends = [queue.end(slot) for slot in range(2)]
    assert [end.exit_code for end in ends if end] == [exit_codes.SUCCESS, exit_codes.BROKEN_ENVIRONMENT]
    assert ledger.read_receipt(plan.chunks[0].id, plan.fingerprint)
    assert not storage.exists(f"{ledger.jobs_folder}forged.result.json")
    assert not list(storage.list(f"{bench.root}/elsewhere/"))
