"""Predicting with the client: the plan, the chunks and the commit of a DAG, one after another."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_sklearn.client.jobs import run
from airflow_sklearn.client.rows import as_files
from airflow_sklearn.contract.arguments import check_prediction, column_names
from airflow_sklearn.contract.jobs import JobIdentity, PredictJob
from airflow_sklearn.contract.planned import Planned
from airflow_sklearn.datasets.base import Attempt
from airflow_sklearn.datasets.planning import make_plan
from airflow_sklearn.datasets.publishing import publish_run
from airflow_sklearn.datasets.registry import as_destination
from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.runs.prediction import DEFAULT_CHUNK_SIZE
from airflow_sklearn.runs.verify import verify
from airflow_sklearn.storage import Storage
from airflow_sklearn.storage.uris import place_uri
from airflow_sklearn.worker.skops_files import from_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.plan import Chunk, Plan
    from airflow_sklearn.contract.proof import Proof
    from airflow_sklearn.datasets.base import Destination
    from airflow_sklearn.runtimes.base import Runtime


def predict(
    model: str | Mapping[str, Any],
    rows: Any,
    destination: Any,
    *,
    partition: str = "all",
    method: str = "auto",
    outputs: str | Sequence[str] = (),
    targets: str | Sequence[str] = (),
    explain: int = 0,
    primary_key: str | Sequence[str] | None = None,
    passthrough: str | Sequence[str] = (),
    policies: Mapping[str, str] | None = None,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
    runtime: Runtime | None = None,
    storage: Storage | None = None,
) -> dict[str, Any]:
    """Predict files into a folder, as ``sklearn_predict`` does. What was computed before is not computed again.

    :param model: a model's URI or path, or a manifest's URI.
    :param rows: the rows to predict: files, or a DataFrame or a pyarrow Table, which is stored beside the destination,
        in ``<destination>-rows/``.
    :param destination: the folder, or a ``Dataset`` of it.
    :param partition: the folder below the destination that this run fills, and replaces when it runs again.
    :param chunk_size: the approximate bytes of source in a chunk.
    :param runtime: where the chunks run; None: in this process.
    :param storage: access to the URIs; None: with the environment's credentials.
    :return: ``{"uri", "rows", "rows_quarantined", "chunks", "proof"}``.

    The other parameters are those of ``SklearnPlanOperator``.

    :raises UserError: the request contradicts the model or the source; the message lists all contradictions.
    :raises DataError: rows violate a policy; the error carries all problems.
    """
    storage = storage or Storage()
    target = as_destination(place_uri(destination) if isinstance(destination, str) else destination)
    plan, plan_uri = make_plan(
        storage,
        source=as_files(storage, rows, f"{target.document.uri}-rows"),
        destination=target.document,
        partition=partition,
        model=model if isinstance(model, Mapping) else place_uri(model),
        **asked_of(method, outputs, targets, explain, primary_key, passthrough, policies),
        chunk_size=chunk_size,
        planned=Planned.now(),
        trusted_types=from_environment(),
    )
    for chunk in plan.chunks:
        run_chunk(storage, plan, plan_uri, chunk, runtime)
    _, answer = publish(storage, plan, plan_uri, target)
    return answer


def publish(storage: Storage, plan: Plan, plan_uri: str, destination: Destination) -> tuple[Proof, dict[str, Any]]:
    """Prove that a run is complete, and publish it, as ``SklearnCommitOperator`` does.

    :return: the proof, and the result of ``predict``.
    :raises IncompleteRunError: the receipts do not cover the source exactly.
    """
    proof = verify(storage, plan, plan_uri)
    done = publish_run(Attempt(storage, JobIdentity()), destination, plan, proof)
    return proof, {
        "uri": destination.place(plan.partition),
        "rows": done.rows,
        "rows_quarantined": proof.rows_quarantined,
        "chunks": proof.chunks,
        "proof": done.proof_uri,
    }


def asked_of(
    method: str,
    outputs: str | Sequence[str],
    targets: str | Sequence[str],
    explain: int,
    primary_key: str | Sequence[str] | None,
    passthrough: str | Sequence[str],
    policies: Mapping[str, str] | None,
) -> dict[str, Any]:
    """The arguments of a plan from a user's values; see ``SklearnPlanOperator``.

    :raises UserError: a value is invalid; the message says what to give instead.
    """
    asked: dict[str, Any] = {
        "method": method,
        "outputs": outputs,
        "targets": targets,
        "explain": explain,
        "primary_key": primary_key,
        "passthrough": passthrough,
        "policies": policies,
    }
    check_prediction(asked)
    several = {name: column_names(asked[name]) for name in ("outputs", "targets", "passthrough")}
    return {**asked, **several, "primary_key": None if primary_key is None else column_names(primary_key)}


def run_chunk(storage: Storage, plan: Plan, plan_uri: str, chunk: Chunk, runtime: Runtime | None = None) -> None:
    """Predict one chunk of a plan, unless it has a receipt.

    :param runtime: where it runs; None: in this process.
    :raises AirflowSklearnError: it failed.
    """
    ledger, name = Ledger(storage, plan.ledger), uuid.uuid4().hex
    if ledger.read_receipt(chunk.id, plan.fingerprint) is not None:
        return
    job = PredictJob(
        result_uri=ledger.result_uri(chunk.id, name),
        spec=plan.spec,
        fingerprint=plan.fingerprint,
        ledger=plan.ledger,
        chunk=chunk,
        plan=plan_uri,
    )
    run(storage, job, ledger.job_uri(chunk.id, name), runtime)
