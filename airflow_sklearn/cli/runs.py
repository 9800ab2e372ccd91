"""``airflow-sklearn runs``: the runs of a destination, and the chunks of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from airflow_sklearn.cli.access import storage_by
from airflow_sklearn.cli.answer import Answer, Rows, command
from airflow_sklearn.cli.options import AsJson, AwsConnId

if TYPE_CHECKING:
    from airflow_sklearn.datasets.run_catalog import KnownRun
    from airflow_sklearn.storage import Storage

runs = typer.Typer(help="List the runs of a destination; show the chunks of one.", no_args_is_help=True)

_LONGEST = 100  # characters of an error in the table


@command(runs, "list")
def list_(
    destination: Annotated[str, typer.Argument(help="The folder that predictions go to.")],
    ledger: Annotated[str | None, typer.Option(help="The folder of ledgers, if plans name one.")] = None,
    aws_conn_id: AwsConnId = None,
    as_json: AsJson = False,
) -> Answer:
    """List the runs of a destination, the newest first."""
    from airflow_sklearn.contract.faults import counted
    from airflow_sklearn.datasets.run_catalog import list_runs
    from airflow_sklearn.storage.uris import parent, place_uri

    where = place_uri(destination)
    found = list_runs(storage_by(aws_conn_id), where, place_uri(ledger) if ledger else None)
    rows = [(run.plan.partition, run.state, _chunks(run), _planned(run), _name(run), _task(run)) for run in found]
    title = f"{counted(len(found), 'run')} into {where}"
    columns = ("partition", "state", ">chunks", "planned", "ledger", "task")
    notes = [f"Ledgers are in {root}" for root in sorted({parent(run.plan.ledger) for run in found})]
    document = {"destination": where, "runs": [_run_document(run) for run in found]}
    return Answer(document, [Rows(columns, rows, title, notes)])


@command(runs, "show")
def show(
    run: Annotated[str, typer.Argument(help="A published partition's folder, or a plan, proof or ledger.")],
    aws_conn_id: AwsConnId = None,
    as_json: AsJson = False,
) -> Answer:
    """Show a run and the state of each of its chunks."""
    from airflow_sklearn.datasets.run_catalog import find_run
    from airflow_sklearn.storage.uris import place_uri

    storage = storage_by(aws_conn_id)
    found = find_run(storage, place_uri(run))
    chunks = chunk_states(storage, found)
    plan = found.plan
    document = {**_run_document(found), "chunks": chunks}
    cells = [
        (
            chunk["label"],
            chunk["state"],
            "" if chunk["rows"] is None else f"{chunk['rows']:,}",
            "" if chunk["seconds"] is None else f"{chunk['seconds']:,.1f}",
            str(chunk["attempts"]),
            chunk["error"][:_LONGEST],
        )
        for chunk in chunks
    ]
    lines = [
        f"Run: {found.state}, {_chunks(found)} chunks, planned {_planned(found)} {_task(found)}".rstrip(),
        f"Model: {plan.spec.model_manifest_uri}",
        f"Destination: {plan.destination.uri}, partition {plan.partition}",
        f"Ledger: {plan.ledger}",
    ]
    columns = ("chunk", "state", ">rows", ">seconds", ">attempts", "error")
    return Answer(document, [*lines, Rows(columns, cells)])


def chunk_states(storage: Storage, run: KnownRun) -> list[dict[str, Any]]:
    """The state of each chunk: ``done``; ``failed``: its last attempts failed; ``started``: a job has no result yet, or
    was lost; ``waiting``: no job was started.
    """
    from airflow_sklearn.datasets.run_catalog import LedgerFolder, attempts_by_chunk
    from airflow_sklearn.runs.ledger import Ledger
    from airflow_sklearn.storage import join

    plan = run.plan
    folder = LedgerFolder(plan.ledger, {obj.uri: obj.size for obj in storage.list(join(plan.ledger, "jobs", ""))})
    jobs = attempts_by_chunk(folder)
    receipts = Ledger(storage, plan.ledger).read_receipts(plan, check_parts=run.state != "published")
    states = []
    for chunk in plan.chunks:
        attempts, receipt = jobs.get(chunk.id, []), receipts.get(chunk.id)
        results = {job: f"{job.removesuffix('.json')}{Ledger.RESULT_ENDING}" for job in attempts}
        ended = [uri for uri in results.values() if uri in folder.sizes]
        error = "" if receipt else _last_error(storage, ended)
        started = "started" if len(ended) < len(attempts) else "failed" if error else "waiting"
        states.append(
            {
                "id": chunk.id,
                "label": chunk.label,
                "state": "done" if receipt else started,
                "bytes": chunk.size,
                "rows": receipt.rows_out if receipt else None,
                "rows_quarantined": receipt.rows_quarantined if receipt else None,
                "seconds": receipt.timings.wall if receipt else None,
                "peak_memory_bytes": receipt.peak_memory_bytes if receipt else None,
                "problems": [str(problem) for problem in receipt.problems] if receipt else [],
                "attempts": len(attempts),
                "error": error,
            }
        )
    return states


def _last_error(storage: Storage, results: list[str]) -> str:
    from airflow_sklearn.contract.jobs import JobResult

    for uri in reversed(results):
        result = JobResult.from_json(storage.read(uri), where=uri)
        if result.error is not None:
            return f"{result.error.type}: {result.error.message}"
    return ""


def _run_document(run: KnownRun) -> dict[str, Any]:
    plan = run.plan
    return {
        "run": run.plan_uri,
        "state": run.state,
        "destination": plan.destination.uri,
        "partition": plan.partition,
        "model": plan.spec.model_manifest_uri,
        "planned": plan.planned.model_dump(mode="json"),
        "chunks_done": run.done,
        "chunks_planned": len(plan.chunks),
        "rows_published": run.published.rows if run.published and run.state == "published" else None,
        "ledger": plan.ledger,
    }


def _chunks(run: KnownRun) -> str:
    return f"{run.done:,} of {len(run.plan.chunks):,}"


def _name(run: KnownRun) -> str:
    return run.plan.ledger.rpartition("/")[2]


def _planned(run: KnownRun) -> str:
    return run.plan.planned.at[:19].replace("T", " ") or "by version 0.1"


def _task(run: KnownRun) -> str:
    who = run.plan.planned
    return f"{who.dag_id}.{who.task_id} ({who.run_id})" if who.task_id else ""
