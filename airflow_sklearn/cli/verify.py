"""``airflow-sklearn verify``: prove a run again, from its documents and its output alone."""

from __future__ import annotations

from typing import Annotated

import typer

from airflow_sklearn.cli.access import storage_by
from airflow_sklearn.cli.answer import Answer
from airflow_sklearn.cli.options import AsJson, AwsConnId


def verify(
    run: Annotated[str, typer.Argument(help="A published partition's folder, or a plan, proof or ledger.")],
    aws_conn_id: AwsConnId = None,
    as_json: AsJson = False,
) -> Answer:
    """Prove a run again: its receipts cover the source, and each published file is read and compared."""
    from airflow_sklearn.contract.faults import counted
    from airflow_sklearn.datasets.run_catalog import find_run
    from airflow_sklearn.datasets.verify_again import verify_again
    from airflow_sklearn.storage.uris import place_uri

    storage = storage_by(aws_conn_id)
    found = find_run(storage, place_uri(run))
    verified = verify_again(storage, found)
    proof = verified.proof
    document = {
        "run": found.plan_uri,
        "state": found.state,
        "complete": True,
        "destination": proof.destination,
        "partition": proof.partition,
        "model": proof.model_manifest_uri,
        "objects": proof.objects,
        "chunks": proof.chunks,
        "rows_in": proof.rows_in,
        "rows_out": proof.rows_out,
        "rows_quarantined": proof.rows_quarantined,
        "key_hash": proof.key_hash.model_dump(mode="json"),
        "files_checked": verified.files,
    }
    aside = f", {proof.rows_quarantined:,} set aside" if proof.rows_quarantined else ""
    lines = [
        f"Complete: {counted(proof.rows_in, 'row')} of {counted(proof.objects, 'object')} in "
        f"{counted(proof.chunks, 'chunk')}, {proof.rows_out:,} predicted{aside}.",
        f"Each byte of the source was read once. The hash of all keys is {proof.key_hash.value:016x}.",
    ]
    if verified.files:
        lines.append(f"{counted(verified.files, 'published file')} read; each is what a receipt names.")
    else:
        lines.append(f"The run is {found.state}: its rows are no files of a folder now, so only documents were proven.")
    return Answer(document, lines)
