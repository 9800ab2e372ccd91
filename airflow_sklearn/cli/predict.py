"""``airflow-sklearn predict``: plan, predict and publish on this machine, as a DAG with ``LocalRuntime`` does."""

from __future__ import annotations

import sys

from airflow_sklearn.cli import prediction
from airflow_sklearn.cli.access import need_worker, storage_by
from airflow_sklearn.cli.answer import Answer
from airflow_sklearn.cli.options import AsJson, AwsConnId, Processes, Python, Settings, arguments


def predict(
    model: prediction.Model = None,
    source: prediction.Source = None,
    destination: prediction.To = None,
    partition: prediction.Partition = None,
    method: prediction.Method = None,
    outputs: prediction.Outputs = None,
    targets: prediction.Targets = None,
    explain: prediction.Explain = None,
    primary_key: prediction.Key = None,
    passthrough: prediction.Passthrough = None,
    chunk_size: prediction.ChunkSize = None,
    max_chunks: prediction.MaxChunks = None,
    policies: prediction.Policies = None,
    ledger: prediction.LedgerFolder = None,
    python: Python = None,
    processes: Processes = None,
    settings: Settings = None,
    aws_conn_id: AwsConnId = None,
    as_json: AsJson = False,
) -> Answer:
    """Predict files into a folder on this machine. What was computed before is not computed again."""
    given = prediction.given_options(
        model=model,
        source=source,
        destination=destination,
        partition=partition,
        method=method,
        outputs=outputs,
        targets=targets,
        explain=explain,
        primary_key=primary_key,
        passthrough=passthrough,
        chunk_size=chunk_size,
        max_chunks=max_chunks,
        policies=policies,
        ledger=ledger,
    )
    asked = arguments(settings, given, prediction.REQUIRED, "predict")
    need_worker("predict")
    from airflow_sklearn.cli.progress import shown, watched_runtime
    from airflow_sklearn.client.scoring import publish, run_chunk
    from airflow_sklearn.contract.faults import counted
    from airflow_sklearn.report.stored_runs import store_page
    from airflow_sklearn.runs.ledger import Ledger

    storage = storage_by(aws_conn_id)
    plan, uri, to = prediction.make_plan(storage, asked, store=True)
    done = Ledger(storage, plan.ledger).read_receipts(plan)
    try:
        with shown(sum(chunk.size for chunk in plan.chunks)) as progress:
            runtime = watched_runtime(progress.line, aws_conn_id, python, processes)
            for number, chunk in enumerate(plan.chunks, start=1):
                progress.chunk(number, len(plan.chunks), chunk, is_done=chunk.id in done)
                if chunk.id not in done:
                    run_chunk(storage, plan, uri, chunk, runtime)
        proof, answer = publish(storage, plan, uri, to)
    except Exception:
        if page := store_page(storage, uri, plan=plan):
            print(f"The page of the run, with each attempt, is {page}", file=sys.stderr)
        raise
    page = store_page(storage, uri, plan=plan, proof=proof)
    aside = f", {answer['rows_quarantined']:,} set aside" if answer["rows_quarantined"] else ""
    again = f", {len(done)} of them computed before" if done else ""
    line = (
        f"Published {counted(answer['rows'], 'row')}{aside} in {counted(answer['chunks'], 'chunk')}{again}: "
        f"{answer['uri']}"
    )
    problems = [str(problem) for problem in proof.problems]
    document = {**answer, "plan": uri, "chunks_done_before": len(done), "problems": problems, "page": page}
    # The log of one chunk has just said the same.
    merged = [f"Warning: {text}" for text in problems] if len(plan.chunks) > 1 else []
    return Answer(document, [*merged, line, *([f"The page of the run is {page}"] if page else [])])
