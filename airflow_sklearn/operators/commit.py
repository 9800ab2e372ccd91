"""``SklearnCommitOperator``: proves that a run is complete, then publishes it in one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.links import PublishedDataLink, RunLedgerLink
from airflow_sklearn.operators.base import SklearnOperator
from airflow_sklearn.operators.summary import problem_lines

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class SklearnCommitOperator(SklearnOperator):
    """Publish a run's predictions, all or nothing, once its receipts tile its source exactly.

    Trusts the ledger, never Airflow's task states: a chunk that was marked successful without a receipt stops it.
    Returns ``{"destination", "partition", "uri", "rows", "rows_quarantined", "chunks", "seconds", "proof", "model",
    "published", "problems"}``; ``seconds`` are summed over chunks, ``published`` is False when the very rows were
    there already; ``problems`` are the most frequent, merged over files: the proof has them all. Emits an asset event
    for the destination's URI.

    :param plan: what ``SklearnPlanOperator`` returned, one element of it, or the plan's URI. (templated)
    :param aws_conn_id: the Airflow connection for S3.
    """

    template_fields: Sequence[str] = ("plan", "aws_conn_id")
    operator_extra_links = (PublishedDataLink(), RunLedgerLink())
    ui_color = "#e6d9f7"

    def __init__(self, *, plan: str | Mapping[str, str] | Sequence[Mapping[str, str]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan = plan

    def work(self, context: Context) -> dict[str, Any]:
        from airflow_sklearn.commit import publish, verify
        from airflow_sklearn.ledger import read_plan

        storage, uri = self.storage, plan_uri(self.plan)
        plan = read_plan(storage, uri)
        folder = f"{plan.destination.uri}/{plan.partition}/"
        RunLedgerLink.persist(context, f"{plan.ledger}/")
        PublishedDataLink.persist(context, folder)
        proof = verify(storage, plan, uri)
        problems = problem_lines(proof.problems)
        for line in problems:
            self.log.warning("%s", line)
        manifest, published = publish(storage, plan, proof)
        self.log.info(
            "%s %s rows of %d chunks in %s (proof: %s).",
            *(
                "Published" if published else "Already published:",
                f"{manifest.rows:,}",
                proof.chunks,
                folder,
                manifest.proof_uri,
            ),
        )
        answer = {
            "destination": plan.destination.uri,
            "partition": plan.partition,
            "uri": folder,
            "rows": manifest.rows,
            "rows_quarantined": proof.rows_quarantined,
            "chunks": proof.chunks,
            "seconds": proof.seconds_in_chunks,
            "proof": manifest.proof_uri,
            "model": proof.model_manifest_uri,
            "published": published,
            "problems": problems,
        }
        self.announce(context, plan.destination.uri, answer)
        return answer


def plan_uri(plan: str | Mapping[str, str] | Sequence[Mapping[str, str]]) -> str:
    """The URI of the one plan that is meant.

    :raises UserError: none, or several.
    """
    if isinstance(plan, str):
        return plan
    uris = {chunk["plan"] for chunk in ([plan] if isinstance(plan, Mapping) else plan)}
    if len(uris) != 1:
        raise UserError(f"A commit takes one plan; this is {len(uris)} of them: {sorted(uris)[:3]}.")
    return uris.pop()
