"""The second half of a commit: publishing the rows that ``verify`` has proven."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.datasets.base import ProvenRows
from airflow_sklearn.datasets.snapshots import delete_snapshot
from airflow_sklearn.runs.verify import write_proof
from airflow_sklearn.storage import join

if TYPE_CHECKING:
    from airflow_sklearn.contract.plan import Plan
    from airflow_sklearn.contract.proof import Proof
    from airflow_sklearn.datasets.base import Attempt, Destination, Publication


def publish_run(
    attempt: Attempt, destination: Destination, plan: Plan, proof: Proof, *, replace_newer: bool = False
) -> Publication:
    """Publish a run, all of it or none, and then remove the files that were exported for it.

    :param destination: the plan's destination.
    :param replace_newer: let the run replace rows of a newer one.
    :raises PublicationRefusedError, PublishError, StatementRunningError: see ``Destination.publish``.
    """
    rows = ProvenRows(
        files=proof.files,
        rows=proof.rows_out,
        fingerprint=proof.fingerprint,
        partition=plan.partition,
        columns=plan.table_columns,
        key=tuple(column.name for column in plan.spec.primary_key),
        key_hash=proof.key_hash,
        proof_uri=write_proof(attempt.storage, plan, proof),
        planned=plan.planned,
        replace_newer=replace_newer,
    )
    done = destination.publish(attempt, rows)
    attempt.storage.remove_abandoned(join(plan.ledger, ""))
    delete_snapshot(attempt.storage, plan.snapshot)
    return done
